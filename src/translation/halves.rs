//! S and S̃ of GradInit: two batches that overlap.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::training_data::TranslationData;
use crate::error::{Error, Result};
use crate::init::gradinit::{GradInitConfig, Halves, halves};
use crate::model::TranslationBatch;
use crate::train::TrainingData;

/// Draws S and S̃ for every iteration of GradInit.
///
/// One batch of the training data, n sentences, is shuffled; S is its first s = ⌊n/(2 − r)⌋ sentences and S̃ its last s,
/// so that the share r of S̃ is in S: with the paper's r = 0.5 the batch has three parts a, b, c, S = a ∪ b and
/// S̃ = b ∪ c. (The published code cuts likewise, but by length instead of by chance: `gradinit.longer_first`.)
/// Batches come in the order of training, epoch by epoch.
pub struct OverlappingHalves<'a> {
    data: &'a TranslationData,
    overlap: f64,
    longer_first: bool,
    random: ChaCha8Rng,
    batches: Box<dyn Iterator<Item = Result<Vec<usize>>> + 'a>,
}

impl<'a> OverlappingHalves<'a> {
    /// Start with the first epoch. `data` has batches of `gradinit.max_tokens`.
    ///
    /// # Errors
    /// [`Error::Content`] when no batch has three sentences.
    pub fn new(data: &'a TranslationData, config: &GradInitConfig, seed: u64) -> Result<OverlappingHalves<'a>> {
        if data.epoch(1)?.iter().all(|batch| batch.len() < 3) {
            return Err(Error::content(
                data.dataset().source.prefix().display().to_string(),
                "batches of at least three sentences for GradInit",
                "none",
                "raise gradinit.max_tokens or give more data",
            ));
        }
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX);
        let (overlap, longer_first) = (config.overlap, config.longer_first);
        let batches = Box::new(data.batches_without_end());
        Ok(OverlappingHalves { data, overlap, longer_first, random, batches })
    }

    /// The sentences of the next iteration, in the order in which they are cut.
    fn next(&mut self) -> Result<Vec<usize>> {
        let mut batch = Vec::new();
        while batch.len() < 3 {
            batch = self.batches.next().transpose()?.unwrap_or_default(); // It has no end.
        }
        if self.longer_first {
            batch.sort_by_key(|&index| std::cmp::Reverse(self.data.source_length(index)));
        } else {
            batch.shuffle(&mut self.random);
        }
        Ok(batch)
    }
}

impl Halves for OverlappingHalves<'_> {
    type Batch = TranslationBatch;

    fn draw(&mut self) -> Result<(TranslationBatch, TranslationBatch)> {
        let batch = self.next()?;
        let (s, s_tilde) = halves(batch.len(), self.overlap);
        Ok((self.data.collate(&batch[s])?, self.data.collate(&batch[s_tilde])?))
    }

    fn skip(&mut self) -> Result<()> {
        self.next().map(|_| ())
    }
}
