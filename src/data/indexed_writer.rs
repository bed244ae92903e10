//! How do ids become a `.bin`/`.idx` pair? Sentence by sentence; see [`IndexedDataset`](super::IndexedDataset).

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::dtype::Dtype;
use super::indexed::{MAGIC, path};
use crate::error::{Error, Result};
use crate::files;

/// Writes a dataset sentence by sentence, of which nothing stays in memory. Both files appear when
/// [`finish`](IndexedWriter::finish) is called, and not before.
pub struct IndexedWriter {
    prefix: PathBuf,
    bin: BufWriter<File>,
    bin_path: TempPath,
    dtype: Dtype,
    /// Their lengths, four bytes each, in a temporary file without a name.
    lengths: BufWriter<File>,
    sentences: u64,
}

impl IndexedWriter {
    /// Start `PREFIX.bin` under a temporary name, for ids of a dictionary of `symbols` entries.
    pub fn create(prefix: &Path, symbols: usize) -> Result<IndexedWriter> {
        let bin = path(prefix, "bin");
        let folder = match bin.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let temporary = tempfile::Builder::new().prefix(".nmt-").suffix(".tmp").tempfile_in(folder);
        let (file, bin_path) = temporary.map(NamedTempFile::into_parts).map_err(Error::io("write", &bin))?;
        let lengths = tempfile::tempfile_in(folder).map_err(Error::io("write", &bin))?;
        Ok(IndexedWriter {
            prefix: prefix.to_path_buf(),
            bin: BufWriter::with_capacity(1 << 20, file),
            bin_path,
            dtype: Dtype::fitting(symbols),
            lengths: BufWriter::new(lengths),
            sentences: 0,
        })
    }

    /// Append a sentence; `ids` end with `</s>`.
    ///
    /// # Errors
    /// [`Error::Content`] for an id that the file's type cannot hold, [`Error::Io`] when the disk is full.
    pub fn push(&mut self, ids: &[i64]) -> Result<()> {
        let bad = |expected: &str, found: String| {
            let place = format!("{}, sentence {}", path(&self.prefix, "bin").display(), self.sentences);
            Err(Error::content(place, expected, found, "take the dictionary these ids come from"))
        };
        let Ok(length) = i32::try_from(ids.len()) else {
            return bad("at most 2147483647 ids in a sentence", ids.len().to_string());
        };
        let highest = if self.dtype == Dtype::U16 { i64::from(u16::MAX) } else { i64::from(i32::MAX) };
        if let Some(id) = ids.iter().find(|&&id| id < 0 || id > highest) {
            return bad(&format!("ids from 0 to {highest}"), format!("id {id}"));
        }
        let written = match self.dtype {
            Dtype::U16 => ids.iter().try_for_each(|&id| self.bin.write_all(&(id as u16).to_le_bytes())),
            _ => ids.iter().try_for_each(|&id| self.bin.write_all(&(id as i32).to_le_bytes())),
        };
        let written = written.and_then(|()| self.lengths.write_all(&length.to_le_bytes()));
        written.map_err(Error::io("write", path(&self.prefix, "bin")))?;
        self.sentences += 1;
        Ok(())
    }

    /// Write the index and give both files their names.
    pub fn finish(self) -> Result<()> {
        let (bin, idx) = (path(&self.prefix, "bin"), path(&self.prefix, "idx"));
        let file = self.bin.into_inner().map_err(|e| Error::io("write", &bin)(e.into_error()))?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let _ = file.set_permissions(std::fs::Permissions::from_mode(0o644));
        }
        file.sync_all().map_err(Error::io("write", &bin))?;
        self.bin_path.persist(&bin).map_err(|e| Error::io("write", &bin)(e.error))?;
        let mut lengths = self.lengths.into_inner().map_err(|e| Error::io("write", &idx)(e.into_error()))?;
        let size = self.dtype.size() as i64;
        files::write_atomically(&idx, |writer| {
            let write = || {
                writer.write_all(MAGIC)?;
                writer.write_all(&1_u64.to_le_bytes())?;
                writer.write_all(&[self.dtype.code()])?;
                writer.write_all(&self.sentences.to_le_bytes())?;
                lengths.rewind()?;
                io::copy(&mut lengths, writer)?;
                lengths.rewind()?;
                let mut lengths = BufReader::new(lengths);
                let mut offset = 0_i64;
                for _ in 0..self.sentences {
                    writer.write_all(&offset.to_le_bytes())?;
                    let mut length = [0; 4];
                    lengths.read_exact(&mut length)?;
                    offset += i64::from(i32::from_le_bytes(length)) * size;
                }
                Ok(())
            };
            write().map_err(Error::io("write", &idx))
        })
    }
}
