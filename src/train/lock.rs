//! One process at a time trains in a run folder or makes an initialisation.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The file that is locked.
const NAME: &str = ".lock";

/// The right to write into a run folder. The system takes it back when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock(#[allow(dead_code)] File);

impl RunLock {
    /// Take it, for the folder `run`.
    ///
    /// # Errors
    /// [`Error::Content`] when another process has it.
    pub fn take(run: &Path) -> Result<RunLock> {
        let (expected, found) = ("a run folder that no other process trains in", "one that another nmt is training in");
        lock(&run.join(NAME), run, expected, found).map(RunLock)
    }
}

/// The right to make a file, which takes a while and ends in one step. It is a hidden file beside that one, which goes with it.
#[derive(Debug)]
pub struct OutputLock {
    path: PathBuf,
    _lock: File,
}

impl OutputLock {
    /// Take it, for the file `output`.
    ///
    /// # Errors
    /// [`Error::Content`] when another process has it.
    pub fn take(output: &Path) -> Result<OutputLock> {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let path = output.with_file_name(format!(".{name}{NAME}"));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
        }
        let (expected, found) = ("a file that no other process is making", "one that another nmt is making");
        let _lock = lock(&path, output, expected, found)?;
        Ok(OutputLock { path, _lock })
    }
}

impl Drop for OutputLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // Nothing holds by its name.
    }
}

fn lock(path: &Path, place: &Path, expected: &str, found: &str) -> Result<File> {
    let file = File::create(path).map_err(Error::io("write", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let next = "wait for it, stop it, or choose another --output";
            Err(Error::content(place.display().to_string(), expected, found, next))
        }
        // A file system without locks: there is nothing to hold against anybody.
        Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLock::take(folder.path()).unwrap();
        let error = RunLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another nmt is training in"), "{error}");
        drop(first);
        RunLock::take(folder.path()).unwrap();
    }

    #[test]
    fn one_at_a_time_makes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("new/init.safetensors");
        let first = OutputLock::take(&output).unwrap();
        let error = OutputLock::take(&output).unwrap_err().to_string();
        assert!(error.contains("init.safetensors: expected") && error.contains("another nmt is making"), "{error}");
        OutputLock::take(&folder.path().join("other.safetensors")).unwrap();
        drop(first);
        drop(OutputLock::take(&output).unwrap());
        assert_eq!(std::fs::read_dir(output.parent().unwrap()).unwrap().count(), 0);
    }
}
