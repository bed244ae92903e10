//! The folder of a dataset, which appears whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::text::{SETTINGS_FILE, SUBWORD_FILE};

/// A temporary folder beside the one it will become. Dropped before [`finish`](OutputFolder::finish), it disappears.
pub struct OutputFolder {
    dir: PathBuf,
    temporary: TempDir,
}

impl OutputFolder {
    /// Start the folder `dir`.
    ///
    /// # Errors
    /// [`Error::Usage`] when `dir` holds something and may not be replaced (`overwrite`), or holds files that are no
    /// part of a dataset; [`Error::Io`] when its parent cannot be written to.
    pub fn create(dir: &Path, overwrite: bool) -> Result<OutputFolder> {
        check_replaceable(dir, overwrite)?;
        let parent = match dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
        let temporary = tempfile::Builder::new().prefix(".nmt-").suffix(".tmp").tempdir_in(parent);
        Ok(OutputFolder { dir: dir.to_path_buf(), temporary: temporary.map_err(Error::io("write", dir))? })
    }

    /// Where to write for the time being.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Give the folder its name; what had the name before is removed.
    pub fn finish(self) -> Result<()> {
        #[cfg(unix)]
        {
            // Temporary folders are private; the finished one has the usual permissions.
            use std::os::unix::fs::PermissionsExt;
            let _ = fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755));
        }
        let write = Error::io("write", &self.dir);
        if !self.dir.exists() {
            fs::rename(self.path(), &self.dir).map_err(write)?;
            let _ = self.temporary.keep();
            return Ok(());
        }
        let mut former = self.path().as_os_str().to_os_string();
        former.push(".former");
        fs::rename(&self.dir, &former).map_err(Error::io("rename", &self.dir))?;
        if let Err(error) = fs::rename(self.path(), &self.dir) {
            let _ = fs::rename(&former, &self.dir);
            return Err(write(error));
        }
        let _ = self.temporary.keep();
        fs::remove_dir_all(&former).map_err(Error::io("remove", &former))
    }
}

fn check_replaceable(dir: &Path, overwrite: bool) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        names.push(entry.map_err(Error::io("read the folder", dir))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let found = |name: &str| format!("{}: expected a new or empty folder, found {name:?} in it", dir.display());
    if let Some(name) = names.iter().find(|name| !is_part_of_a_dataset(name)) {
        return Err(Error::usage(
            found(name),
            "choose another folder; one with files that are no part of a dataset is not replaced",
        ));
    }
    match names.first() {
        Some(name) if !overwrite => {
            Err(Error::usage(found(name), "choose another folder, or replace this one with --overwrite"))
        }
        _ => Ok(()),
    }
}

/// Whether `nmt preprocess` or fairseq-preprocess writes files of this name.
fn is_part_of_a_dataset(name: &str) -> bool {
    let has = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
    [SETTINGS_FILE, SUBWORD_FILE, "preprocess.log"].contains(&name)
        || has("dict.", ".txt")
        || has("tokenizer.", ".json")
        || has("", ".bin")
        || has("", ".idx")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_appears_whole_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("deep/data");
        let output = OutputFolder::create(&dir, false).unwrap();
        fs::write(output.path().join("dict.de.txt"), "old").unwrap();
        assert!(!dir.exists());
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(dir.join("dict.de.txt")).unwrap(), "old");

        let message = OutputFolder::create(&dir, false).err().unwrap().to_string();
        assert!(message.contains("dict.de.txt") && message.contains("--overwrite"), "{message}");

        // Given up before it was finished: nothing has changed, nothing is left behind.
        drop(OutputFolder::create(&dir, true).unwrap());
        assert_eq!(fs::read_to_string(dir.join("dict.de.txt")).unwrap(), "old");
        assert_eq!(names(&parent.path().join("deep")), ["data"]);

        let output = OutputFolder::create(&dir, true).unwrap();
        fs::write(output.path().join("dict.en.txt"), "new").unwrap();
        output.finish().unwrap();
        assert_eq!(names(&dir), ["dict.en.txt"]);
        assert_eq!(names(&parent.path().join("deep")), ["data"]);
    }

    #[test]
    fn a_folder_of_other_files_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        assert!(OutputFolder::create(dir.path(), false).is_ok());
        fs::write(dir.path().join("thesis.txt"), "").unwrap();
        let message = OutputFolder::create(dir.path(), true).err().unwrap().to_string();
        assert!(message.contains("thesis.txt"), "{message}");
        assert!(OutputFolder::create(&dir.path().join("thesis.txt"), true).is_err());
    }
}
