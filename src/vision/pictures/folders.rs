//! A folder for each class, with pictures in it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::faults::Ignored;
use super::memory::{self, Encoded, Loaded, Picture, Reading};
use crate::error::{Error, Result};

/// The pictures of a split on disk, sorted by class, then by name.
#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    /// In alphabetical order, each with its first picture's number.
    classes: Vec<(String, usize)>,
    names: Vec<Box<OsStr>>,
}

/// Whether a file of this name is a picture: `.jpg`, `.jpeg` or `.png`, in any case. Names that begin with a dot are what
/// systems put beside pictures.
pub(super) fn is_picture(name: &str) -> bool {
    let endings = ["jpg", "jpeg", "png"];
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    !name.starts_with('.') && ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

impl Folders {
    /// List the pictures of a split.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] where there is no class folder, and for one without a picture.
    pub(super) fn list(root: &Path) -> Result<Folders> {
        let mut folders = Folders { root: root.to_path_buf(), classes: Vec::new(), names: Vec::new() };
        let mut ignored = Ignored::default();
        for class in classes_and_others(root, &mut ignored)? {
            let folder = root.join(&class);
            let names = picture_names(&folder, &mut ignored)?;
            folders.classes.push((class, folders.names.len()));
            folders.names.extend(names.into_iter().map(OsString::into_boxed_os_str));
        }
        ignored.note_beside_classes(&root.display().to_string());
        Ok(folders)
    }

    /// The classes.
    pub(super) fn classes(&self) -> Vec<String> {
        self.classes.iter().map(|(class, _)| class.clone()).collect()
    }

    /// The names of all pictures.
    pub(super) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.names.iter().map(|name| &**name)
    }

    /// The class of a picture, as a place in [`Folders::classes`], and its name.
    fn get(&self, index: usize) -> Option<(usize, &OsStr)> {
        let class = self.classes.partition_point(|(_, first)| *first <= index).checked_sub(1)?;
        let name: &OsStr = self.names.get(index)?;
        Some((class, name))
    }

    /// The class of every picture, as a place in [`Folders::classes`].
    pub(super) fn class_numbers(&self) -> impl Iterator<Item = usize> {
        let ends = self.classes.iter().skip(1).map(|(_, first)| *first).chain([self.names.len()]);
        let starts = self.classes.iter().map(|(_, first)| *first);
        starts.zip(ends).enumerate().flat_map(|(class, (start, end))| std::iter::repeat_n(class, end - start))
    }

    /// Where a picture is.
    pub(super) fn path(&self, index: usize) -> Option<PathBuf> {
        let (class, name) = self.get(index)?;
        Some(self.root.join(&self.classes[class].0).join(name))
    }

    /// Decode all of them.
    ///
    /// # Errors
    /// As [`memory::load`].
    pub(super) fn load(&self, reading: Reading) -> Result<Loaded> {
        let mut index = 0;
        memory::load(reading, || {
            let Some((class, name)) = self.get(index) else { return Ok(None) };
            let class = self.classes[class].0.clone();
            let path = self.root.join(&class).join(name);
            index += 1;
            Ok(Some(Picture { class, name: name.to_string_lossy().into_owned(), encoded: Encoded::File(path) }))
        })
    }
}

/// The classes of a split: its folders, in alphabetical order (of bytes, whatever the language of the system).
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] where there is none, and for a name that is not UTF-8.
pub(super) fn class_names(root: &Path) -> Result<Vec<String>> {
    classes_and_others(root, &mut Ignored::default())
}

/// As [`class_names`]; what lies beside the folders is `ignored`.
fn classes_and_others(root: &Path, ignored: &mut Ignored) -> Result<Vec<String>> {
    let (mut classes, mut files) = (Vec::new(), 0);
    for entry in std::fs::read_dir(root).map_err(Error::io("read the folder", root))? {
        let entry = entry.map_err(Error::io("read the folder", root))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // A link to a folder is one.
        if !entry.path().is_dir() {
            files += 1;
            ignored.add(|| entry.file_name().to_string_lossy().into_owned());
            continue;
        }
        let name = entry.file_name().into_string().map_err(|name| {
            Error::content(root.display().to_string(), "names of classes in UTF-8", format!("{name:?}"), "rename it")
        })?;
        classes.push(name);
    }
    if classes.is_empty() {
        return Err(Error::content(
            root.display().to_string(),
            "a folder for each class",
            format!("no folder and {files} files"),
            "put the pictures of every class into a folder with its name",
        ));
    }
    classes.sort();
    Ok(classes)
}

/// The pictures of a class, with those in folders in its folder, in alphabetical order; what lies beside them is `ignored`.
fn picture_names(folder: &Path, ignored: &mut Ignored) -> Result<Vec<OsString>> {
    let class = folder.file_name().unwrap_or_default();
    let below = |path: &Path| path.strip_prefix(folder).unwrap_or(path).to_path_buf();
    let other = |path: &Path| ignored.add(|| Path::new(class).join(below(path)).display().to_string());
    let pictures = pictures_below(folder, other)?;
    let mut names: Vec<OsString> = pictures.iter().map(|path| below(path).into_os_string()).collect();
    if names.is_empty() {
        return Err(empty_class(folder.display().to_string()));
    }
    names.sort();
    Ok(names)
}

fn is_named_as_picture(path: &Path) -> bool {
    path.file_name().is_some_and(|name| is_picture(&name.to_string_lossy()))
}

/// The pictures in a folder and in the folders in it, in alphabetical order, the names of folders among those of files. What
/// else lies there, or cannot be read, is handed to `other`, but for names that begin with a dot. Links are followed, but not in
/// circles.
///
/// # Errors
/// [`Error::Io`], for the folder itself and for pictures.
pub(super) fn pictures_below(folder: &Path, mut other: impl FnMut(&Path)) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    // The folder itself may be `.` or `..`.
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => match error.path().filter(|path| error.depth() > 0 && !is_named_as_picture(path)) {
                // A link that leads nowhere or in a circle, and what may not be read, is seen before its name is.
                Some(path) if is_hidden(path) => continue,
                Some(path) => {
                    other(path);
                    continue;
                }
                None => {
                    let path = error.path().unwrap_or(folder).to_path_buf();
                    return Err(Error::io("read", &path)(error.into()));
                }
            },
        };
        if entry.file_type().is_dir() {
            continue;
        }
        if is_named_as_picture(entry.path()) {
            pictures.push(entry.into_path());
        } else {
            other(entry.path());
        }
    }
    Ok(pictures)
}

/// The error of a class without pictures.
pub(super) fn empty_class(place: String) -> Error {
    Error::content(place, "pictures of this class, .jpg or .png", "none", "add some, or remove the folder")
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn tree() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        testing::write(
            folder.path(),
            &[
                ("dog/b.PNG", testing::plain(4, 3)),
                ("cat/2.png", testing::plain(4, 2)),
                ("cat/10.png", testing::plain(4, 1)),
                ("cat/._2.png", vec![]),
                ("cat/Thumbs.db", vec![]),
                ("cat/more/3.png", testing::plain(4, 4)),
                (".hidden/x.png", vec![]),
                ("README", vec![]),
            ],
        );
        folder
    }

    #[test]
    fn pictures_are_listed_by_class_and_name() {
        let folder = tree();
        let folders = Folders::list(folder.path()).unwrap();
        assert_eq!((folders.classes(), folders.names.len()), (vec!["cat".into(), "dog".into()], 4));
        let paths: Vec<_> = (0..5).map(|i| folders.path(i)).collect();
        let expected =
            ["cat/10.png", "cat/2.png", "cat/more/3.png", "dog/b.PNG"].map(|name| Some(folder.path().join(name)));
        assert_eq!((&paths[..4], &paths[4]), (&expected[..], &None));
        assert_eq!(folders.class_numbers().collect::<Vec<_>>(), [0, 0, 0, 1]);
        let reading = Reading { place: "p", threads: 2, skip_corrupt: false, resize: None };
        let loaded = folders.load(reading).unwrap();
        assert_eq!(loaded.pixels.iter().step_by(48).copied().collect::<Vec<_>>(), [1, 2, 4, 3]);
    }

    #[test]
    fn no_classes_and_empty_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        testing::write(folder.path(), &[("1.png", vec![]), ("2.png", vec![])]);
        let message = Folders::list(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no folder and 2 files"), "{message}");
        testing::write(folder.path(), &[("cat/readme.txt", vec![])]);
        let message = Folders::list(folder.path()).unwrap_err().to_string();
        assert!(message.contains("cat: expected pictures of this class"), "{message}");
        assert!(Folders::list(&folder.path().join("nowhere")).is_err());
    }
}
