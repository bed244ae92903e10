//! A tar archive for a split, with small pictures in it: `[SPLIT/]CLASS/NAME.jpg`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::archive;
use super::faults::Ignored;
use super::folders::{empty_class, is_picture};
use super::memory::{self, Encoded, Loaded, Picture, Reading};
use super::source::Split;
use crate::error::{Error, Result};

/// What is in an archive.
#[derive(Default)]
struct Found {
    /// How many pictures each class has.
    counts: BTreeMap<String, usize>,
    /// The folder of the split, which the classes are in.
    split_folder: Option<String>,
}

impl Found {
    /// A folder of a split is met, in `path`: one for all.
    fn enter(&mut self, path: &Path, folder: &str) -> Result<()> {
        let first = self.split_folder.get_or_insert_with(|| folder.to_string());
        if first == folder {
            return Ok(());
        }
        let found = format!("`{first}` and `{folder}`");
        let next = "make an archive of each: tar czf ARCHIVE CLASS … in its folder";
        Err(Error::content(path.display().to_string(), "the pictures of one split", found, next))
    }
}

/// Decode the pictures of an archive in one pass; also its classes.
///
/// # Errors
/// As [`memory::load`] and [`archive::read`]; [`Error::Content`] for a picture that is not in a folder of a class, and for
/// a class without pictures.
pub(super) fn load(path: &Path, split: Split, reading: Reading) -> Result<(Vec<String>, Loaded)> {
    let (mut found, mut ignored) = (Found::default(), Ignored::default());
    let loaded = archive::read(path, is_wanted, |members| {
        memory::load(reading, || {
            while let Some(member) = members.next()? {
                if let Some((class, name)) = place_of(path, split, &member, &mut found)? {
                    return Ok(Some(Picture { class, name, encoded: Encoded::Bytes(member.bytes) }));
                }
                if !member.folder && member.parts.last().is_some_and(|name| !name.starts_with('.')) {
                    ignored.add(|| member.parts.join("/"));
                }
            }
            Ok(None)
        })
    })?;
    ignored.note_beside_classes(&path.display().to_string());
    Ok((checked(path, found.counts)?, loaded))
}

/// The classes of an archive, in alphabetical order, without decoding anything.
///
/// # Errors
/// As [`load`].
pub(super) fn classes(path: &Path, split: Split) -> Result<Vec<String>> {
    let mut found = Found::default();
    archive::read(
        path,
        |_| false,
        |members| {
            while let Some(member) = members.next()? {
                place_of(path, split, &member, &mut found)?;
            }
            Ok(())
        },
    )?;
    checked(path, found.counts)
}

/// Refuse two archives with the same content: one of them has the wrong name.
///
/// # Errors
/// [`Error::Content`] with both paths; [`Error::Io`].
pub(super) fn check_different(first: &Path, second: &Path) -> Result<()> {
    let size = |path: &Path| std::fs::metadata(path).map(|data| data.len()).map_err(Error::io("read", path));
    if size(first)? != size(second)? {
        return Ok(());
    }
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(Error::io("read", path));
    let (mut one, mut other) = (open(first)?, open(second)?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    loop {
        for (path, reader, bytes) in [(first, &mut one, &mut ours), (second, &mut other, &mut theirs)] {
            bytes.clear();
            reader.take(1 << 20).read_to_end(bytes).map_err(Error::io("read", path))?;
        }
        if ours != theirs {
            return Ok(());
        }
        if ours.is_empty() {
            return Err(Error::content(
                format!("{} and {}", first.display(), second.display()),
                "a different archive for each split",
                "the same archive twice",
                "fetch the one that is missing",
            ));
        }
    }
}

fn is_wanted(parts: &[String]) -> bool {
    parts.last().is_some_and(|name| is_picture(name))
}

/// Class and name of a picture, counted; none for everything else. A folder is a class with no picture yet.
fn place_of(
    path: &Path,
    split: Split,
    member: &archive::Member,
    found: &mut Found,
) -> Result<Option<(String, String)>> {
    let in_split = |part: &String| split.is_called(part);
    let parts = member.parts.as_slice();
    if member.folder {
        match parts {
            // The folder of the split, or of a class with its name, which has pictures then.
            [only] if in_split(only) => {}
            [class] => _ = found.counts.entry(class.clone()).or_default(),
            [first, class] if in_split(first) => {
                found.enter(path, first)?;
                found.counts.entry(class.clone()).or_default();
            }
            _ => {}
        }
        return Ok(None);
    }
    if !is_wanted(parts) {
        return Ok(None);
    }
    let (class, name) = match parts {
        [class, name] => (class, name),
        [first, class, name] if in_split(first) => {
            found.enter(path, first)?;
            (class, name)
        }
        _ => {
            return Err(Error::content(
                path.display().to_string(),
                format!("pictures as CLASS/NAME.jpg or {}/CLASS/NAME.jpg", split.name()),
                parts.join("/"),
                "make the archive in the folder of the split: tar czf ARCHIVE CLASS …",
            ));
        }
    };
    *found.counts.entry(class.clone()).or_default() += 1;
    Ok(Some((class.clone(), name.clone())))
}

fn checked(path: &Path, counts: BTreeMap<String, usize>) -> Result<Vec<String>> {
    if let Some((class, _)) = counts.iter().find(|(_, count)| **count == 0) {
        return Err(empty_class(format!("{}: {class}", path.display())));
    }
    if counts.is_empty() {
        let next = "give an archive with CLASS/NAME.jpg";
        return Err(Error::content(path.display().to_string(), "a folder for each class", "no picture", next));
    }
    let classes: Vec<String> = counts.into_keys().collect();
    // One class of this name among others may be one: trains, say.
    if let [class] = classes.as_slice()
        && Split::any_is_called(class)
    {
        return Err(Error::content(
            path.display().to_string(),
            "a folder for each class",
            format!("pictures in `{class}` itself"),
            "put the pictures of every class into a folder with its name",
        ));
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    const READING: Reading = Reading { place: "p", threads: 2, skip_corrupt: false, resize: None };

    fn write(folder: &Path, name: &str, files: &[(&str, Vec<u8>)]) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, testing::gzip(&testing::tar(files))).unwrap();
        path
    }

    #[test]
    fn pictures_are_found_with_and_without_the_folder_of_the_split() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            ("test/", vec![]),
            ("test/dog/", vec![]),
            ("test/dog/1.png", testing::plain(4, 9)),
            ("test/README", vec![1]),
            ("cat/7.png", testing::plain(4, 8)),
        ];
        let path = write(folder.path(), "a.tar.gz", &files);
        let (found, loaded) = load(&path, Split::Test, READING).unwrap();
        assert_eq!(found, ["cat", "dog"]);
        assert_eq!((loaded.side, loaded.pixels[0], loaded.pixels[48]), (4, 8, 9));
        assert_eq!(classes(&path, Split::Test).unwrap(), found);
        let message = load(&path, Split::Train, READING).unwrap_err().to_string();
        assert!(message.contains("found test/dog/1.png"), "{message}");
    }

    #[test]
    fn empty_classes_and_archives_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.tar.gz", &[("cat/", vec![]), ("dog/1.png", testing::plain(4, 9))]);
        for error in [load(&path, Split::Test, READING).unwrap_err(), classes(&path, Split::Test).unwrap_err()] {
            assert!(error.to_string().contains("a.tar.gz: cat: expected pictures"), "{error}");
        }
        let path = write(folder.path(), "b.tar.gz", &[("x.txt", vec![])]);
        assert!(classes(&path, Split::Test).is_err());
        assert!(load(&path, Split::Test, READING).is_err());
        let path = write(folder.path(), "c.tar.gz", &[("test/1.png", testing::plain(4, 9))]);
        let message = load(&path, Split::Test, READING).unwrap_err().to_string();
        assert!(message.contains("pictures in `test` itself"), "{message}");
    }

    #[test]
    fn two_splits_in_an_archive_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("test/cat/1.png", testing::plain(4, 9)), ("val/cat/2.png", testing::plain(4, 8))];
        let path = write(folder.path(), "a-test.tar.gz", &files);
        for error in [load(&path, Split::Test, READING).unwrap_err(), classes(&path, Split::Test).unwrap_err()] {
            assert!(error.to_string().contains("the pictures of one split, found `test` and `val`"), "{error}");
        }
    }

    #[test]
    fn the_same_archive_twice_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = [("a", 1), ("b", 1), ("c", 2)]
            .map(|(name, value)| write(folder.path(), name, &[("cat/1.png", testing::plain(4, value))]));
        let message = check_different(&a, &b).unwrap_err().to_string();
        assert!(message.contains("same archive twice"), "{message}");
        check_different(&a, &c).unwrap();
    }
}
