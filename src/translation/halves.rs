//! S and S̃ of GradInit: two batches that overlap by half.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::training_data::TranslationData;
use crate::error::{Error, Result};
use crate::model::TranslationBatch;
use crate::train::TrainingData;

/// Draws S and S̃ for every iteration of GradInit.
///
/// One batch of the training data is shuffled and cut in three parts a, b, c of equally many sentences; S = a ∪ b and
/// S̃ = b ∪ c, so that half of S̃ is in S (paper, section 4.2; the published code cuts likewise, but without
/// shuffling, which leaves it the longer sentences in S). Batches come in the order of training, epoch by epoch.
pub struct OverlappingHalves<'a> {
    data: &'a TranslationData,
    random: ChaCha8Rng,
    epoch: u64,
    batches: std::vec::IntoIter<Vec<usize>>,
}

impl<'a> OverlappingHalves<'a> {
    /// Start with the first epoch. `data` has batches of `gradinit.max_tokens`.
    ///
    /// # Errors
    /// [`Error::Content`] when no batch has three sentences.
    pub fn new(data: &'a TranslationData, seed: u64) -> Result<OverlappingHalves<'a>> {
        let batches = data.epoch(1)?;
        if batches.iter().all(|batch| batch.len() < 3) {
            return Err(Error::content(
                data.dataset().source.prefix().display().to_string(),
                "batches of at least three sentences for GradInit",
                "none",
                "raise gradinit.max_tokens or give more data",
            ));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX);
        Ok(OverlappingHalves { data, random, epoch: 1, batches: batches.into_iter() })
    }

    /// S and S̃ of the next iteration.
    pub fn draw(&mut self) -> Result<(TranslationBatch, TranslationBatch)> {
        loop {
            match self.batches.next() {
                Some(mut batch) if batch.len() >= 3 => {
                    batch.shuffle(&mut self.random);
                    let third = batch.len() / 3;
                    return Ok((self.data.batch(&batch[..2 * third]), self.data.batch(&batch[third..3 * third])));
                }
                Some(_) => {}
                None => {
                    self.epoch += 1;
                    self.batches = self.data.epoch(self.epoch)?.into_iter();
                }
            }
        }
    }
}
