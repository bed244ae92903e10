//! Pictures whose class is not known, for a trained network.

use std::path::{Path, PathBuf};

use tch::{Device, Tensor};

use super::augment::Tables;
use super::decode::{self, Converted, Decoded};
use super::faults::{Ignored, Met};
use super::folders::pictures_below;
use super::{PictureKind, PictureOptions, resize};
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

/// Some of them, as evaluation sees them.
#[derive(Debug)]
pub struct UnlabelledBatch {
    /// The places of the pictures in [`Unlabelled::files`], but for those that are left out.
    pub places: Vec<usize>,
    /// `[images, 3, side, side]`, fp32, normalised; none where there is no picture.
    pub pictures: Option<Tensor>,
    /// Why there are no more: what is wrong with the one behind them.
    pub failed: Option<Error>,
}

/// A picture as the network takes it, what it was before, and whether it was of another size; or what is wrong with the file.
type Taken = Result<(Vec<f32>, Option<Converted>, bool), String>;

impl Unlabelled {
    /// The pictures that `paths` name, for a network that takes those of `network.1` pixels a side: files, whatever they are
    /// called, and of folders every `.jpg`, `.jpeg` and `.png` in them and in the folders in them, in alphabetical order. What
    /// else lies there is counted and named on standard error, but for names that begin with a dot. The network decides the
    /// kind, whatever `options` say.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Content`] for a folder without a picture.
    pub fn find(network: (&'static str, i64), paths: &[PathBuf], options: PictureOptions) -> Result<Unlabelled> {
        let mut files = Vec::new();
        for path in paths {
            if !std::fs::metadata(path).map_err(Error::io("read", path))?.is_dir() {
                files.push(path.clone());
                continue;
            }
            let (mut ignored, place) = (Ignored::default(), path.display().to_string());
            let found = pictures_below(path, |other| ignored.add(|| other.display().to_string()))?;
            ignored.note(&place);
            if found.is_empty() {
                return Err(Error::content(place, "pictures, .jpg, .jpeg or .png", "none", "check the path"));
            }
            files.extend(found);
        }
        let options = PictureOptions { kind: PictureKind::of_side(network.1), ..options };
        Ok(Unlabelled { files, network, options, met: Met::default() })
    }

    /// Their files.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The pictures from `start` on, at most `count`; those before the first that fails: [`Error::Io`], and [`Error::Content`]
    /// for a corrupt picture unless such are left out, and for one of another size than a network of small pictures takes,
    /// unless such are resized.
    ///
    /// # Errors
    /// [`Error::Torch`] where there is no memory for them.
    pub fn batch(&mut self, start: usize, count: usize, device: Device) -> Result<UnlabelledBatch> {
        let Unlabelled { files, network, options, met } = self;
        let end = start.saturating_add(count).min(files.len());
        let (mut places, mut values, mut next) = (Vec::new(), Vec::<f32>::new(), start..end);
        let tables = options.kind.normalisation().tables();
        let work = |place: usize| Ok((place, taken(&files[place], *network, options, &tables)?));
        let take = |done: Result<(usize, Taken)>| -> Result<()> {
            let (place, taken) = done?;
            let name = || files[place].display().to_string();
            match taken {
                Ok((of_one, converted, resized)) => {
                    met.read(place, converted, name);
                    if resized {
                        met.resize(place);
                    }
                    values.extend(of_one);
                    places.push(place);
                }
                Err(reason) if options.skip_corrupt => _ = met.skip(place, name, &reason),
                Err(reason) => return Err(decode::corrupt(name(), &reason)),
            }
            Ok(())
        };
        let failed = in_order(options.threads().min(end.saturating_sub(start)), || Ok(next.next()), work, take).err();
        let side = network.1;
        let shape = [places.len() as i64, 3, side, side];
        let tensor = || -> Result<Tensor> { Ok(Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?) };
        let pictures = (!places.is_empty()).then(tensor).transpose()?;
        Ok(UnlabelledBatch { places, pictures, failed })
    }

    /// Say on standard error how many were converted or left out until now.
    pub fn note_met(&self) {
        self.met.note("the pictures");
    }
}

/// Decode a picture for a network of such pictures, of `side` pixels where they are small.
fn taken(file: &Path, (network, side): (&str, i64), options: &PictureOptions, tables: &Tables) -> Result<Taken> {
    let decoded = match decode::decode(&decode::read_file(file)?) {
        Ok(decoded) => decoded,
        Err(reason) => return Ok(Err(reason)),
    };
    if options.kind == PictureKind::Large {
        return Ok(Ok((resize::large(&decoded.image, tables), decoded.converted, false)));
    }
    let Decoded { image, converted, resized } = decoded.for_network(options.resize);
    let (width, height) = image.dimensions();
    if (i64::from(width), i64::from(height)) != (side, side) {
        let expected = format!("{side} × {side} pixels for {network}");
        let found = format!("{width} × {height}");
        return Err(Error::content(file.display().to_string(), expected, found, "add --resize"));
    }
    Ok(Ok((resize::planes(&image, tables), converted, resized)))
}

#[cfg(test)]
mod tests {
    use super::super::{LARGE_SIDE, PictureData, PictureOptions, Pictures, Split, testing};
    use super::*;

    fn find(side: i64, paths: &[PathBuf], skip_corrupt: bool) -> Result<Unlabelled> {
        let options = PictureOptions { skip_corrupt, threads: Some(2), ..PictureOptions::default() };
        Unlabelled::find(("net", side), paths, options)
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
        // A link that leads nowhere and begins with a dot is left alone, too.
        std::os::unix::fs::symlink("nowhere", folder.path().join("b/.#lock")).unwrap();
        assert_eq!(find(32, &of(&["b"]), false).unwrap().files().len(), 2);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/circle")).unwrap();
        assert_eq!(find(32, &of(&["b"]), false).unwrap().files().len(), 2);
        std::os::unix::fs::symlink("nowhere", folder.path().join("b/9.png")).unwrap();
        assert!(find(32, &of(&["b"]), false).unwrap_err().to_string().contains("b/9.png"));
    }

    /// Oracle: the same pictures in a folder of their class, as evaluation takes them.
    #[test]
    fn a_batch_is_what_evaluation_sees() {
        for (side, resize) in [(32, None), (32, Some(32)), (LARGE_SIDE as i64, None)] {
            let folder = tempfile::tempdir().unwrap();
            let one_size = side == 32 && resize.is_none();
            let sizes = if one_size { [(32, 32); 3] } else { [(300, 260), (80, 90), (224, 224)] };
            let options = PictureOptions { resize, threads: Some(2), ..PictureOptions::default() };
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
            let pictures = Pictures::open_for(("net", side), folder.path(), Split::Train, options).unwrap();
            let data = PictureData::new(pictures, Default::default(), 3, 1, Device::Cpu).unwrap();
            let expected = data.evaluation_batch(&[0, 1, 2]).unwrap().pictures;
            let mut found = Unlabelled::find(("net", side), &[folder.path().join("train")], options).unwrap();
            let batch = found.batch(0, 9, Device::Cpu).unwrap();
            assert_eq!((batch.places, batch.pictures.unwrap()), (vec![0, 1, 2], expected.shallow_clone()));
            let batch = found.batch(1, 1, Device::Cpu).unwrap();
            assert_eq!((batch.places, batch.pictures.unwrap()), (vec![1], expected.narrow(0, 1, 1)));
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
        let message = |paths: &[PathBuf]| {
            let batch = find(32, paths, false).unwrap().batch(0, 5, Device::Cpu).unwrap();
            assert!(batch.places.is_empty() && batch.pictures.is_none());
            batch.failed.unwrap().to_string()
        };
        assert!(message(&of("2.png")).contains("2.png: expected a whole JPEG or PNG file, found 9 bytes"));
        assert!(message(&of("3.png")).contains("3.png: expected 32 × 32 pixels for net, found 31 × 31"));
        assert!(find(32, &of("none.png"), false).unwrap_err().to_string().contains("none.png"));
        let mut found = find(32, &[of("2.png"), of("1.png")].concat(), true).unwrap();
        let batch = found.batch(0, 5, Device::Cpu).unwrap();
        assert_eq!((batch.places, batch.pictures.unwrap().size()), (vec![1], vec![1, 3, 32, 32]));
        let batch = found.batch(0, 1, Device::Cpu).unwrap();
        assert!(batch.places.is_empty() && batch.pictures.is_none() && batch.failed.is_none());
        // What comes before a failure is there.
        let batch = find(32, &[of("1.png"), of("3.png")].concat(), true).unwrap().batch(0, 5, Device::Cpu).unwrap();
        assert_eq!((batch.places, batch.pictures.unwrap().size()[0]), (vec![0], 1));
        assert!(batch.failed.unwrap().to_string().contains("3.png"));
    }
}
