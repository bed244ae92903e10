//! Where do the words of a split wait until they have ids? In a temporary file: the numbers of a line's words, and a mark
//! at its end.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Ends every line; no word has this number.
const END: u32 = u32::MAX;
const BUFFER: usize = 1 << 18;

/// Writes lines of numbers.
pub struct SpoolWriter {
    path: PathBuf,
    writer: BufWriter<File>,
}

impl SpoolWriter {
    /// Start the file.
    pub fn create(path: PathBuf) -> Result<SpoolWriter> {
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        Ok(SpoolWriter { path, writer: BufWriter::with_capacity(BUFFER, file) })
    }

    /// Append a line.
    pub fn push(&mut self, words: impl Iterator<Item = u32>) -> Result<()> {
        words
            .chain([END])
            .try_for_each(|word| self.writer.write_all(&word.to_le_bytes()))
            .map_err(Error::io("write", &self.path))
    }

    /// Write out what is still in memory.
    pub fn finish(mut self) -> Result<()> {
        self.writer.flush().map_err(Error::io("write", &self.path))
    }
}

/// Reads lines of numbers.
pub struct SpoolReader {
    path: PathBuf,
    reader: BufReader<File>,
}

impl SpoolReader {
    /// Open a file that a [`SpoolWriter`] has finished.
    pub fn open(path: &Path) -> Result<SpoolReader> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        Ok(SpoolReader { path: path.to_path_buf(), reader: BufReader::with_capacity(BUFFER, file) })
    }

    /// The next line into `words`; whether there was one.
    pub fn read_line(&mut self, words: &mut Vec<u32>) -> Result<bool> {
        words.clear();
        loop {
            let mut bytes = [0; 4];
            match self.reader.read_exact(&mut bytes) {
                Ok(()) => match u32::from_le_bytes(bytes) {
                    END => return Ok(true),
                    word => words.push(word),
                },
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && words.is_empty() => return Ok(false),
                Err(error) => return Err(Error::io("read", &self.path)(error)),
            }
        }
    }

    /// Lines with `numbers` numbers or a few more together, fewer at the end; none after it.
    pub fn read_lines(&mut self, numbers: usize) -> Result<Vec<Vec<u32>>> {
        let (mut lines, mut line, mut read) = (Vec::new(), Vec::new(), 0);
        while read < numbers && self.read_line(&mut line)? {
            read += line.len() + 1;
            lines.push(std::mem::take(&mut line));
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.de");
        let lines: [&[u32]; 4] = [&[3, 70_000, 0], &[], &[7], &[]];
        let mut writer = SpoolWriter::create(path.clone()).unwrap();
        lines.iter().for_each(|line| writer.push(line.iter().copied()).unwrap());
        writer.finish().unwrap();
        let mut reader = SpoolReader::open(&path).unwrap();
        let mut words = Vec::new();
        for line in lines {
            assert!(reader.read_line(&mut words).unwrap());
            assert_eq!(words, line);
        }
        assert!(!reader.read_line(&mut words).unwrap());
        assert_eq!(SpoolReader::open(&path).unwrap().read_lines(5).unwrap(), lines[..2]);
        // Cut off within a line.
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..8]).unwrap();
        assert!(SpoolReader::open(&path).unwrap().read_line(&mut words).is_err());
    }
}
