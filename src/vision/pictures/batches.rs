//! Pictures as batches of training and evaluation.

use std::sync::{Arc, Mutex, PoisonError};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use tch::Device;

use super::Pictures;
use super::augment::AugmentConfig;
use super::mixup::Mix;
use super::prefetch::Loader;
use super::prepare::{Prepared, prepare};
use crate::error::{Error, Result};
use crate::train::{TrainingData, Units};
use crate::vision::batch::PictureBatch;

/// A split in batches.
#[derive(Debug)]
pub struct PictureData {
    pictures: Arc<Pictures>,
    augment: AugmentConfig,
    batch_size: usize,
    seed: u64,
    device: Device,
    /// The thread that prepares batches; none until one is asked for.
    loader: Mutex<Option<Loader>>,
}

impl PictureData {
    /// Take `pictures` in batches of `batch_size` to `device`, changed for training by `augment`, in an order of `seed`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a batch size of 0 and as [`AugmentConfig::check`].
    pub fn new(
        pictures: impl Into<Arc<Pictures>>,
        augment: AugmentConfig,
        batch_size: usize,
        seed: u64,
        device: Device,
    ) -> Result<PictureData> {
        augment.check()?;
        if batch_size == 0 {
            return Err(Error::usage("the batch size has to be 1 or more, found 0", "128 is usual for CIFAR-10"));
        }
        Ok(PictureData { pictures: pictures.into(), augment, batch_size, seed, device, loader: Mutex::new(None) })
    }

    /// The same pictures in batches of `batch_size` that are not mixed (MixUp): what GradInit and MetaInit look at, as the
    /// published code of the GradInit paper.
    ///
    /// # Errors
    /// As [`PictureData::new`].
    pub fn for_initialisation(&self, batch_size: usize) -> Result<PictureData> {
        let augment = AugmentConfig { mixup: 0.0, ..self.augment.clone() };
        PictureData::new(self.pictures.clone(), augment, batch_size, self.seed, self.device)
    }

    /// The pictures.
    pub fn pictures(&self) -> &Pictures {
        &self.pictures
    }

    /// The batches of training, as indices of pictures, epoch after epoch from the first on.
    pub fn batches_without_end(&self) -> impl Iterator<Item = Vec<usize>> {
        (1..).flat_map(|epoch| self.order(epoch))
    }

    /// The batches of an epoch (from 1), as indices of pictures: all of them once in an order that is a function of seed
    /// and epoch; the last batch is what is left.
    fn order(&self, epoch: u64) -> Vec<Vec<usize>> {
        // One stream of random numbers an epoch.
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(epoch);
        let mut order: Vec<usize> = (0..self.pictures.len()).collect();
        order.shuffle(&mut random);
        order.chunks(self.batch_size).map(<[usize]>::to_vec).collect()
    }

    /// The batch of these indices as evaluation sees it: nothing is random.
    ///
    /// # Errors
    /// As [`TrainingData::batch`].
    pub fn evaluation_batch(&self, indices: &[usize]) -> Result<PictureBatch> {
        self.unchanged(&prepare(&self.pictures, None, indices, 0)?.with_pictures()?)
    }

    /// All pictures in their order, one batch after the other, as [`PictureData::evaluation_batch`] makes them, but for batches
    /// whose pictures are all left out; the next one is prepared in the background.
    pub fn evaluation_batches(&self) -> impl Iterator<Item = Result<PictureBatch>> {
        let indices: Vec<usize> = (0..self.pictures.len()).collect();
        let batches: Vec<Vec<usize>> = indices.chunks(self.batch_size).map(<[usize]>::to_vec).collect();
        let pictures = self.pictures.clone();
        let mut loader = Loader::start(move |(indices, _)| prepare(&pictures, None, indices, 0));
        (0..batches.len()).filter_map(move |place| {
            let ready = loader.as_mut().and_then(|loader| loader.take(&batches[place], 0));
            if let (Some(loader), Some(next)) = (loader.as_mut(), batches.get(place + 1)) {
                loader.request(next, 0);
            }
            match ready.unwrap_or_else(|| prepare(&self.pictures, None, &batches[place], 0)) {
                Ok(prepared) => (prepared.len() > 0).then(|| self.unchanged(&prepared)),
                Err(error) => Some(Err(error)),
            }
        })
    }

    fn unchanged(&self, prepared: &Prepared) -> Result<PictureBatch> {
        let (pictures, classes) = prepared.tensors(self.device)?;
        Ok(PictureBatch { pictures, classes, mixed: None })
    }

    fn loader(&self) -> std::sync::MutexGuard<'_, Option<Loader>> {
        self.loader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TrainingData for PictureData {
    type Batch = PictureBatch;

    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>> {
        Ok(self.order(epoch))
    }

    /// The batch of these indices, changed for training: a function of the pictures, the configuration and `seed`, which is
    /// to be another one for every batch. Pictures that [`TrainingData::prefetch`] has prepared are taken as they are. A
    /// batch is smaller where corrupt pictures are left out.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Content`] for pictures on disk that cannot be read, be it now or before in the background,
    /// for a batch of which all are left out, and for an index too large; [`Error::Usage`] for no indices; [`Error::Torch`] where there is no memory.
    fn batch(&self, indices: &[usize], seed: u64) -> Result<PictureBatch> {
        let ready = self.loader().as_mut().and_then(|loader| loader.take(indices, seed));
        let prepared = ready.unwrap_or_else(|| prepare(&self.pictures, Some(&self.augment), indices, seed))?;
        let prepared = prepared.with_pictures()?;
        let (pictures, classes) = prepared.tensors(self.device)?;
        if self.augment.mixup == 0.0 {
            return Ok(PictureBatch { pictures, classes, mixed: None });
        }
        let mix = Mix::draw(self.augment.mixup, prepared.len(), seed);
        let (pictures, others) = mix.apply(&pictures, &classes)?;
        Ok(PictureBatch { pictures, classes, mixed: Some((others, mix.share)) })
    }

    /// Prepare a batch in the background that [`TrainingData::batch`] will be asked for. At most two are prepared at a time, so the third is when it is asked for; ask in the order of
    /// the batches.
    fn prefetch(&self, indices: &[usize], seed: u64) {
        let mut loader = self.loader();
        if loader.is_none() {
            let (pictures, augment) = (self.pictures.clone(), self.augment.clone());
            *loader = Loader::start(move |(indices, seed)| prepare(&pictures, Some(&augment), indices, *seed));
        }
        if let Some(loader) = loader.as_mut() {
            loader.request(indices, seed);
        }
    }

    fn fingerprint(&self) -> String {
        self.pictures.fingerprint().to_string()
    }

    fn units(&self) -> Units {
        Units { plural: "pictures", key: "pictures", loss: 1.0 }
    }

    fn describe(&self, indices: &[usize]) -> (String, &'static str) {
        let side = self.pictures.side();
        (format!("{} pictures of {side} × {side} pixels", indices.len()), "lower training.batch_size")
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tch::{Kind, Tensor};

    use super::super::{PictureKind, PictureOptions, Split, testing};
    use super::*;

    /// 23 small pictures, picture i of the value i; or as many large ones, one of them grey.
    fn open(folder: &Path, large: bool, options: PictureOptions) -> Arc<Pictures> {
        for i in 0..23u8 {
            let bytes = match (large, i) {
                (false, _) => testing::plain(8, i),
                (true, 4) => {
                    let grey = image::GrayImage::from_fn(70, 80, |x, y| image::Luma([(x + y) as u8]));
                    testing::encode(&grey.into(), image::ImageFormat::Jpeg)
                }
                (true, _) => testing::jpeg(70 + u32::from(i), 90),
            };
            let name = format!("train/{}/{i:02}.png", i % 2);
            testing::write(folder, &[(name.as_str(), bytes)]);
        }
        let kind = if large { PictureKind::Large } else { PictureKind::Small };
        Arc::new(Pictures::open(folder, Split::Train, PictureOptions { kind, ..options }).unwrap())
    }

    /// A cutout that leaves something of the small pictures.
    fn small_cutout() -> AugmentConfig {
        AugmentConfig { cutout: 3, ..AugmentConfig::default() }
    }

    fn data(pictures: &Arc<Pictures>, augment: AugmentConfig) -> PictureData {
        PictureData::new(pictures.clone(), augment, 5, 1, Device::Cpu).unwrap()
    }

    fn same(a: &PictureBatch, b: &PictureBatch) -> bool {
        let mixed = match (&a.mixed, &b.mixed) {
            (Some((ours, share)), Some((theirs, other))) => ours == theirs && share == other,
            (None, None) => true,
            _ => false,
        };
        a.pictures == b.pictures && a.classes == b.classes && mixed
    }

    #[test]
    fn an_epoch_has_every_picture_once() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), false, PictureOptions::default());
        let data = data(&pictures, small_cutout());
        let batches = data.order(1);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
        let mut seen = batches.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..23).collect::<Vec<_>>());
        assert_eq!(batches, data.order(1));
        assert_ne!(batches, data.order(2));
        let other = PictureData::new(pictures.clone(), small_cutout(), 5, 2, Device::Cpu).unwrap();
        assert_ne!(batches, other.order(1));
        assert!(PictureData::new(pictures.clone(), small_cutout(), 0, 1, Device::Cpu).is_err());
        let bad = AugmentConfig { mixup: -1.0, ..small_cutout() };
        assert!(PictureData::new(pictures, bad, 5, 1, Device::Cpu).is_err());
    }

    /// Oracle: (x/255 - mean)/deviation of picture i, which has the value i; classes by the parity of i.
    #[test]
    fn evaluation_is_in_order_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), false, PictureOptions::default());
        let data = data(&pictures, AugmentConfig { mixup: 1.0, ..small_cutout() });
        let batches: Vec<PictureBatch> = data.evaluation_batches().collect::<Result<_>>().unwrap();
        assert_eq!(batches.last().unwrap().pictures.size(), [3, 3, 8, 8]);
        let all = Tensor::cat(&batches.iter().map(|batch| batch.pictures.shallow_clone()).collect::<Vec<_>>(), 0);
        assert_eq!((all.size(), all.kind()), (vec![23, 3, 8, 8], Kind::Float));
        let classes: Vec<i64> =
            batches.iter().flat_map(|batch| Vec::<i64>::try_from(&batch.classes).unwrap()).collect();
        assert_eq!(classes, [[0; 12].as_slice(), &[1; 11]].concat());
        // The first twelve have the even values, then come the odd ones.
        for (index, value) in [(0, 0.0), (3, 6.0), (12, 1.0), (22, 21.0)] {
            let expected = (value / 255.0 - 0.4822) / 0.1994;
            assert!((all.double_value(&[index, 1, 5, 5]) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn a_batch_is_a_function_of_its_seed() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), false, PictureOptions::default());
        let data = data(&pictures, small_cutout());
        let of = |seed| data.batch(&[3, 4, 3], seed).unwrap();
        assert!(same(&of(1), &of(1)) && !same(&of(1), &of(2)));
        // The same picture twice in a batch is changed twice.
        assert_ne!(of(1).pictures.get(0), of(1).pictures.get(2));
        assert!(of(1).mixed.is_none());
        data.prefetch(&[3], 1);
        assert!(same(&data.batch(&[3], 1).unwrap(), &data.batch(&[3], 1).unwrap()));
        assert!(data.batch(&[23], 1).is_err() && data.batch(&[], 1).is_err());
    }

    #[test]
    fn mixup_mixes_what_a_batch_without_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), false, PictureOptions::default());
        let plain = data(&pictures, small_cutout()).batch(&[1, 2, 3, 4, 15], 7).unwrap();
        let mixed = data(&pictures, AugmentConfig { mixup: 1.0, ..small_cutout() });
        let mixed = mixed.batch(&[1, 2, 3, 4, 15], 7).unwrap();
        let mix = Mix::draw(1.0, 5, 7);
        let others = Tensor::from_slice(&mix.others);
        let expected = &plain.pictures * mix.share + plain.pictures.index_select(0, &others) * (1.0 - mix.share);
        assert!((expected - mixed.pictures).abs().max().double_value(&[]) < 1e-6);
        let (classes, share) = mixed.mixed.unwrap();
        assert_eq!((mixed.classes, share), (plain.classes.shallow_clone(), mix.share));
        assert_eq!(classes, plain.classes.index_select(0, &others));
    }

    #[test]
    fn an_initialisation_sees_other_batches_and_nothing_mixed() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), false, PictureOptions::default());
        let mixed = data(&pictures, AugmentConfig { mixup: 1.0, ..small_cutout() });
        let own = mixed.for_initialisation(7).unwrap();
        assert_eq!(own.batches_without_end().next().unwrap().len(), 7);
        let plain = data(&pictures, small_cutout());
        assert!(same(&own.batch(&[1, 2, 3], 7).unwrap(), &plain.batch(&[1, 2, 3], 7).unwrap()));
    }

    #[test]
    fn threads_and_prefetching_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let augment = AugmentConfig { mixup: 0.5, ..small_cutout() };
        let of = |threads| {
            let options = PictureOptions { threads: Some(threads), ..PictureOptions::default() };
            data(&open(folder.path(), true, options), augment.clone())
        };
        let (one, three) = (of(1), of(3));
        let batches = one.order(1);
        assert_eq!(batches, three.order(1));
        assert_eq!(one.batch(&batches[0], 0).unwrap().pictures.size(), [5, 3, 224, 224]);
        // Two ahead of what is taken.
        (0..2).for_each(|i| three.prefetch(&batches[i], i as u64));
        for (i, indices) in batches.iter().enumerate() {
            let prepared = three.batch(indices, i as u64).unwrap();
            if let Some(next) = batches.get(i + 2) {
                three.prefetch(next, i as u64 + 2);
            }
            assert!(same(&prepared, &one.batch(indices, i as u64).unwrap()), "{i}");
        }
        // Everything that was prepared was taken.
        assert_eq!(three.loader().as_ref().map(Loader::ahead), Some((0, 0)));
        let evaluated = |data: &PictureData| data.evaluation_batch(&[4, 5, 6]).unwrap();
        assert!(same(&evaluated(&one), &evaluated(&three)));
    }

    #[test]
    fn what_was_prefetched_in_vain_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), true, PictureOptions::default());
        let (loading, plain) = (data(&pictures, small_cutout()), data(&pictures, small_cutout()));
        let ahead = || loading.loader().as_ref().map(Loader::ahead);
        let check = |index: usize| {
            let batch = loading.batch(&[index], 9).unwrap();
            assert!(same(&batch, &plain.batch(&[index], 9).unwrap()), "{index}");
        };
        // The third is one too many; asking twice is asking once.
        [0, 0, 1, 2].iter().for_each(|index| loading.prefetch(&[*index], 9));
        assert_eq!(ahead(), Some((2, 0)));
        // The first is skipped.
        check(1);
        assert_eq!(ahead(), Some((0, 0)));
        loading.prefetch(&[3], 9);
        // Another seed is another batch, and what was prepared is wanted no more.
        loading.batch(&[3], 8).unwrap();
        assert_eq!(ahead(), Some((0, 1)));
        loading.prefetch(&[5], 9);
        check(5);
        assert_eq!(ahead(), Some((0, 0)));
        // The thread is gone with the data: nobody but this test and `plain` holds the pictures.
        loading.prefetch(&[6], 9);
        assert_eq!(Arc::strong_count(&pictures), 4);
        drop(loading);
        assert_eq!(Arc::strong_count(&pictures), 2);
    }

    #[test]
    fn a_corrupt_picture_fails_in_the_background_too_or_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = open(folder.path(), true, PictureOptions::default());
        std::fs::write(folder.path().join("train/0/02.png"), b"nothing").unwrap();
        let failing = data(&pictures, small_cutout());
        failing.prefetch(&[0, 1], 1);
        for _ in 0..2 {
            let message = failing.batch(&[0, 1], 1).err().unwrap().to_string();
            assert!(message.contains("0/02.png") && message.contains("7 bytes"), "{message}");
        }
        let options = PictureOptions { kind: PictureKind::Large, skip_corrupt: true, ..PictureOptions::default() };
        let pictures = Arc::new(Pictures::open(folder.path(), Split::Train, options).unwrap());
        let skipping = data(&pictures, AugmentConfig { mixup: 1.0, ..small_cutout() });
        let batch = skipping.batch(&[0, 1, 2], 1).unwrap();
        let (others, _) = batch.mixed.unwrap();
        assert_eq!((batch.pictures.size()[0], batch.classes.size(), others.size()), (2, vec![2], vec![2]));
        assert_eq!(pictures.skipped(), 1);
        let message = skipping.batch(&[1], 1).err().unwrap().to_string();
        assert!(message.contains("at least one whole picture"), "{message}");
        // One by one, the second picture is corrupt: evaluation has a batch less.
        let one_by_one = PictureData::new(pictures, small_cutout(), 1, 1, Device::Cpu).unwrap();
        let evaluated: Result<Vec<PictureBatch>> = one_by_one.evaluation_batches().collect();
        assert_eq!(evaluated.unwrap().len(), one_by_one.pictures().len() - 1);
    }
}
