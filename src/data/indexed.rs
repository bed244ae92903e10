//! Where are the ids of sentence i? fairseq's memory-mapped `.bin`/`.idx` pair.
//!
//! `.idx`, little endian: magic `MMIDIDX\0\0`, u64 version 1, u8 dtype code, u64 n, n × i32 lengths in tokens,
//! n × i64 byte offsets into `.bin`. `.bin`: the ids of all sentences, one after another.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::dictionary::EOS;
use super::dtype::Dtype;
use super::mapped_file::{FileState, MappedFile};
use crate::error::{Error, Result};

pub(super) const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
const HEADER: usize = 26;
const AGAIN: &str = "run `nmt preprocess` or fairseq-preprocess again";

/// A binarised dataset, opened for reading; the ids stay in the file until they are asked for.
#[derive(Debug)]
pub struct IndexedDataset {
    prefix: PathBuf,
    ids: MappedFile,
    /// Of [`IndexedDataset::crc32`], once that was asked for.
    checksum: OnceLock<u32>,
    dtype: Dtype,
    lengths: Vec<i32>,
    offsets: Vec<usize>,
}

impl IndexedDataset {
    /// CRC-32 of the lengths and the ids as they were when it was asked for first.
    pub fn crc32(&self) -> u32 {
        *self.checksum.get_or_init(|| self.sum())
    }

    fn sum(&self) -> u32 {
        let mut crc = flate2::Crc::new();
        self.lengths.iter().for_each(|length| crc.update(&length.to_le_bytes()));
        crc.update(self.ids.bytes());
        crc.sum()
    }

    /// Open `PREFIX.idx` and `PREFIX.bin` and check one against the other.
    ///
    /// # Errors
    /// [`Error::Content`] when the magic, the version or the type code is not fairseq's, when a size or an offset
    /// does not fit the length of its file, and when sentences overlap.
    pub fn open(prefix: &Path) -> Result<IndexedDataset> {
        let (idx, bin) = (path(prefix, "idx"), path(prefix, "bin"));
        let index = MappedFile::open(&idx)?;
        let index = index.bytes();
        let (dtype, n) = header(&idx, index)?;
        let ids = MappedFile::open(&bin)?;
        let available = ids.bytes().len();

        let (lengths_at, offsets_at) = (HEADER, HEADER + 4 * n);
        let mut lengths = Vec::with_capacity(n);
        let mut offsets = Vec::with_capacity(n);
        let length_bytes = index.get(lengths_at..offsets_at).unwrap_or_default().chunks_exact(4);
        let offset_bytes = index.get(offsets_at..).unwrap_or_default().chunks_exact(8);
        for (sentence, (length, offset)) in length_bytes.zip(offset_bytes).enumerate() {
            let (length, offset) = (Dtype::I32.read(length), Dtype::I64.read(offset));
            let length = i32::try_from(length).unwrap_or(-1);
            if length < 0 {
                return Err(Error::content(
                    idx.display().to_string(),
                    format!("a length of 0 or more for sentence {sentence}"),
                    length.to_string(),
                    AGAIN,
                ));
            }
            let end = |offset: usize| (length as usize).checked_mul(dtype.size())?.checked_add(offset);
            match usize::try_from(offset).ok().and_then(|offset| Some((offset, end(offset)?))) {
                Some((offset, end)) if end <= available && offset.is_multiple_of(dtype.size()) => {
                    lengths.push(length);
                    offsets.push(offset);
                }
                _ => {
                    return Err(Error::content(
                        bin.display().to_string(),
                        format!("{length} ids of {} bytes at offset {offset} for sentence {sentence}", dtype.size()),
                        format!("{available} bytes in all"),
                        format!("the file is cut off or belongs to another {}; {AGAIN}", idx.display()),
                    ));
                }
            }
        }
        let dataset =
            IndexedDataset { prefix: prefix.to_path_buf(), ids, checksum: OnceLock::new(), dtype, lengths, offsets };
        // Sentences that share ids would make a small file endlessly long.
        if dataset.tokens() > (available / dtype.size()) as u64 {
            return Err(Error::content(
                idx.display().to_string(),
                format!("sentences of {} ids in all, as {} holds", available / dtype.size(), bin.display()),
                format!("{} ids", dataset.tokens()),
                format!("the sentences overlap: the file is damaged; {AGAIN}"),
            ));
        }
        Ok(dataset)
    }

    /// Whether the ids still are those that were opened. Where the name belongs to another file by now, or to none, they are:
    /// then a sentence about it.
    ///
    /// # Errors
    /// [`Error::Content`] where the file was written to, unless [`IndexedDataset::crc32`] was asked for before and is the same.
    pub fn check_file(&self) -> Result<Option<String>> {
        let place = self.ids.path().display();
        match self.ids.state() {
            FileState::Same => Ok(None),
            FileState::Replaced => Ok(Some(format!("{place} was replaced or removed; what was opened is read on"))),
            FileState::Touched(modified) if self.checksum.get() == Some(&self.sum()) => {
                self.ids.accept(modified);
                Ok(None)
            }
            FileState::Touched(_) | FileState::Resized => Err(self.written_to()),
        }
    }

    /// The error of a file that is no longer what was opened and checked.
    pub(super) fn written_to(&self) -> Error {
        Error::content(
            self.ids.path().display().to_string(),
            "the file as it was opened",
            "that it was written to while it is read",
            "put it back as it was, and go on with --resume from what was saved before",
        )
    }

    /// The path without `.bin` and `.idx`.
    pub fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The type of the ids in the file.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The number of sentences.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no sentence.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The number of ids of sentence `i`, `</s>` included; 0 when there is no such sentence.
    pub fn length(&self, i: usize) -> usize {
        self.lengths.get(i).map_or(0, |&length| length as usize)
    }

    /// [`length`](Self::length) of every sentence.
    pub fn lengths(&self) -> Vec<usize> {
        self.lengths.iter().map(|&length| length as usize).collect()
    }

    /// The ids of sentence `i`, `</s>` included; empty when there is no such sentence.
    pub fn get(&self, i: usize) -> Vec<i64> {
        let mut ids = Vec::with_capacity(self.length(i));
        ids.extend(self.ids_of(i));
        ids
    }

    /// The ids of sentence `i`, one at a time.
    pub fn ids_of(&self, i: usize) -> impl DoubleEndedIterator<Item = i64> {
        let start = self.offsets.get(i).copied().unwrap_or(0);
        let bytes = self.ids.bytes();
        let bytes = bytes.get(start..start + self.length(i) * self.dtype.size()).unwrap_or_default();
        bytes.chunks_exact(self.dtype.size()).map(|bytes| self.dtype.read(bytes))
    }

    /// The number of ids of all sentences.
    pub fn tokens(&self) -> u64 {
        self.lengths.iter().map(|&length| length as u64).sum()
    }

    /// Check that every id is one of a dictionary of `symbols` entries.
    ///
    /// # Errors
    /// [`Error::Content`] that names the sentence, the id, and `dictionary`.
    pub fn check_ids(&self, symbols: usize, dictionary: &Path) -> Result<()> {
        for i in 0..self.len() {
            if let Some(id) = self.ids_of(i).find(|&id| usize::try_from(id).map_or(true, |id| id >= symbols)) {
                return Err(Error::content(
                    path(&self.prefix, "bin").display().to_string(),
                    format!("ids from 0 to {}, as {} has them", symbols.saturating_sub(1), dictionary.display()),
                    format!("id {id} in sentence {i}"),
                    format!("give the dictionary the data were made with, or {AGAIN}"),
                ));
            }
        }
        Ok(())
    }

    /// Check that every sentence ends with `</s>`, as a translation model needs it.
    ///
    /// # Errors
    /// [`Error::Content`] that names the sentence.
    pub fn check_ends(&self) -> Result<()> {
        for i in 0..self.len() {
            let last = self.ids_of(i).next_back();
            if last != Some(EOS) {
                return Err(Error::content(
                    path(&self.prefix, "bin").display().to_string(),
                    format!("</s>, id {EOS}, at the end of sentence {i}"),
                    last.map_or("no id at all".to_string(), |id| format!("id {id}")),
                    format!("the file is damaged; {AGAIN}"),
                ));
            }
        }
        Ok(())
    }
}

/// `PREFIX.EXTENSION`; the prefix may itself hold dots.
pub(super) fn path(prefix: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

/// The type of the ids and the number of sentences, checked against the length of the file.
fn header(idx: &Path, index: &[u8]) -> Result<(Dtype, usize)> {
    let place = || idx.display().to_string();
    let next = format!("give data binarised with `nmt preprocess` or fairseq-preprocess --dataset-impl mmap; {AGAIN}");
    let Some((header, rest)) = index.split_at_checked(HEADER) else {
        let found = format!("{} bytes", index.len());
        return Err(Error::content(place(), format!("a header of {HEADER} bytes"), found, next));
    };
    let number = |at: usize| header.get(at..at + 8).map_or(0, |bytes| Dtype::I64.read(bytes) as u64);
    if !header.starts_with(MAGIC) {
        let found = match header {
            [b'T', b'N', b'T', b'I', b'D', b'X', ..] => "TNTIDX, fairseq's older layout".to_string(),
            _ => format!("\"{}\"", header.get(..9).unwrap_or_default().escape_ascii()),
        };
        return Err(Error::content(place(), format!("the magic \"{}\"", MAGIC.escape_ascii()), found, next));
    }
    if number(9) != 1 {
        return Err(Error::content(place(), "version 1", format!("version {}", number(9)), next));
    }
    let code = header.get(17).copied().unwrap_or(0);
    let Some(dtype) = Dtype::from_code(code) else {
        return Err(Error::content(
            place(),
            "an integer type code (1, 2, 3, 4, 5 or 8)",
            format!("type code {code}"),
            next,
        ));
    };
    let n = number(18);
    match usize::try_from(n).ok().and_then(|n| Some((n, n.checked_mul(12)?))) {
        Some((n, bytes)) if bytes == rest.len() => Ok((dtype, n)),
        _ => Err(Error::content(
            place(),
            format!("12 bytes for each of {n} sentences after the header"),
            format!("{} bytes", rest.len()),
            format!("the file is cut off or damaged; {AGAIN}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::IndexedWriter;
    use super::*;

    fn write(prefix: &Path, symbols: usize, sentences: &[&[i64]]) {
        let mut writer = IndexedWriter::create(prefix, symbols).unwrap();
        sentences.iter().for_each(|ids| writer.push(ids).unwrap());
        writer.finish().unwrap();
    }

    /// The bytes are worked out by hand from the layout.
    #[test]
    fn the_bytes_of_a_small_dataset() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("train.de-en.de");
        write(&prefix, 1000, &[&[4, 258, 2], &[2]]);
        assert_eq!(std::fs::read(path(&prefix, "bin")).unwrap(), [4, 0, 2, 1, 2, 0, 2, 0]);
        let mut expected = b"MMIDIDX\0\0\x01\0\0\0\0\0\0\0\x08\x02\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0".to_vec();
        expected.extend_from_slice(b"\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0");
        assert_eq!(std::fs::read(path(&prefix, "idx")).unwrap(), expected);
        // Nothing temporary is left behind.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for (symbols, dtype) in [(65_499, Dtype::U16), (65_500, Dtype::I32)] {
            let prefix = folder.path().join(format!("a.{symbols}"));
            write(&prefix, symbols, &[&[4, 65_498, 2], &[], &[2]]);
            let dataset = IndexedDataset::open(&prefix).unwrap();
            assert_eq!((dataset.dtype(), dataset.len(), dataset.tokens()), (dtype, 3, 4));
            assert_eq!(dataset.lengths(), [3, 0, 1]);
            assert_eq!((dataset.get(0), dataset.get(1), dataset.get(2)), (vec![4, 65_498, 2], vec![], vec![2]));
            assert_eq!((dataset.get(3), dataset.length(3)), (vec![], 0));
            assert!(dataset.check_ids(65_499, Path::new("dict.de.txt")).is_ok());
            let message = dataset.check_ids(100, Path::new("dict.de.txt")).unwrap_err().to_string();
            assert!(message.contains("id 65498 in sentence 0") && message.contains("dict.de.txt"), "{message}");
        }
    }

    #[test]
    fn a_dataset_of_no_sentences() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("empty");
        write(&prefix, 10, &[]);
        assert!(IndexedDataset::open(&prefix).unwrap().is_empty());
    }

    #[test]
    fn every_type_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("types");
        for (code, bytes, id) in [
            (1_u8, vec![200_u8], 200_i64),
            (2, vec![100], 100),
            (3, vec![0x10, 0x01], 272),
            (4, vec![0x10, 0x01, 0, 0], 272),
            (5, vec![0x10, 0x01, 0, 0, 0, 0, 0, 0], 272),
            (8, vec![0xff, 0xff], 65_535),
        ] {
            write(&prefix, 10, &[&[2]]);
            let mut index = std::fs::read(path(&prefix, "idx")).unwrap();
            index[17] = code;
            std::fs::write(path(&prefix, "idx"), index).unwrap();
            std::fs::write(path(&prefix, "bin"), bytes).unwrap();
            assert_eq!(IndexedDataset::open(&prefix).unwrap().get(0), [id], "code {code}");
        }
    }

    #[test]
    fn ids_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = IndexedWriter::create(&folder.path().join("a"), 10).unwrap();
        assert!(writer.push(&[65_536]).is_err());
        assert!(writer.push(&[-1]).is_err());
        drop(writer);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Every header field and every table, damaged one at a time, and the file cut at every length.
    #[test]
    fn damage_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("a");
        write(&prefix, 10, &[&[4, 5, 2], &[4, 2]]);
        let (idx, bin) = (path(&prefix, "idx"), path(&prefix, "bin"));
        let (index, ids) = (std::fs::read(&idx).unwrap(), std::fs::read(&bin).unwrap());
        for (at, value, expected) in [
            (0, b'X', "magic"),
            (9, 2, "version 1"),
            (17, 6, "type code 6"),
            (18, 3, "3 sentences"),
            (25, 0x80, "sentences"),
            (29, 0x80, "a length of 0 or more for sentence 0"),
            (26, 9, "9 ids of 2 bytes at offset 0 for sentence 0"),
            (42, 1, "at offset 7 for sentence 1"),
            (49, 0x80, "for sentence 1"),
        ] {
            let mut damaged = index.clone();
            damaged[at] = if at == 42 { 7 } else { value };
            std::fs::write(&idx, damaged).unwrap();
            let message = IndexedDataset::open(&prefix).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("again"), "byte {at}: {message}");
        }
        for length in 0..index.len() {
            std::fs::write(&idx, &index[..length]).unwrap();
            assert!(IndexedDataset::open(&prefix).is_err(), "{length} bytes of the index");
        }
        std::fs::write(&idx, &index).unwrap();
        for length in 0..ids.len() {
            std::fs::write(&bin, &ids[..length]).unwrap();
            let message = IndexedDataset::open(&prefix).unwrap_err().to_string();
            assert!(message.contains("a.bin"), "{message}");
        }
    }
}
