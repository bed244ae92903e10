//! CIFAR-10's binary version: records of a label and 32 × 32 pixels, red, green, blue, row by row.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::archive;
use super::source::Split;
use crate::error::{Error, Result};

/// Height and width of the pictures.
pub(super) const SIDE: usize = 32;
/// Bytes of the pixels of a picture.
const PIXELS: usize = 3 * SIDE * SIDE;
/// Bytes of a record: the label is before the pixels.
const RECORD: usize = 1 + PIXELS;
/// Classes.
const CLASSES: usize = 10;
/// Records that a file may have; the official ones have as many.
const GREATEST_RECORDS: usize = 10_000;
/// The names of the classes, a line each.
const META: &str = "batches.meta.txt";
/// The pictures for training.
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// Those for the test.
const TEST: [&str; 1] = ["test_batch.bin"];

/// The pictures of a split, in the order of the files.
#[derive(Debug)]
pub(super) struct Batches {
    /// The names of the classes, in the order of the labels.
    pub(super) classes: Vec<String>,
    /// The class of every picture.
    pub(super) labels: Vec<u32>,
    /// `[N, 3, 32, 32]`.
    pub(super) pixels: Vec<u8>,
}

/// Whether this is the name of one of the files with pictures.
pub(super) fn is_batch(name: &str) -> bool {
    TRAIN.contains(&name) || TEST.contains(&name)
}

/// What there is of the splits: the test is the validation, too.
pub(super) fn find(split: Split) -> Split {
    if split == Split::Train { Split::Train } else { Split::Test }
}

fn names(split: Split) -> &'static [&'static str] {
    if find(split) == Split::Train { &TRAIN } else { &TEST }
}

/// Read the files of a split out of their folder.
///
/// # Errors
/// [`Error::Io`]; [`Error::Content`] for a missing file, one that is cut off, a label above 9, files of different lengths,
/// and names of classes that are not ten.
pub(super) fn from_folder(folder: &Path, split: Split) -> Result<Batches> {
    let mut files = BTreeMap::new();
    for name in names(split).iter().copied().chain([META]) {
        let path = folder.join(name);
        if !path.is_file() {
            return Err(missing(folder, name));
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        file.take(GREATEST as u64 + 1).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        if is_batch(name) {
            check_length(bytes.len(), || path.display().to_string())?;
        }
        files.insert(name.to_string(), bytes);
    }
    // A file that was cut off between two records shows beside any of the others.
    for name in TRAIN.iter().chain(&TEST) {
        let path = folder.join(name);
        if let (Ok(data), Some((ours, bytes))) =
            (std::fs::metadata(&path), files.iter().find(|(name, _)| is_batch(name)))
            && data.len() != bytes.len() as u64
        {
            return Err(different(folder, (ours, bytes.len() as u64), (name, data.len())));
        }
    }
    parse(folder, split, files)
}

/// Read the files of a split out of their archive, `cifar-10-binary.tar.gz` or a plain tar.
///
/// # Errors
/// As [`from_folder`] and [`archive::read`].
pub(super) fn from_archive(path: &Path, split: Split) -> Result<Batches> {
    fn is_one(parts: &[String], names: &[&str]) -> bool {
        parts.last().is_some_and(|name| name == META || names.contains(&name.as_str()))
    }
    let wanted: fn(&[String]) -> bool = match split {
        Split::Train => |parts| is_one(parts, &TRAIN),
        Split::Validation | Split::Test => |parts| is_one(parts, &TEST),
    };
    let mut files = BTreeMap::new();
    archive::read(path, wanted, |members| {
        while let Some(member) = members.next()? {
            if member.folder || !wanted(&member.parts) {
                continue;
            }
            let Some(name) = member.parts.into_iter().next_back() else { continue };
            if files.insert(name.clone(), member.bytes).is_some() {
                let found = format!("{name} twice");
                return Err(Error::content(path.display().to_string(), "every file once", found, FETCH));
            }
        }
        Ok(())
    })?;
    if let Some(name) = names(split).iter().copied().chain([META]).find(|name| !files.contains_key(*name)) {
        return Err(missing(path, name));
    }
    parse(path, split, files)
}

/// Bytes that a file may have.
const GREATEST: usize = GREATEST_RECORDS * RECORD;
const FETCH: &str = "fetch cifar-10-binary.tar.gz again";

fn missing(place: &Path, name: &str) -> Error {
    Error::content(
        place.display().to_string(),
        format!("CIFAR-10's binary version with {name}"),
        format!("no {name}"),
        "fetch cifar-10-binary.tar.gz again; for other archives of pictures, give the folder that they are in",
    )
}

fn different(place: &Path, ours: (&str, u64), other: (&str, u64)) -> Error {
    Error::content(
        place.display().to_string(),
        "files with as many pictures each",
        format!("{} bytes in {}, {} bytes in {}", ours.1, ours.0, other.1, other.0),
        "fetch cifar-10-binary.tar.gz again; files of your own have as many pictures each, too",
    )
}

fn parse(place: &Path, split: Split, mut files: BTreeMap<String, Vec<u8>>) -> Result<Batches> {
    let classes = class_names(place, &files.remove(META).unwrap_or_default())?;
    let total: usize = files.values().map(|bytes| bytes.len() / RECORD).sum();
    let (mut labels, mut pixels) = (Vec::with_capacity(total), Vec::with_capacity(total * PIXELS));
    let mut first = None;
    for name in names(split) {
        let bytes = files.remove(*name).unwrap_or_default();
        let length = bytes.len() as u64;
        match first {
            None => first = Some((*name, length)),
            Some((first, expected)) if expected != length => {
                return Err(different(place, (first, expected), (name, length)));
            }
            Some(_) => {}
        }
        let place = || place.join(name).display().to_string();
        check_length(bytes.len(), place)?;
        for (number, record) in bytes.chunks_exact(RECORD).enumerate() {
            let label = record[0];
            if usize::from(label) >= CLASSES {
                return Err(Error::content(
                    format!("{}: record {number} (from 0), byte {}", place(), number * RECORD),
                    "a label from 0 to 9",
                    label.to_string(),
                    FETCH,
                ));
            }
            labels.push(u32::from(label));
            pixels.extend_from_slice(&record[1..]);
        }
    }
    Ok(Batches { classes, labels, pixels })
}

fn check_length(length: usize, place: impl Fn() -> String) -> Result<()> {
    let expected = format!("from 1 to {GREATEST_RECORDS} records of {RECORD} bytes");
    if length == 0 || length > GREATEST {
        let found = if length == 0 { "an empty file" } else { "more" };
        return Err(Error::content(place(), expected, found, FETCH));
    }
    if !length.is_multiple_of(RECORD) {
        let (whole, rest) = (length / RECORD, length % RECORD);
        let found = format!("{length} bytes: record {whole} (from 0) has {rest} of its {RECORD}");
        return Err(Error::content(place(), expected, found, FETCH));
    }
    Ok(())
}

fn class_names(place: &Path, bytes: &[u8]) -> Result<Vec<String>> {
    let text = String::from_utf8_lossy(bytes);
    let classes: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect();
    if classes.len() != CLASSES {
        let found = format!("{}", classes.len());
        let place = place.join(META).display().to_string();
        return Err(Error::content(place, format!("{CLASSES} names of classes, a line each"), found, FETCH));
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn files(records: usize, change: impl Fn(&str, &mut Vec<u8>)) -> Vec<(String, Vec<u8>)> {
        let mut files = testing::batches(records);
        files.iter_mut().for_each(|(name, bytes)| change(name, bytes));
        files
    }

    fn folder(files: &[(String, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
        folder
    }

    fn message(change: impl Fn(&str, &mut Vec<u8>)) -> String {
        from_folder(folder(&files(12, change)).path(), Split::Train).unwrap_err().to_string()
    }

    fn check(train: &Batches, test: &Batches) {
        assert_eq!((train.labels.len(), train.pixels.len()), (60, 60 * 3072));
        assert_eq!(train.labels[..13], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 0]);
        // The third record of the second batch: red, green, blue.
        let record = &train.pixels[14 * 3072..15 * 3072];
        assert_eq!((record[0], record[1024], record[2048], record[2049]), (2, 2, 0, 1));
        assert_eq!((test.labels.len(), test.pixels[0]), (12, 6));
        assert_eq!((train.classes[9].as_str(), test.classes.len()), ("truck", 10));
    }

    #[test]
    fn records_are_read_from_a_folder_and_from_archives() {
        let files = files(12, |_, _| {});
        let dir = folder(&files);
        let of = |split| from_folder(dir.path(), split).unwrap();
        check(&of(Split::Train), &of(Split::Test));
        // The official archive has them in another order, too.
        let members: Vec<(String, Vec<u8>)> =
            files.iter().rev().map(|(name, bytes)| (format!("cifar-10-batches-bin/{name}"), bytes.clone())).collect();
        let members: Vec<(&str, Vec<u8>)> =
            members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        let tar = testing::tar(&members);
        for bytes in [testing::gzip(&tar), tar] {
            let path = dir.path().join("x");
            std::fs::write(&path, bytes).unwrap();
            let of = |split| from_archive(&path, split).unwrap();
            check(&of(Split::Train), &of(Split::Test));
        }
    }

    #[test]
    fn a_file_that_is_cut_off_is_named_with_its_record() {
        let cut = message(|_, bytes| bytes.truncate(3 * 3073 + 100));
        let expected = "data_batch_1.bin: expected from 1 to 10000 records of 3073 bytes, found 9319 bytes: record 3 (from 0) \
                        has 100 of its 3073";
        assert!(cut.contains(expected), "{cut}");
        let between = message(|name, bytes| {
            if name == "data_batch_3.bin" {
                bytes.truncate(3 * 3073);
            }
        });
        assert!(between.contains("36876 bytes in data_batch_1.bin, 9219 bytes in data_batch_3.bin"), "{between}");
        assert!(
            message(|name, bytes| if is_batch(name) {
                bytes.clear()
            })
            .contains("an empty file")
        );
    }

    #[test]
    fn a_label_above_nine_is_named_with_its_record() {
        let message = message(|name, bytes| {
            if name == "data_batch_4.bin" {
                bytes[7 * 3073] = 10;
            }
        });
        assert!(message.contains("data_batch_4.bin: record 7 (from 0), byte 21511: expected a label"), "{message}");
        assert!(message.contains("found 10"), "{message}");
    }

    #[test]
    fn missing_and_repeated_files_are_named() {
        for name in ["data_batch_5.bin", "batches.meta.txt"] {
            let kept: Vec<_> = files(1, |_, _| {}).into_iter().filter(|(other, _)| other != name).collect();
            let message = from_folder(folder(&kept).path(), Split::Train).unwrap_err().to_string();
            assert!(message.contains(&format!("found no {name}")), "{message}");
            let members: Vec<(&str, Vec<u8>)> =
                kept.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.tar");
            std::fs::write(&path, testing::tar(&members)).unwrap();
            let message = from_archive(&path, Split::Train).unwrap_err().to_string();
            assert!(message.contains(&format!("found no {name}")), "{message}");
            let twice = [members[0].clone(), members[1].clone(), members[1].clone()];
            std::fs::write(&path, testing::tar(&twice)).unwrap();
            assert!(from_archive(&path, Split::Train).unwrap_err().to_string().contains("twice"));
        }
        let nine = message(|name, bytes| {
            if name == META {
                bytes.drain(..9);
            }
        });
        assert!(nine.contains("10 names of classes, a line each, found 9"), "{nine}");
    }
}
