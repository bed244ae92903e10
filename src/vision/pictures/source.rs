//! What pictures are there under a path?

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{archive, archives, binary, folders};
use crate::error::{Error, Result};

/// What CIFAR-10's archive of binary files is called.
const BINARY_ARCHIVE: &str = "cifar-10-binary";
/// The folder in it.
const BINARY_FOLDER: &str = "cifar-10-batches-bin";

/// A part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// What is trained on.
    Train,
    /// What training is watched by, and its best checkpoint chosen by: `val`, or the test where there is none.
    Validation,
    /// What the result is measured on: `test`, or `val` where there is no `test` with classes, as of ImageNet.
    Test,
}

impl Split {
    /// Every one of them.
    pub const ALL: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

    /// What it is called on the command line, in messages, and as a folder.
    pub fn name(self) -> &'static str {
        self.names()[0]
    }

    /// What its folders and archives are called; the first that is there counts.
    fn names(self) -> &'static [&'static str] {
        match self {
            Split::Train => &["train"],
            Split::Validation => &["val", "valid", "validation"],
            Split::Test => &["test"],
        }
    }

    /// What is taken where it is not there.
    fn instead(self) -> Option<Split> {
        match self {
            Split::Train => None,
            Split::Validation => Some(Split::Test),
            Split::Test => Some(Split::Validation),
        }
    }

    /// Whether a folder of this name may hold its classes, or those of what is taken in its place.
    pub(super) fn is_called(self, name: &str) -> bool {
        [Some(self), self.instead()].into_iter().flatten().any(|split| split.names().contains(&name))
    }

    /// Whether a folder of this name may be any split's.
    pub(super) fn any_is_called(name: &str) -> bool {
        Split::ALL.into_iter().any(|split| split.names().contains(&name))
    }
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(name: &str) -> Result<Split> {
        let named = Split::ALL.into_iter().find(|split| split.name() == name);
        let names = Split::ALL.map(Split::name).join(", ");
        named.ok_or_else(|| Error::usage(format!("expected a split, {names}, found {name:?}"), ""))
    }
}

/// Where the splits are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Splits {
    root: PathBuf,
    /// In the order of [`Split::ALL`]: folders, or archives, that are called as it.
    paths: [Vec<PathBuf>; 3],
}

impl Splits {
    /// Where this split is, or what is taken in its place, and which of them that is.
    ///
    /// # Errors
    /// [`Error::Content`] where neither is there, and where one is there twice.
    pub(super) fn find(&self, split: Split) -> Result<(Split, &Path)> {
        for split in [Some(split), split.instead()].into_iter().flatten() {
            if let Some(path) = self.path(split)? {
                return Ok((split, path));
            }
        }
        let (expected, found) = match split {
            Split::Train => ("a folder or an archive with `train` in its name", "only what is held out"),
            _ => ("a folder or an archive with `test` or `val` in its name", "only one for training"),
        };
        Err(Error::content(self.root.display().to_string(), expected, found, "put it beside the other"))
    }

    /// Where this very split is, if it is there.
    ///
    /// # Errors
    /// [`Error::Content`] where it is there twice.
    pub(super) fn path(&self, split: Split) -> Result<Option<&Path>> {
        match self.paths[split as usize].as_slice() {
            [] => Ok(None),
            [path] => Ok(Some(path)),
            several => {
                let names: Vec<_> = several.iter().filter_map(|path| path.file_name()).collect();
                let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
                Err(Error::content(
                    self.root.display().to_string(),
                    format!("one folder or archive for `{}`", split.name()),
                    names.join(" and "),
                    "keep one of them",
                ))
            }
        }
    }

    fn are_missing(&self) -> bool {
        self.paths.iter().all(Vec::is_empty)
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
/// [`Error::Io`]; [`Error::Content`] where nothing is known, where an archive is for training and the test, and where two are
/// the same.
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
        if !is_archive(&name) && !archive::begins_as_one(path)? {
            let expected = "a folder, or cifar-10-binary.tar.gz";
            return Err(Error::content(
                path.display().to_string(),
                expected,
                "another file",
                "give the folder of the pictures",
            ));
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
    let folders = split_folders(path);
    if !folders.are_missing() {
        return Ok(Source::Folders(folders));
    }
    let found: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_archive(name)).collect();
    if let Some(name) = found.iter().find(|name| name.starts_with(BINARY_ARCHIVE)) {
        return Ok(Source::BatchArchive(path.join(name)));
    }
    let archives = split_archives(path, &found)?;
    if archives.are_missing() {
        return Err(nothing(path, &names));
    }
    let there: Vec<&PathBuf> = archives.paths.iter().flatten().collect();
    for (place, archive) in there.iter().enumerate() {
        there[..place].iter().try_for_each(|other| archives::check_different(other, archive))?;
    }
    Ok(Source::Archives(archives))
}

/// Whether a file of this name is a tar, compressed or not.
fn is_archive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// The folders of every split that have folders in them. Where no held-out split has such, and where training has none, what
/// is there without, for a message.
fn split_folders(path: &Path) -> Splits {
    let there = |split: Split| -> Vec<PathBuf> {
        split.names().iter().map(|name| path.join(name)).filter(|folder| folder.is_dir()).collect()
    };
    let with_classes = |split| there(split).into_iter().filter(|folder| has_folders(folder)).collect();
    let mut paths: [Vec<PathBuf>; 3] = Split::ALL.map(with_classes);
    let [train, validation, test] = &mut paths;
    if train.is_empty() {
        *train = there(Split::Train);
    }
    if validation.is_empty() && test.is_empty() {
        test.extend([Split::Test, Split::Validation].into_iter().flat_map(there).next());
    }
    Splits { root: path.to_path_buf(), paths }
}

fn has_folders(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut all| all.any(|entry| entry.is_ok_and(|entry| entry.path().is_dir())))
}

fn split_archives(path: &Path, found: &[&str]) -> Result<Splits> {
    // Every name of validation begins with its first.
    let is_named = |name: &str, split: Split| name.to_ascii_lowercase().contains(split.name());
    if let Some(both) = found.iter().find(|name| [Split::Train, Split::Test].iter().all(|split| is_named(name, *split)))
    {
        return Err(Error::content(
            path.display().to_string(),
            "an archive for each split",
            format!("one for both: {both}"),
            "rename it: `train` or `test`",
        ));
    }
    let of = |split: Split| {
        // "Interval-train" is no validation.
        let others: &[Split] = if split == Split::Validation { &[Split::Train, Split::Test] } else { &[] };
        let is_of = |name: &&str| is_named(name, split) && !others.iter().any(|other| is_named(name, *other));
        found.iter().copied().filter(is_of).map(|name| path.join(name)).collect()
    };
    Ok(Splits { root: path.to_path_buf(), paths: Split::ALL.map(of) })
}

fn nothing(path: &Path, names: &[String]) -> Error {
    Error::content(
        path.display().to_string(),
        "data_batch_1.bin … (CIFAR-10's binary version), train/CLASS/*.jpg and test/CLASS/*.jpg, or an archive (.tar, \
         .tar.gz) for each of `train` and `test`",
        if names.is_empty() { "an empty folder".into() } else { super::some(names) },
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
        let in_dir = |split, name| Ok::<_, String>((split, dir.path().join(name)));
        let find = |splits: &Splits, split| {
            splits.find(split).map(|(split, path)| (split, path.to_path_buf())).map_err(|error| error.to_string())
        };
        assert_eq!(find(&splits, Split::Train), in_dir(Split::Train, "train"));
        // ImageNet's test pictures have no classes.
        assert_eq!(find(&splits, Split::Test), in_dir(Split::Validation, "val"));
        let dir = folder(&["train/cat/1.png", "valid/cat/1.png", "test/cat/1.png"]);
        let Source::Folders(splits) = recognise(dir.path()).unwrap() else { panic!() };
        for (split, name) in Split::ALL.into_iter().zip(["train", "valid", "test"]) {
            assert_eq!(find(&splits, split), Ok((split, dir.path().join(name))));
        }
        let dir = folder(&["x-TRAIN.tar", "x-val.tgz", "other.tar", "interval-test.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        for (split, name) in Split::ALL.into_iter().zip(["x-TRAIN.tar", "x-val.tgz", "interval-test.tar"]) {
            assert_eq!(find(&splits, split), Ok((split, dir.path().join(name))));
        }
        let dir = folder(&["train.tar", "test.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        assert_eq!(find(&splits, Split::Validation), Ok((Split::Test, dir.path().join("test.tar"))));
    }

    #[test]
    fn what_is_unclear_is_named() {
        let message = |names: &[&str]| recognise(folder(names).path()).unwrap_err().to_string();
        assert!(message(&[]).contains("an empty folder"));
        assert!(message(&["a", "b", "c", "d", "e", "f"]).contains("found a, b, c, d, e, …"));
        assert!(message(&["train-and-test.tar"]).contains("one for both"));
        assert!(message(&["same-train.tar", "same-test.tar"]).contains("the same archive twice"));
        let dir = folder(&["train.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        assert!(splits.find(Split::Test).unwrap_err().to_string().contains("only one for training"));
        let dir = folder(&["train.tar", "train2.tar", "test.tar"]);
        let Source::Archives(splits) = recognise(dir.path()).unwrap() else { panic!() };
        let message_of_two = splits.find(Split::Train).unwrap_err().to_string();
        assert!(message_of_two.contains("found train.tar and train2.tar"), "{message_of_two}");
        assert!(splits.find(Split::Test).is_ok());
        assert!(message(&["same-train.tar", "same-val.tar", "a-test.tar"]).contains("the same archive twice"));
        assert!(recognise(&dir.path().join("nowhere")).is_err());
    }
}
