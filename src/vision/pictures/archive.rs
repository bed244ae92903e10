//! The entries of a tar archive, compressed or not, in one pass and within limits; nothing is written to disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path};

use flate2::bufread::GzDecoder;

use super::decode;
use crate::error::{Error, Result};

/// Bytes that an archive may unpack to: CIFAR-10 has 184 MB, and a small file can unpack to any size.
const UNPACKED: u64 = 16 << 30;
/// Bytes of a path that is too long for the header of its entry.
const LONG_PATH: u64 = 1 << 16;
/// Zeros that end every archive.
const END: u64 = 1024;

/// An entry.
#[derive(Debug)]
pub(super) struct Member {
    /// Its path, part by part.
    pub(super) parts: Vec<String>,
    /// A folder; else a file.
    pub(super) folder: bool,
    /// The content, where it was wanted.
    pub(super) bytes: Vec<u8>,
}

/// A reader that fails after so many bytes and counts the zeros at its end.
struct Watched<R> {
    reader: R,
    left: u64,
    zeros: u64,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        match buffer[..read].iter().rev().position(|byte| *byte != 0) {
            Some(zeros) => self.zeros = zeros as u64,
            None => self.zeros += read as u64,
        }
        Ok(read)
    }
}

/// The entries that follow.
pub(super) struct Members<'a> {
    archive: &'a Path,
    entries: tar::Entries<'a, Watched<Box<dyn Read>>>,
    wanted: fn(&[String]) -> bool,
}

/// Hand the entries of `archive` to `with`; the contents of files that are `wanted` by their paths are read. Compression
/// is known by the first bytes.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] for an archive that is damaged, cut off or unpacks to more than 16 GiB; what `with`
/// returns.
pub(super) fn read<T>(
    archive: &Path,
    wanted: fn(&[String]) -> bool,
    with: impl FnOnce(&mut Members) -> Result<T>,
) -> Result<T> {
    let damaged = |error| damaged(archive, error);
    let file = File::open(archive).map_err(Error::io("read", archive))?;
    let mut file = BufReader::with_capacity(1 << 20, file);
    let compressed = file.fill_buf().map_err(Error::io("read", archive))?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut tar = tar::Archive::new(Watched { reader, left: UNPACKED, zeros: 0 });
    // Raw: the crate would read a long path, of whatever length, into memory.
    let entries = tar.entries().map_err(damaged)?.raw(true);
    let value = with(&mut Members { archive, entries, wanted })?;
    // The checksum is behind the last entry. An archive that is cut off between two entries has neither it nor its zeros.
    let mut rest = tar.into_inner();
    io::copy(&mut rest, &mut io::sink()).map_err(damaged)?;
    if rest.zeros < END {
        return Err(damaged(io::Error::other("no end: the archive is cut off")));
    }
    Ok(value)
}

/// Whether a file begins as something compressed by gzip, or as a tar of the last decades.
///
/// # Errors
/// [`Error::Io`].
pub(super) fn begins_as_one(path: &Path) -> Result<bool> {
    const MAGIC: std::ops::Range<usize> = 257..262;
    let mut start = Vec::new();
    let file = File::open(path).map_err(Error::io("read", path))?;
    file.take(MAGIC.end as u64).read_to_end(&mut start).map_err(Error::io("read", path))?;
    Ok(start.starts_with(&[0x1f, 0x8b]) || start.get(MAGIC) == Some(b"ustar"))
}

impl Members<'_> {
    /// The next file or folder.
    ///
    /// # Errors
    /// As [`read`]; [`Error::Content`] for a path that leads out of the folder it would be unpacked to, a link in the
    /// place of a file that is wanted, and a file that is too large.
    pub(super) fn next(&mut self) -> Result<Option<Member>> {
        let archive = self.archive;
        let damaged = |error| damaged(archive, error);
        let mut long: Option<Vec<u8>> = None;
        for entry in self.entries.by_ref() {
            let mut entry = entry.map_err(damaged)?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
                if entry.size() > LONG_PATH {
                    return Err(refused(archive, "paths of at most 64 KiB", "a longer one".into()));
                }
                if kind.is_gnu_longname() {
                    let mut path = Vec::new();
                    entry.read_to_end(&mut path).map_err(damaged)?;
                    path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
                    long = Some(path);
                    continue;
                }
                for field in entry.pax_extensions().map_err(damaged)?.into_iter().flatten() {
                    let field = field.map_err(damaged)?;
                    match field.key_bytes() {
                        b"path" => long = Some(field.value_bytes().to_vec()),
                        // Only of files of 8 GiB and more; the header has another size then.
                        b"size" => return Err(refused(archive, "files of less than 8 GiB", "a larger one".into())),
                        _ => {}
                    }
                }
                continue;
            }
            if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
                continue;
            }
            let path = long.take().unwrap_or_else(|| entry.path_bytes().into_owned());
            let parts = parts(archive, path)?;
            if kind.is_dir() {
                return Ok(Some(Member { parts, folder: true, bytes: Vec::new() }));
            }
            let wanted = (self.wanted)(&parts);
            let place = || format!("{}: {}", archive.display(), parts.join("/"));
            if !kind.is_file() {
                if wanted {
                    let next = "unpack the archive yourself and give the folder";
                    return Err(Error::content(place(), "a file", format!("{kind:?}"), next));
                }
                continue;
            }
            let mut bytes = Vec::new();
            if wanted {
                let size = entry.size();
                if size > decode::FILE_BYTES {
                    return Err(decode::too_many_bytes(place()));
                }
                entry.read_to_end(&mut bytes).map_err(damaged)?;
                if bytes.len() as u64 != size {
                    let found = format!("the end of the archive after {}", bytes.len());
                    return Err(Error::content(place(), format!("{size} bytes"), found, FETCH));
                }
            }
            return Ok(Some(Member { parts, folder: false, bytes }));
        }
        Ok(None)
    }
}

const FETCH: &str = "the file is cut off, damaged or no tar archive: fetch it again, or give the unpacked folder";

/// What an error in the middle of an archive means.
fn damaged(archive: &Path, error: io::Error) -> Error {
    let place = archive.display().to_string();
    if error.kind() == io::ErrorKind::FileTooLarge {
        let expected = format!("an archive that unpacks to at most {} GiB", UNPACKED >> 30);
        let next = "if it is the right one, unpack it yourself and give the folder";
        return Error::content(place, expected, "more", next);
    }
    if error.raw_os_error().is_some() {
        return Error::io("read", archive)(error);
    }
    Error::content(place, "a whole tar archive, plain or with gzip", error.to_string(), FETCH)
}

fn refused(archive: &Path, expected: &str, found: String) -> Error {
    Error::content(
        archive.display().to_string(),
        expected,
        found,
        "make the archive again, or give the unpacked folder",
    )
}

/// The parts of a path, without `.`. Nothing is written by it, but an archive with a path that leads elsewhere is not the
/// one that was meant.
fn parts(archive: &Path, path: Vec<u8>) -> Result<Vec<String>> {
    let path = String::from_utf8(path)
        .map_err(|error| refused(archive, "paths in UTF-8", format!("{:?}", error.into_bytes().escape_ascii())))?;
    let mut parts = Vec::new();
    for part in Path::new(&path).components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            _ => return Err(refused(archive, "paths inside the folder that it unpacks to", format!("{path:?}"))),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(String, bool, Vec<u8>)>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.tar");
        std::fs::write(&path, bytes).unwrap();
        let mut all = Vec::new();
        read(
            &path,
            |parts| parts.last().is_some_and(|name| name.ends_with('w')),
            |members| {
                while let Some(member) = members.next()? {
                    all.push((member.parts.join("/"), member.folder, member.bytes));
                }
                Ok(())
            },
        )?;
        Ok(all)
    }

    #[test]
    fn files_and_folders_come_in_order() {
        let long = format!("{}/w", "x".repeat(150));
        let tar =
            testing::tar(&[("./a/", vec![]), ("a/w", vec![1, 2]), ("a/other", vec![3]), (long.as_str(), vec![4; 600])]);
        let expected = [
            ("a".to_string(), true, vec![]),
            ("a/w".into(), false, vec![1, 2]),
            ("a/other".into(), false, vec![]),
            (long.clone(), false, vec![4; 600]),
        ];
        assert_eq!(all(&tar).unwrap(), expected);
        assert_eq!(all(&testing::gzip(&tar)).unwrap(), expected);
    }

    #[test]
    fn an_archive_that_is_cut_off_is_an_error_wherever() {
        let tar = testing::tar(&[("w", vec![1; 600]), ("vw", vec![2; 100])]);
        let packed = testing::gzip(&tar);
        // Within a header, in a file, between the entries, before the zeros at the end.
        for length in [100, 600, 512 + 1024, tar.len() - 1024] {
            assert!(all(&tar[..length]).is_err(), "{length}");
        }
        for length in [0, 1, 12, packed.len() / 2, packed.len() - 1] {
            assert!(all(&packed[..length]).is_err(), "{length}");
        }
        assert!(all(b"no archive").is_err());
    }

    #[test]
    fn paths_that_lead_out_and_links_are_refused() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "w", "/etc/passwd").unwrap();
        let message = all(&builder.into_inner().unwrap()).unwrap_err().to_string();
        assert!(message.contains("Symlink"), "{message}");
        let mut tar = testing::tar(&[("xx/w", vec![1])]);
        tar[..2].copy_from_slice(b"..");
        // The checksum of the header changes with it.
        let mut header = tar::Header::from_byte_slice(&tar[..512]).clone();
        header.set_cksum();
        tar[..512].copy_from_slice(header.as_bytes());
        let message = all(&tar).unwrap_err().to_string();
        assert!(message.contains("../w"), "{message}");
    }
}
