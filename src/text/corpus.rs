//! What are the lines of a text file, and which belong together? Plain or gzip-compressed UTF-8, line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// The longest line that is read, in bytes. A file without line feeds, such as a small archive that unpacks to gigabytes
/// of one letter, would fill the memory otherwise.
pub const LONGEST_LINE: usize = 16 << 20;

/// Bytes of text after which a piece of work is large enough, however few lines it has.
const PIECE: usize = 1 << 20;

/// Append the next line and its `\n` to `bytes`; whether there was one.
///
/// # Errors
/// What `unreadable` makes of an error of the reader, and [`Error::Content`] for a line that is longer than
/// [`LONGEST_LINE`].
pub(super) fn read_line(
    reader: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    place: impl Fn() -> String,
    unreadable: impl FnOnce(io::Error) -> Error,
) -> Result<bool> {
    let read = reader.take(LONGEST_LINE as u64 + 1).read_until(b'\n', bytes).map_err(unreadable)?;
    if read > LONGEST_LINE {
        let found = format!("more than {} MiB without a line feed", LONGEST_LINE >> 20);
        return Err(Error::content(place(), "a line of text", found, "check that this is a text, one sentence a line"));
    }
    Ok(read > 0)
}

/// The text of a language: `PREFIX.LANG`, or `PREFIX.LANG.gz` where that is not there. Of both the first is taken, with a note.
///
/// # Errors
/// [`Error::Content`] that names both.
pub fn find_text(prefix: &Path, language: &str) -> Result<PathBuf> {
    let with = |extension: String| {
        let mut name = prefix.as_os_str().to_os_string();
        name.push(extension);
        PathBuf::from(name)
    };
    let (plain, compressed) = (with(format!(".{language}")), with(format!(".{language}.gz")));
    if plain.is_file() {
        if compressed.is_file() {
            crate::progress::note(format!("{} is taken, not {}", plain.display(), compressed.display()));
        }
        Ok(plain)
    } else if compressed.is_file() {
        Ok(compressed)
    } else {
        Err(Error::content(
            prefix.display().to_string(),
            format!("a text {} or {}", plain.display(), compressed.display()),
            "neither",
            format!("give the path without .{language}, and check the language code"),
        ))
    }
}

/// Reads a file line by line. Lines end at `\n` only; a file whose name ends in `.gz` is decompressed.
pub struct LineReader {
    path: PathBuf,
    reader: Box<dyn BufRead>,
    compressed: bool,
    bytes: Vec<u8>,
    lines: u64,
    /// Why the line after those of [`LineReader::read_lines`] could not be read.
    failure: Option<Error>,
}

impl LineReader {
    /// Open `path`.
    pub fn open(path: &Path) -> Result<LineReader> {
        let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(Error::io("read", path))?);
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let reader: Box<dyn BufRead> =
            if compressed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        Ok(LineReader { compressed, ..LineReader::of(path.to_path_buf(), reader) })
    }

    /// Read what comes from a stream, such as standard input, which messages call `name`.
    pub fn of_stream(name: impl Into<PathBuf>, reader: impl BufRead + 'static) -> LineReader {
        LineReader::of(name.into(), Box::new(reader))
    }

    fn of(path: PathBuf, reader: Box<dyn BufRead>) -> LineReader {
        LineReader { path, reader, compressed: false, bytes: Vec::new(), lines: 0, failure: None }
    }

    /// The file, or the name of the stream.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next line without its `\n`; none at the end.
    ///
    /// # Errors
    /// [`Error::Content`] with the line for a line that is not UTF-8, one longer than [`LONGEST_LINE`], and for a
    /// damaged archive.
    pub fn read_line(&mut self) -> Result<Option<&str>> {
        if !self.advance()? {
            return Ok(None);
        }
        let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        std::str::from_utf8(line).map(Some).map_err(|error| {
            let zipped = self.lines == 1 && line.starts_with(&[0x1f, 0x8b]);
            let byte = line.get(error.valid_up_to()).copied().unwrap_or_default();
            Error::content(
                format!("{}:{}", self.path.display(), self.lines),
                "UTF-8 text",
                if zipped { "a gzip file".to_string() } else { format!("a byte 0x{byte:02x} that is not") },
                if zipped {
                    "unpack it (zcat), or give it as a file that ends with .gz"
                } else {
                    "convert the file to UTF-8"
                },
            )
        })
    }

    /// The next `n` lines, fewer where they are long and at the end; none after it. Lines before one that cannot be read
    /// come first, its error with the next call.
    ///
    /// # Errors
    /// As [`LineReader::read_line`].
    pub fn read_lines(&mut self, n: usize) -> Result<Vec<String>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        while lines.len() < n && bytes < PIECE {
            match self.read_line() {
                Ok(Some(line)) => {
                    bytes += line.len();
                    lines.push(line.to_string());
                }
                Ok(None) => break,
                Err(error) if lines.is_empty() => return Err(error),
                Err(error) => {
                    self.failure = Some(error);
                    break;
                }
            }
        }
        Ok(lines)
    }

    /// Read the bytes of the next line; whether there was one.
    fn advance(&mut self) -> Result<bool> {
        self.bytes.clear();
        let (path, compressed) = (&self.path, self.compressed);
        let place = || format!("{}:{}", path.display(), self.lines + 1);
        let there = read_line(&mut self.reader, &mut self.bytes, place, |error| {
            if !compressed || error.raw_os_error().is_some() {
                return Error::io("read", path)(error);
            }
            Error::content(
                place(),
                "a whole gzip archive",
                format!("{error}"),
                "the file is cut off, damaged or not compressed: fetch it again, or rename it without .gz",
            )
        })?;
        self.lines += u64::from(there);
        Ok(there)
    }
}

/// Reads two files side by side: line i of one belongs to line i of the other.
pub struct PairReader {
    source: LineReader,
    target: LineReader,
}

impl PairReader {
    /// Open both files.
    pub fn open(source: &Path, target: &Path) -> Result<PairReader> {
        Ok(PairReader { source: LineReader::open(source)?, target: LineReader::open(target)? })
    }

    /// The next `n` pairs, fewer where they are long and at the end; none after it.
    ///
    /// # Errors
    /// As [`LineReader::read_line`]; [`Error::Content`] with both numbers of lines when one file ends before the
    /// other, and when both are empty.
    pub fn read_pairs(&mut self, n: usize) -> Result<Vec<(String, String)>> {
        let (mut pairs, mut bytes) = (Vec::new(), 0);
        while pairs.len() < n && bytes < PIECE {
            let source = self.source.read_line()?.map(str::to_string);
            let target = self.target.read_line()?.map(str::to_string);
            match (source, target) {
                (Some(source), Some(target)) => {
                    bytes += source.len() + target.len();
                    pairs.push((source, target));
                }
                (None, None) if self.source.lines == 0 => return Err(self.no_lines()),
                (None, None) => break,
                _ => return Err(self.different_lengths()?),
            }
        }
        Ok(pairs)
    }

    fn no_lines(&self) -> Error {
        let place = format!("{} and {}", self.source.path.display(), self.target.path.display());
        Error::content(place, "at least one sentence a side", "empty files", "check where the text comes from")
    }

    fn different_lengths(&mut self) -> Result<Error> {
        while self.source.advance()? {}
        while self.target.advance()? {}
        Ok(Error::content(
            format!("{} and {}", self.source.path.display(), self.target.path.display()),
            "as many lines in one file as in the other",
            format!("{} and {} lines", self.source.lines, self.target.lines),
            "pair the files again: line i of one has to be the translation of line i of the other",
        ))
    }
}
