//! What pictures are there under a path?

use std::path::{Path, PathBuf};

use super::{archives, binary, folders};
use crate::error::{Error, Result};

/// What folders and archives for training are called.
pub(super) const TRAIN_NAMES: [&str; 1] = ["train"];
/// What those for the test are called; the first that is there counts.
pub(super) const TEST_NAMES: [&str; 3] = ["test", "val", "valid"];
/// What CIFAR-10's archive of binary files is called.
const BINARY_ARCHIVE: &str = "cifar-10-binary";
/// The folder in it.
const BINARY_FOLDER: &str = "cifar-10-batches-bin";

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What is trained on.
    Train,
    /// What is evaluated on: `test`, or `val` where there is no `test` with classes.
    Test,
}

/// Where the splits are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splits {
    root: PathBuf,
    train: Option<PathBuf>,
    test: Option<PathBuf>,
}

impl Splits {
    /// Where this split is.
    ///
    /// # Errors
    /// [`Error::Content`] where it is not there.
    pub(super) fn path(&self, split: Split) -> Result<&Path> {
        let path = if split == Split::Train { &self.train } else { &self.test };
        path.as_deref().ok_or_else(|| {
            let (expected, other) = match split {
                Split::Train => ("a folder or an archive with `train` in its name", "the test"),
                Split::Test => ("a folder or an archive with `test` or `val` in its name", "training"),
            };
            Error::content(
                self.root.display().to_string(),
                expected,
                format!("only one for {other}"),
                "put it beside the other",
            )
        })
    }

    /// Folders that could be this split's, and are not.
    pub(super) fn others(&self, split: Split) -> Vec<PathBuf> {
        let names = TEST_NAMES.iter().filter(|_| split == Split::Test).map(|name| self.root.join(name));
        names.filter(|folder| has_folders(folder) && Some(folder) != self.test.as_ref()).collect()
    }

    /// Where the training split is.
    pub(super) fn train(&self) -> Option<&Path> {
        self.train.as_deref()
    }
}

/// What there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A folder with CIFAR-10's binary files.
    Batches(PathBuf),
    /// An archive of them.
    BatchArchive(PathBuf),
    /// A folder a class in a folder a split.
    Folders(Splits),
    /// An archive a split.
    Archives(Splits),
}

/// Look what is there.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where nothing is known, where a split has two archives, and where both splits have the
/// same one.
pub(super) fn recognise(path: &Path) -> Result<Source> {
    if path.is_file() {
        let name = path.file_name().map_or_else(Default::default, |name| name.to_string_lossy());
        let of_a_folder = [
            (binary::is_batch(&name), "one of CIFAR-10's binary files", "give the folder that it is in"),
            (folders::is_picture(&name), "a picture", "give the folder that has train/ and test/ in it"),
        ];
        if let Some((_, found, next)) = of_a_folder.into_iter().find(|(is, ..)| *is) {
            return Err(Error::content(path.display().to_string(), "a folder or cifar-10-binary.tar.gz", found, next));
        }
        return Ok(Source::BatchArchive(path.to_path_buf()));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("read the folder", path))? {
        let entry = entry.map_err(Error::io("read the folder", path))?;
        names.extend(entry.file_name().into_string());
    }
    names.retain(|name| !name.starts_with('.'));
    // The order of a folder is the system's.
    names.sort();
    if names.iter().any(|name| binary::is_batch(name)) {
        return Ok(Source::Batches(path.to_path_buf()));
    }
    if names.iter().any(|name| name == BINARY_FOLDER) && path.join(BINARY_FOLDER).is_dir() {
        return Ok(Source::Batches(path.join(BINARY_FOLDER)));
    }
    let folders = Splits {
        root: path.to_path_buf(),
        train: split_folder(path, &TRAIN_NAMES),
        test: split_folder(path, &TEST_NAMES),
    };
    if folders.train.is_some() || folders.test.is_some() {
        return Ok(Source::Folders(folders));
    }
    let is_archive = |name: &&String| {
        let name = name.to_ascii_lowercase();
        [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
    };
    let found: Vec<&str> = names.iter().filter(is_archive).map(String::as_str).collect();
    if let Some(name) = found.iter().find(|name| name.starts_with(BINARY_ARCHIVE)) {
        return Ok(Source::BatchArchive(path.join(name)));
    }
    let archives = split_archives(path, &found)?;
    if archives.train.is_none() && archives.test.is_none() {
        return Err(nothing(path, &names));
    }
    if let (Some(train), Some(test)) = (&archives.train, &archives.test) {
        archives::check_different(train, test)?;
    }
    Ok(Source::Archives(archives))
}

/// The folder of a split: the first of these names that has folders in it, or else the first that is there.
fn split_folder(path: &Path, names: &[&str]) -> Option<PathBuf> {
    let there: Vec<PathBuf> = names.iter().map(|name| path.join(name)).filter(|folder| folder.is_dir()).collect();
    there.iter().find(|folder| has_folders(folder)).or(there.first()).cloned()
}

fn has_folders(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut all| all.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())))
}

fn split_archives(path: &Path, found: &[&str]) -> Result<Splits> {
    let place = || path.display().to_string();
    let has = |name: &str, part: &str| name.to_ascii_lowercase().contains(part);
    let of = |parts: &[&str]| {
        let with = |part: &&str| -> Vec<&str> { found.iter().copied().filter(|name| has(name, part)).collect() };
        let named = parts.iter().map(with).find(|named| !named.is_empty()).unwrap_or_default();
        match named.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(path.join(name))),
            several => Err(Error::content(
                place(),
                format!("one archive with `{}` in its name", parts.join("` or `")),
                several.join(" and "),
                "keep one of them",
            )),
        }
    };
    let splits = Splits { root: path.to_path_buf(), train: of(&TRAIN_NAMES)?, test: of(&TEST_NAMES)? };
    if splits.train.is_some() && splits.train == splits.test {
        let found = found.join(", ");
        let next = "rename it: `train` or `test`";
        return Err(Error::content(place(), "an archive for each split", format!("one for both: {found}"), next));
    }
    Ok(splits)
}

fn nothing(path: &Path, names: &[String]) -> Error {
    let some = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { ", …" } else { "" };
    Error::content(
        path.display().to_string(),
        "data_batch_1.bin … (CIFAR-10's binary version), train/CLASS/*.jpg and test/CLASS/*.jpg, or an archive (.tar, \
         .tar.gz) for each of `train` and `test`",
        if names.is_empty() { "an empty folder".into() } else { some + more },
        "give the folder that holds one of these, or cifar-10-binary.tar.gz itself",
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(i, name)| (*name, vec![0; if name.contains("same") { 9 } else { i }]))
            .collect();
        testing::write(folder.path(), &files);
        folder
    }

    #[test]
    fn each_source_is_recognised_by_what_is_there() {
        let dir = folder(&["data_batch_1.bin"]);
        assert_eq!(recognise(dir.path()).unwrap(), Source::Batches(dir.path().into()));
        let dir = folder(&["cifar-10-batches-bin/test_batch.bin", "cifar-10-binary.tar.gz"]);
        assert_eq!(recognise(dir.path()).unwrap(), Source::Batches(dir.path().join("cifar-10-batches-bin")));
        let dir = folder(&["cifar-10-binary.tar.gz", "README"]);
        let archive = dir.path().join("cifar-10-binary.tar.gz");
        assert_eq!(recognise(dir.path()).unwrap(), Source::BatchArchive(archive.clone()));
        assert_eq!(recognise(&archive).unwrap(), Source::BatchArchive(archive));
        let dir = folder(&["train/cat/1.png", "val/cat/1.png", "test/1.png"]);
        let Source::Folders(splits) = recognise(dir.path()).unwrap() else { panic!() };
        assert_eq!(splits.path(Split::Train).unwrap(), dir.path().join("train"));
        // ImageNet's test pictures have no classes.
        assert_eq!(splits.path(Split::Test).unwrap(), dir.path().join("val"));
        let dir = folder(&["x-TRAIN.tar", "x-val.tgz", "other.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        assert_eq!(splits.path(Split::Train).unwrap(), dir.path().join("x-TRAIN.tar"));
        assert_eq!(splits.path(Split::Test).unwrap(), dir.path().join("x-val.tgz"));
    }

    #[test]
    fn what_is_unclear_is_named() {
        let message = |names: &[&str]| recognise(folder(names).path()).unwrap_err().to_string();
        assert!(message(&[]).contains("an empty folder"));
        assert!(message(&["a", "b", "c", "d", "e", "f"]).contains("found a, b, c, d, e, …"));
        assert!(message(&["train.tar", "train2.tar"]).contains("found train.tar and train2.tar"));
        assert!(message(&["train-and-test.tar"]).contains("one for both"));
        assert!(message(&["same-train.tar", "same-test.tar"]).contains("the same archive twice"));
        let dir = folder(&["train.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        assert!(splits.path(Split::Test).unwrap_err().to_string().contains("only one for training"));
        assert!(recognise(&dir.path().join("nowhere")).is_err());
    }
}
