//! Pictures and their classes: where they come from, how they are changed for training, and in what batches.
//!
//! ```text
//! a path ── source ──> binary │ archives │ folders ──> Pictures ── augment │ resize ──> batches ── mixup ──> PictureBatch
//! ```

mod archive;
mod archives;
mod augment;
mod batches;
mod binary;
mod decode;
mod faults;
mod folders;
mod memory;
mod mixup;
mod prefetch;
mod prepare;
mod resize;
mod source;
#[cfg(test)]
mod testing;
mod unlabelled;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use image::RgbImage;
use sha2::{Digest, Sha256};

pub use augment::{AugmentConfig, Normalisation};
pub use batches::PictureData;
pub use memory::GREATEST_SMALL_SIDE;
pub(in crate::vision) use prepare::all_corrupt;
pub use resize::LARGE_SIDE;
pub use source::Split;
pub use unlabelled::{Unlabelled, UnlabelledBatch};

use crate::counted::Counted;
use crate::error::{Error, Result};
use crate::progress;
use faults::Met;
use folders::Folders;
use memory::{Loaded, Reading};
use source::Source;

/// How pictures are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PictureKind {
    /// Square pictures of one size, of at most [`GREATEST_SMALL_SIDE`] pixels a side, as CIFAR-10's, in memory.
    #[default]
    Small,
    /// Pictures of any size, as ImageNet's, in folders on disk: decoded and brought to [`LARGE_SIDE`] when a batch needs them.
    Large,
}

impl PictureKind {
    /// What a network takes whose pictures have `side` pixels a side.
    fn of_side(side: i64) -> PictureKind {
        if side <= i64::from(GREATEST_SMALL_SIDE) { PictureKind::Small } else { PictureKind::Large }
    }

    /// What such pictures are normalised by: CIFAR-10's numbers or ImageNet's.
    fn normalisation(self) -> Normalisation {
        match self {
            PictureKind::Small => Normalisation::CIFAR10,
            PictureKind::Large => Normalisation::IMAGENET,
        }
    }
}

/// How pictures are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct PictureOptions {
    /// How they are kept.
    pub kind: PictureKind,
    /// Leave corrupt pictures out, counted and the first five named, instead of failing. Corrupt is what the decoder
    /// refuses, and a JPEG file that is cut off; a wrong byte in the middle of one may pass.
    pub skip_corrupt: bool,
    /// Bring small pictures of another size to this height and width: the shorter side is resized to it, and the middle taken.
    /// None: they are refused.
    pub resize: Option<u32>,
    /// Threads that decode; none: as many as the machine runs at a time. No result depends on it.
    pub threads: Option<usize>,
}

impl PictureOptions {
    /// How many threads decode.
    fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
        self.threads.unwrap_or_else(cores).max(1)
    }
}

/// The pictures of a split, in memory or on disk, with their classes.
#[derive(Debug)]
pub struct Pictures {
    split: Split,
    classes: Vec<String>,
    labels: Vec<u32>,
    store: Store,
    threads: usize,
    skip_corrupt: bool,
    fingerprint: OnceLock<String>,
}

#[derive(Debug)]
enum Store {
    /// `[N, 3, side, side]`, and how many pictures were left out.
    Memory { side: usize, pixels: Vec<u8>, skipped: usize },
    /// What is met while they are read is kept beside them.
    Disk { folders: Folders, met: Box<Mutex<Met>> },
}

/// A picture as it is kept.
pub(super) enum Raw<'a> {
    /// `[3, side, side]`.
    Small(&'a [u8]),
    /// Of any size.
    Large(RgbImage),
    /// Corrupt and left out.
    LeftOut,
}

impl Pictures {
    /// Open a split of what is under `path`, recognised by what is there:
    ///
    /// - CIFAR-10's binary version: a folder with `data_batch_1.bin` …, one with `cifar-10-batches-bin` in it, or the
    ///   archive `cifar-10-binary.tar.gz` itself;
    /// - `train/CLASS/*.jpg` (`.jpeg`, `.png`), and `val/CLASS/…`, `test/CLASS/…` or both;
    /// - an archive (`.tar`, `.tar.gz`, `.tgz`) for each split with `train`, `val` or `test` in its name and
    ///   `[SPLIT/]CLASS/NAME.jpg` in it.
    ///
    /// Classes are in alphabetical order, those of CIFAR-10's binary version in its own, which is the same. A held-out split
    /// has the classes of the training split where there is one, and is taken for the other held-out split where that is not
    /// there: [`Pictures::split`]. Pictures are sorted by class, then by name; those of
    /// CIFAR-10's binary version are in the order of the files.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] for what is missing, damaged, cut off, there twice, or of another size than the
    /// first small picture, for a class without pictures, and for a class of the test that training lacks.
    pub fn open(path: &Path, split: Split, options: PictureOptions) -> Result<Pictures> {
        let threads = options.threads();
        let PictureOptions { skip_corrupt, resize, .. } = options;
        let source = source::recognise(path)?;
        let no_folders = match &source {
            Source::Folders(_) => None,
            Source::Batches(_) => Some("CIFAR-10's binary files"),
            Source::BatchArchive(_) => Some("a file"),
            Source::Archives(_) => Some("archives"),
        };
        if let (PictureKind::Large, Some(found)) = (options.kind, no_folders) {
            return Err(Error::content(
                path.display().to_string(),
                "pictures of any size in a folder for each class, train/CLASS/*.jpg",
                found,
                "unpack archives of larger pictures; those of CIFAR-10 are for the networks of small ones",
            ));
        }
        let (found, (classes, labels, store)) = match source {
            Source::Batches(folder) => (binary::find(split), of_batches(binary::from_folder(&folder, split)?)),
            Source::BatchArchive(archive) => (binary::find(split), of_batches(binary::from_archive(&archive, split)?)),
            Source::Archives(splits) => {
                let (found, archive) = splits.find(split)?;
                let place = archive.display().to_string();
                let reading = Reading { place: &place, threads, skip_corrupt, resize };
                let (own, loaded) = archives::load(archive, found, reading)?;
                let classes = match splits.path(Split::Train)?.filter(|_| split != Split::Train) {
                    Some(train) => archives::classes(train, Split::Train)?,
                    None => own.clone(),
                };
                (found, of_loaded(&place, classes, &own, loaded)?)
            }
            Source::Folders(splits) => {
                let (found, root) = splits.find(split)?;
                let place = root.display().to_string();
                let folders = Folders::list(root)?;
                let own = folders.classes();
                let train = splits.path(Split::Train)?.filter(|_| split != Split::Train);
                let classes = train.map_or_else(|| Ok(own.clone()), folders::class_names)?;
                let parts = if options.kind == PictureKind::Small {
                    let reading = Reading { place: &place, threads, skip_corrupt, resize };
                    of_loaded(&place, classes, &own, folders.load(reading)?)?
                } else {
                    let numbers = of_training(&place, &classes, &own)?;
                    let labels = folders.class_numbers().filter_map(|class| numbers.get(class).copied()).collect();
                    (classes, labels, Store::Disk { folders, met: Box::default() })
                };
                (found, parts)
            }
        };
        if let ([class], Split::Train) = (classes.as_slice(), split) {
            let place = path.display();
            progress::note(format!(
                "warning: {place}: all pictures are of one class, {class}: is it a folder too low?"
            ));
        }
        Ok(Pictures { split: found, classes, labels, store, threads, skip_corrupt, fingerprint: OnceLock::new() })
    }

    /// As [`Pictures::open`], of pictures for a network that takes those of `side` pixels a side, which decides how they are
    /// kept; `network` names it.
    ///
    /// # Errors
    /// As [`Pictures::open`], and [`Error::Content`] for pictures of another size than the network's.
    pub fn open_for(
        (network, side): (&str, i64),
        path: &Path,
        split: Split,
        options: PictureOptions,
    ) -> Result<Pictures> {
        let kind = PictureKind::of_side(side);
        let pictures = Pictures::open(path, split, PictureOptions { kind, ..options })?;
        if pictures.side() as i64 == side {
            return Ok(pictures);
        }
        Err(Error::content(
            path.display().to_string(),
            format!("pictures of {side} × {side} pixels for {network}"),
            format!("{0} × {0}", pictures.side()),
            "bring them to that size: `nmt vision` does by --resize",
        ))
    }

    /// The same pictures for a network of `classes`, which may be more than theirs and in another order; those of which there is
    /// no picture are named on standard error.
    ///
    /// # Errors
    /// [`Error::Content`] for a class of theirs that is not among them.
    pub fn for_classes(mut self, classes: &[String]) -> Result<Pictures> {
        if self.classes == classes {
            return Ok(self);
        }
        let met: BTreeSet<u32> = self.labels.iter().copied().collect();
        let own: Vec<String> = met.iter().filter_map(|label| self.classes.get(*label as usize)).cloned().collect();
        let next = "rename them, or train on with a linear layer for these: nmt vision train --new-head";
        let place = format!("the pictures of `{}`", self.split.name());
        let numbers = numbers(&place, "the network", classes, &own, next)?;
        let number_of: BTreeMap<u32, u32> = met.into_iter().zip(numbers).collect();
        self.labels = self.labels.iter().filter_map(|label| number_of.get(label).copied()).collect();
        self.classes = classes.to_vec();
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// Which split they are: the one that was asked for, or the other held-out one.
    pub fn split(&self) -> Split {
        self.split
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Never true of what [`Pictures::open`] returns.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The names of the classes; [`Pictures::class_of`] is a place in them.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of picture `index`, from 0 on; -1 where there is no such picture.
    pub fn class_of(&self, index: usize) -> i64 {
        self.labels.get(index).map_or(-1, |label| i64::from(*label))
    }

    /// Height and width of the pictures of a batch, in pixels.
    pub fn side(&self) -> usize {
        match self.store {
            Store::Memory { side, .. } => side,
            Store::Disk { .. } => LARGE_SIDE,
        }
    }

    /// Whether the pictures are small and in memory.
    pub fn in_memory(&self) -> bool {
        matches!(self.store, Store::Memory { .. })
    }

    /// What pictures are normalised by: CIFAR-10's numbers for small ones, ImageNet's for large ones.
    pub fn normalisation(&self) -> Normalisation {
        if self.in_memory() { PictureKind::Small } else { PictureKind::Large }.normalisation()
    }

    /// How many corrupt pictures were left out, of those that were read.
    pub fn skipped(&self) -> usize {
        match &self.store {
            Store::Memory { skipped, .. } => *skipped,
            Store::Disk { met, .. } => met.lock().unwrap_or_else(PoisonError::into_inner).skipped(),
        }
    }

    /// Say on standard error how many pictures on disk were converted or left out until now. Of those in memory
    /// [`Pictures::open`] has said it.
    pub fn note_met(&self, place: &str) {
        if let Store::Disk { met, .. } = &self.store {
            met.lock().unwrap_or_else(PoisonError::into_inner).note(place);
        }
    }

    /// What tells these pictures from others: their classes and, in memory, every pixel; on disk the names of the files, whose
    /// contents may have changed.
    pub fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| {
            let mut hash = Sha256::new();
            // A name ends where no name has a byte.
            self.classes.iter().for_each(|class| hash.update([class.as_bytes(), &[0]].concat()));
            self.labels.iter().for_each(|label| hash.update(label.to_le_bytes()));
            match &self.store {
                Store::Memory { pixels, .. } => hash.update(pixels),
                Store::Disk { folders, .. } => {
                    folders.names().for_each(|name| hash.update([name.as_encoded_bytes(), &[0]].concat()));
                }
            }
            format!("{:x}", hash.finalize())
        })
    }

    /// Threads that decode.
    fn threads(&self) -> usize {
        // Small pictures need nothing but a copy.
        if self.in_memory() { 1 } else { self.threads }
    }

    /// Picture `index` as it is kept, decoded where it is on disk.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] for a corrupt picture unless such are left out, and for an index too large.
    pub(super) fn raw(&self, index: usize) -> Result<Raw<'_>> {
        let missing = || {
            let expected = format!("an index below {}", self.len());
            Error::content("the pictures", expected, index.to_string(), "")
        };
        match &self.store {
            Store::Memory { side, pixels, .. } => {
                let size = 3 * side * side;
                let start = index.checked_mul(size).ok_or_else(missing)?;
                pixels.get(start..).and_then(|rest| rest.get(..size)).map(Raw::Small).ok_or_else(missing)
            }
            Store::Disk { folders, met } => {
                let path = folders.path(index).ok_or_else(missing)?;
                let bytes = decode::read_file(&path)?;
                let name = || path.display().to_string();
                let decoded = decode::decode(&bytes);
                let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
                let (raw, said) = match decoded {
                    Ok(decoded) => (Raw::Large(decoded.image), met.read(index, decoded.converted, name)),
                    Err(reason) if self.skip_corrupt => (Raw::LeftOut, met.skip(index, name, &reason)),
                    Err(reason) => return Err(decode::corrupt(name(), &reason)),
                };
                drop(met);
                said.iter().for_each(progress::note);
                Ok(raw)
            }
        }
    }
}

type Parts = (Vec<String>, Vec<u32>, Store);

fn of_batches(batches: binary::Batches) -> Parts {
    let binary::Batches { classes, labels, pixels } = batches;
    (classes, labels, Store::Memory { side: binary::SIDE, pixels, skipped: 0 })
}

fn of_loaded(place: &str, classes: Vec<String>, own: &[String], loaded: Loaded) -> Result<Parts> {
    of_training(place, &classes, own)?;
    let Loaded { side, keys, pixels, skipped } = loaded;
    // Every class is there: the line above would have named another.
    let number = |(class, _): &(String, String)| classes.binary_search(class).unwrap_or_default() as u32;
    let labels = keys.iter().map(number).collect();
    Ok((classes, labels, Store::Memory { side, pixels, skipped }))
}

/// Where a split's `own` classes are in those of training.
fn of_training(place: &str, classes: &[String], own: &[String]) -> Result<Vec<u32>> {
    numbers(place, "the training split", classes, own, "give both splits the same classes")
}

/// Where the classes of the pictures of `place`, its `own`, are in all `classes`, which are those of `whose`. Those that have no
/// picture are named on standard error, those that are not among `classes` in an error, with what to do `next`.
fn numbers(place: &str, whose: &str, classes: &[String], own: &[String], next: &str) -> Result<Vec<u32>> {
    let number_of: HashMap<&String, u32> = classes.iter().zip(0..).collect();
    let strange: Vec<String> = own.iter().filter(|class| !number_of.contains_key(class)).cloned().collect();
    if !strange.is_empty() {
        let expected = format!("classes of {whose}: {}", some(classes));
        let found = format!("{}, which it lacks", some(&strange));
        return Err(Error::content(place, expected, found, next));
    }
    let met: BTreeSet<&String> = own.iter().collect();
    let absent: Vec<String> = classes.iter().filter(|class| !met.contains(class)).cloned().collect();
    if !absent.is_empty() {
        let which = format!("{} of the {} classes of {whose}", absent.len(), classes.len());
        progress::note(format!("warning: {place}: no pictures of {which}: {}", some(&absent)));
    }
    Ok(own.iter().filter_map(|class| number_of.get(class).copied()).collect())
}

/// The first of these names.
fn some(names: &[String]) -> String {
    let mut counted = Counted::default();
    names.iter().for_each(|name| _ = counted.add(|| name.clone()));
    counted.names()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LARGE: PictureOptions =
        PictureOptions { kind: PictureKind::Large, skip_corrupt: false, resize: None, threads: None };

    fn open(path: &Path, split: Split) -> Result<Pictures> {
        Pictures::open(path, split, PictureOptions::default())
    }

    #[test]
    fn binary_batches_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let files = testing::batches(10);
        files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
        let train = open(folder.path(), Split::Train).unwrap();
        assert_eq!((train.len(), train.side(), train.classes().len()), (50, 32, 10));
        assert_eq!((train.class_of(0), train.class_of(13), train.class_of(50)), (0, 3, -1));
        assert!(train.in_memory() && !train.is_empty() && train.skipped() == 0);
        let Raw::Small(pixels) = train.raw(13).unwrap() else { panic!() };
        assert_eq!((pixels.len(), pixels[0], pixels[1024]), (3072, 2, 3));
        assert!(train.raw(50).is_err() && train.raw(usize::MAX).is_err());
    }

    #[test]
    fn folders_and_archives_hold_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let train = [("train/bee/1.png", testing::plain(4, 1)), ("train/cat/1.png", testing::plain(4, 2))];
        let test = [("test/cat/9.png", testing::plain(4, 3))];
        testing::write(&folder.path().join("tree"), &train);
        testing::write(&folder.path().join("tree"), &test);
        let packed = folder.path().join("packed");
        let archives = [("a-train.tar.gz", testing::gzip(&testing::tar(&train))), ("a-test.tar", testing::tar(&test))];
        testing::write(&packed, &archives);
        for path in [folder.path().join("tree"), packed] {
            let pictures = open(&path, Split::Train).unwrap();
            assert_eq!((pictures.len(), pictures.side(), pictures.class_of(1)), (2, 4, 1));
            let pictures = open(&path, Split::Test).unwrap();
            // The test has one class only; its number is that of training.
            assert_eq!(
                (pictures.len(), pictures.class_of(0), pictures.classes()),
                (1, 1, &["bee".into(), "cat".into()][..])
            );
            let Raw::Small(pixels) = pictures.raw(0).unwrap() else { panic!() };
            assert_eq!(pixels, [3; 48]);
        }
    }

    #[test]
    fn a_fingerprint_is_of_classes_and_pictures() {
        let of = |files: &[(&str, Vec<u8>)], split| {
            let folder = tempfile::tempdir().unwrap();
            testing::write(folder.path(), files);
            open(folder.path(), split).unwrap().fingerprint().to_string()
        };
        let small = |class: &str, value| {
            of(&[(format!("train/{class}/1.png").as_str(), testing::plain(4, value))], Split::Train)
        };
        assert_eq!(small("bee", 1), small("bee", 1));
        assert!(small("bee", 1) != small("bee", 2) && small("bee", 1) != small("cat", 1));
        let large = |name: &str| {
            let folder = tempfile::tempdir().unwrap();
            testing::write(folder.path(), &[(format!("val/bee/{name}.jpg").as_str(), testing::jpeg(90, 70))]);
            Pictures::open(folder.path(), Split::Test, LARGE).unwrap().fingerprint().to_string()
        };
        assert!(large("1") == large("1") && large("1") != large("2"));
    }

    #[test]
    fn a_class_that_training_lacks_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (train, test) = (("train/bee/1.png", testing::plain(4, 1)), ("test/cat/1.png", testing::plain(4, 2)));
        testing::write(folder.path(), &[train.clone(), test.clone()]);
        let other = tempfile::tempdir().unwrap();
        testing::write(other.path(), &[("train.tar", testing::tar(&[train])), ("test.tar", testing::tar(&[test]))]);
        for path in [folder.path(), other.path()] {
            let message = open(path, Split::Test).unwrap_err().to_string();
            assert!(message.contains("training split: bee, found cat, which it lacks"), "{message}");
        }
        assert!(Pictures::open(folder.path(), Split::Test, LARGE).unwrap_err().to_string().contains("found cat"));
        let message = Pictures::open(other.path(), Split::Train, LARGE).unwrap_err().to_string();
        assert!(message.contains("in a folder for each class") && message.contains("found archives"), "{message}");
    }

    #[test]
    fn large_pictures_stay_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        testing::write(
            folder.path(),
            &[
                ("train/a/1.jpg", testing::jpeg(90, 70)),
                ("train/b/1.jpg", vec![1]),
                ("val/b/1.jpg", testing::jpeg(9, 9)),
            ],
        );
        let pictures = Pictures::open(folder.path(), Split::Train, LARGE).unwrap();
        assert!(!pictures.in_memory() && pictures.side() == LARGE_SIDE);
        let Raw::Large(image) = pictures.raw(0).unwrap() else { panic!() };
        assert_eq!(image.dimensions(), (90, 70));
        assert!(pictures.raw(1).err().unwrap().to_string().contains("b/1.jpg"));
        assert!(pictures.raw(2).is_err());
        assert!(!Pictures::open(folder.path(), Split::Test, LARGE).unwrap().in_memory());
        let skip = PictureOptions { skip_corrupt: true, ..LARGE };
        let pictures = Pictures::open(folder.path(), Split::Train, skip).unwrap();
        assert!(matches!(pictures.raw(1).unwrap(), Raw::LeftOut));
        assert_eq!((pictures.skipped(), pictures.len()), (1, 2));
    }

    /// Oracle: the README of the archives, 1,000 pictures a class.
    #[test]
    fn the_test_pictures_of_cifar_10_are_read() {
        let Some(path) = testing::reference("cifar10") else { return };
        let start = Instant::now();
        let pictures = open(&path, Split::Test).unwrap();
        eprintln!("10,000 JPEG files in {:.2} s", start.elapsed().as_secs_f64());
        assert_eq!((pictures.len(), pictures.side()), (10_000, 32));
        let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
        assert_eq!(pictures.classes(), names);
        for class in 0..10 {
            assert_eq!((0..10_000).filter(|i| pictures.class_of(*i) == class).count(), 1_000);
        }
    }

    /// How long all of them take; run by name, with `--ignored --nocapture`.
    #[test]
    #[ignore = "a measurement"]
    fn all_pictures_of_cifar_10_are_read() {
        let Some(path) = testing::reference("cifar10") else { return };
        for split in [Split::Train, Split::Test] {
            let start = Instant::now();
            let pictures = open(&path, split).unwrap();
            eprintln!("{} {split:?}: {:.2} s", pictures.len(), start.elapsed().as_secs_f64());
        }
    }
}
