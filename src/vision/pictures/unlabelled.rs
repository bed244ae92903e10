//! Pictures whose class is not known, for a trained network.

use std::path::{Path, PathBuf};

use tch::{Device, Tensor};
use walkdir::WalkDir;

use super::augment::Normalisation;
use super::decode::{self, Decoded};
use super::faults::{Ignored, Met};
use super::folders::is_picture;
use super::resize::{self, LARGE_SIDE};
use super::{GREATEST_SMALL_SIDE, PictureOptions};
use crate::error::{Error, Result};
use crate::text::in_order;

/// Pictures on disk, in the order in which they were asked for.
#[derive(Debug)]
pub struct Unlabelled {
    files: Vec<PathBuf>,
    /// What takes them, and their height and width there.
    network: (&'static str, i64),
    options: PictureOptions,
    met: Met,
}

impl Unlabelled {
    /// The pictures that `paths` name, for a network that takes those of `network.1` pixels a side: files, whatever they are
    /// called, and of folders every `.jpg`, `.jpeg` and `.png` in them and in the folders in them, in alphabetical order. What
    /// else lies there is counted and named on standard error, but for names that begin with a dot. `options.kind` follows from the
    /// network.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] for a folder without a picture.
    pub fn find(network: (&'static str, i64), paths: &[PathBuf], options: PictureOptions) -> Result<Unlabelled> {
        let mut files = Vec::new();
        for path in paths {
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            let before = files.len();
            pictures_in(path, &mut files)?;
            if files.len() == before {
                let place = path.display().to_string();
                return Err(Error::content(place, "pictures, .jpg, .jpeg or .png", "none", "check the path"));
            }
        }
        Ok(Unlabelled { files, network, options, met: Met::default() })
    }

    /// Their files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The pictures from `start` on, at most `count`, as evaluation sees them: the places of those that are not left out, and `[images,
    /// 3, side, side]`, fp32, normalised; none where all are left out.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] for a corrupt picture unless such are left out, and for one of another size than a
    /// network of small pictures takes.
    pub fn batch(&mut self, start: usize, count: usize, device: Device) -> Result<(Vec<usize>, Option<Tensor>)> {
        let Unlabelled { files, network: (network, side), options, met } = self;
        let (side, network) = (*side, *network);
        let large = side > i64::from(GREATEST_SMALL_SIDE);
        let tables = if large { Normalisation::IMAGENET } else { Normalisation::CIFAR10 }.tables();
        let end = start.saturating_add(count).min(files.len());
        let mut places = start..end;
        let work = |place: usize| -> Result<(usize, Result<Decoded, String>)> {
            Ok((place, decode::decode(&decode::read_file(&files[place])?)))
        };
        let (mut kept, mut values) = (Vec::new(), Vec::<f32>::new());
        let take = |done: Result<(usize, Result<Decoded, String>)>| -> Result<()> {
            let (place, decoded) = done?;
            let name = || files[place].display().to_string();
            let Decoded { image, converted } = match decoded {
                Ok(decoded) => decoded,
                Err(reason) if options.skip_corrupt => {
                    met.skip(place, name, &reason);
                    return Ok(());
                }
                Err(reason) => return Err(decode::corrupt(name(), &reason)),
            };
            met.read(place, converted, name);
            let (width, height) = image.dimensions();
            if !large && (i64::from(width), i64::from(height)) != (side, side) {
                let expected = format!("{side} × {side} pixels for {network}");
                return Err(Error::content(name(), expected, format!("{width} × {height}"), "resize it"));
            }
            values.extend(if large { resize::large(&image, &tables) } else { resize::planes(&image, &tables) });
            kept.push(place);
            Ok(())
        };
        in_order(options.threads.unwrap_or(1).min(end.saturating_sub(start)), || Ok(places.next()), work, take)?;
        if kept.is_empty() {
            return Ok((kept, None));
        }
        let shape = [kept.len() as i64, 3, side, side];
        debug_assert!(!large || side == LARGE_SIDE as i64);
        let pictures = Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?;
        Ok((kept, Some(pictures)))
    }

    /// Say on standard error how many were converted or left out until now.
    pub fn note_met(&self) {
        self.met.note("the pictures");
    }
}

fn pictures_in(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut ignored = Ignored::default();
    let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
    // The folder itself may be `.` or `..`.
    let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
    for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.file_name())) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_path_buf();
            Error::io("read the folder", &path)(error.into())
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        if is_picture(&entry.file_name().to_string_lossy()) {
            files.push(entry.into_path());
        } else {
            ignored.add(|| entry.path().display().to_string());
        }
    }
    ignored.note(&folder.display().to_string());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{PictureData, Pictures, Split, testing};
    use super::*;

    fn options(skip_corrupt: bool) -> PictureOptions {
        PictureOptions { skip_corrupt, threads: Some(2), ..PictureOptions::default() }
    }

    fn find(side: i64, paths: &[PathBuf], skip_corrupt: bool) -> Result<Unlabelled> {
        Unlabelled::find(("net", side), paths, options(skip_corrupt))
    }

    #[test]
    fn folders_are_walked_and_files_stay_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["b/2.png", "b/a/1.jpg", "b/.hidden/3.png", "b/.4.png", "b/README", "1.PNG", "odd-name"];
        testing::write(folder.path(), &names.map(|name| (name, vec![1])));
        let of = |names: &[&str]| names.iter().map(|name| folder.path().join(name)).collect::<Vec<_>>();
        let found = find(32, &of(&["odd-name", "b", "1.PNG", "1.PNG"]), false).unwrap();
        assert_eq!(found.files(), of(&["odd-name", "b/2.png", "b/a/1.jpg", "1.PNG", "1.PNG"]));
        testing::write(folder.path(), &[("empty/README", vec![])]);
        let message = find(32, &of(&["empty"]), false).unwrap_err().to_string();
        assert!(message.contains("empty: expected pictures"), "{message}");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/circle")).unwrap();
        assert!(find(32, &of(&["b"]), false).is_err());
    }

    /// Oracle: the same pictures in a folder of their class, as evaluation takes them.
    #[test]
    fn a_batch_is_what_evaluation_sees() {
        for side in [32, LARGE_SIDE as i64] {
            let folder = tempfile::tempdir().unwrap();
            let sizes = if side == 32 { [(32, 32); 3] } else { [(300, 260), (80, 90), (224, 224)] };
            let files: Vec<(String, Vec<u8>)> = sizes
                .iter()
                .enumerate()
                .map(|(i, (width, height))| {
                    (
                        format!("train/{i}/1.png"),
                        testing::png(*width, *height, |x, y| [(x * 7) as u8, (y * 3) as u8, i as u8]),
                    )
                })
                .collect();
            testing::write(
                folder.path(),
                &files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>(),
            );
            let pictures = Pictures::open_for(("net", side), folder.path(), Split::Train, options(false)).unwrap();
            let data = PictureData::new(pictures, Default::default(), 3, 1, Device::Cpu).unwrap();
            let expected = data.evaluation_batch(&[0, 1, 2]).unwrap().pictures;
            let mut found = find(side, &[folder.path().join("train")], false).unwrap();
            let (places, batch) = found.batch(0, 9, Device::Cpu).unwrap();
            assert_eq!((places, batch.unwrap()), (vec![0, 1, 2], expected.shallow_clone()));
            let (places, batch) = found.batch(1, 1, Device::Cpu).unwrap();
            assert_eq!((places, batch.unwrap()), (vec![1], expected.narrow(0, 1, 1)));
        }
    }

    #[test]
    fn faults_are_named_and_corrupt_pictures_left_out() {
        let folder = tempfile::tempdir().unwrap();
        testing::write(
            folder.path(),
            &[("1.png", testing::plain(32, 1)), ("2.png", vec![7; 9]), ("3.png", testing::plain(31, 1))],
        );
        let of = |name: &str| vec![folder.path().join(name)];
        let message =
            |paths: &[PathBuf]| find(32, paths, false).unwrap().batch(0, 5, Device::Cpu).unwrap_err().to_string();
        assert!(message(&of("2.png")).contains("2.png: expected a whole JPEG or PNG file, found 9 bytes"));
        assert!(message(&of("3.png")).contains("3.png: expected 32 × 32 pixels for net, found 31 × 31"));
        assert!(message(&of("none.png")).contains("none.png"));
        let mut found = find(32, &[of("2.png"), of("1.png")].concat(), true).unwrap();
        let (places, batch) = found.batch(0, 5, Device::Cpu).unwrap();
        assert_eq!((places, batch.unwrap().size()), (vec![1], vec![1, 3, 32, 32]));
        let (places, batch) = found.batch(0, 1, Device::Cpu).unwrap();
        assert!(places.is_empty() && batch.is_none());
    }
}
