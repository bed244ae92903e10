//! A file that is mapped into memory, and whether it still is what it was.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use memmap2::Mmap;

use crate::error::{Error, Result};

/// A file, mapped for reading.
#[derive(Debug)]
pub(super) struct MappedFile {
    path: PathBuf,
    file: File,
    /// `None`: the file is empty, which cannot be mapped.
    map: Option<Mmap>,
    opened: Metadata,
    /// Its time when it was last known to be what was opened.
    modified: Mutex<Option<SystemTime>>,
}

/// The time of a file is set before what is written arrives, and in steps of the system's clock.
const SETTLED: Duration = Duration::from_secs(2);

/// What has become of a file since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileState {
    /// Nothing.
    Same,
    /// Its name is gone or belongs to another file; what is mapped is as it was.
    Replaced,
    /// It has another time, this one: it may have been written to.
    Touched(Option<SystemTime>),
    /// It has another length: it was written to, and what is mapped may not be there.
    Resized,
}

/// Whether both are of one file.
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (one.dev(), one.ino()) == (other.dev(), other.ino())
    }
    #[cfg(not(unix))]
    {
        one.len() == other.len()
    }
}

impl MappedFile {
    /// Map the file at `path`.
    pub fn open(path: &Path) -> Result<MappedFile> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let metadata = file.metadata().map_err(Error::io("read", path))?;
        if metadata.is_dir() {
            return Err(Error::content(path.display().to_string(), "a file", "a folder", "check the path"));
        }
        let mut map = None;
        if metadata.len() > 0 {
            // SAFETY: the map is read-only. As with every memory-mapped dataset, the file must not be shortened while it is
            // in use; `IndexedWriter` replaces files by renaming, which leaves the mapped one whole.
            map = Some(unsafe { Mmap::map(&file) }.map_err(Error::io("map", path))?);
        }
        let modified = Mutex::new(metadata.modified().ok());
        Ok(MappedFile { path: path.to_path_buf(), file, map, opened: metadata, modified })
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Of [`FileState::Touched`]: what it holds was found to be what was opened, and needs no second look while it has this
    /// time. A time that is not past yet may be that of a further write, and is looked at again.
    pub fn accept(&self, modified: Option<SystemTime>) {
        if modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > SETTLED) {
            *self.modified.lock().unwrap_or_else(PoisonError::into_inner) = modified;
        }
    }

    /// What has become of it.
    pub fn state(&self) -> FileState {
        match self.file.metadata() {
            Ok(now) if now.len() != self.opened.len() => FileState::Resized,
            Ok(now) if now.modified().ok() != *self.modified.lock().unwrap_or_else(PoisonError::into_inner) => {
                FileState::Touched(now.modified().ok())
            }
            Ok(_) if std::fs::metadata(&self.path).is_ok_and(|named| same_file(&named, &self.opened)) => {
                FileState::Same
            }
            _ => FileState::Replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_becomes_of_a_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || {
            std::fs::write(&path, "three").unwrap();
            MappedFile::open(&path).unwrap()
        };
        let file = open();
        assert_eq!((file.bytes(), file.state()), (&b"three"[..], FileState::Same));
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        assert_eq!(file.state(), FileState::Resized);

        std::fs::remove_file(&path).unwrap();
        let file = open();
        std::fs::write(folder.path().join("other"), "three").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert_eq!((file.bytes(), file.state()), (&b"three"[..], FileState::Replaced));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.state(), FileState::Replaced);
        // Written to under another name.
        let file = open();
        let moved = folder.path().join("moved");
        std::fs::rename(&path, &moved).unwrap();
        let touch = |time| std::fs::OpenOptions::new().write(true).open(&moved).unwrap().set_modified(time).unwrap();
        let (now, before) = (SystemTime::now(), SystemTime::now() - Duration::from_secs(9));
        for (time, settled) in [(now + Duration::from_secs(9), false), (now, false), (before, true)] {
            touch(time);
            assert_eq!(file.state(), FileState::Touched(Some(time)));
            file.accept(Some(time));
            assert_eq!(file.state() == FileState::Replaced, settled);
        }
    }
}
