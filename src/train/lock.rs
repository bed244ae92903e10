//! One process at a time trains in a run folder.

use std::fs::{File, TryLockError};
use std::path::Path;

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
        let path = run.join(NAME);
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(RunLock(file)),
            Err(TryLockError::WouldBlock) => Err(Error::content(
                run.display().to_string(),
                "a run folder that no other process trains in",
                "one that another nmt is training in",
                "wait for it, stop it, or choose another --output",
            )),
            // A file system without locks: there is nothing to hold against anybody.
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => Ok(RunLock(file)),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
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
}
