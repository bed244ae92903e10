//! S and S̃ of GradInit: two batches that overlap.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::training_data::TranslationData;
use crate::error::{Error, Result};
use crate::init::gradinit::GradInitConfig;
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

    /// S and S̃ of the next iteration.
    pub fn draw(&mut self) -> Result<(TranslationBatch, TranslationBatch)> {
        let mut batch = Vec::new();
        while batch.len() < 3 {
            batch = self.batches.next().transpose()?.unwrap_or_default(); // It has no end.
        }
        if self.longer_first {
            batch.sort_by_key(|&index| std::cmp::Reverse(self.data.source_length(index)));
        } else {
            batch.shuffle(&mut self.random);
        }
        let (s, s_tilde) = cut(batch.len(), self.overlap);
        Ok((self.data.batch(&batch[s]), self.data.batch(&batch[s_tilde])))
    }
}

/// Which of `n` rows, 3 or more, S and S̃ take: equally many, the share `overlap` of them in common.
fn cut(n: usize, overlap: f64) -> (Range<usize>, Range<usize>) {
    // The smallest part of a row that is not there is no reason to take one less: 3 rows of overlap 0.5 are 2 and 2.
    let size = ((n as f64 / (2.0 - overlap) + 1e-9) as usize).clamp(1, n);
    let common = (size as f64 * overlap).round() as usize;
    (0..size, size - common..2 * size - common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_size_and_the_overlap() {
        for (n, overlap, s, s_tilde) in [
            (9, 0.5, 0..6, 3..9),
            (10, 0.5, 0..6, 3..9),
            (3, 0.5, 0..2, 1..3),
            (10, 0.0, 0..5, 5..10),
            (10, 1.0, 0..10, 0..10),
            (7, 0.75, 0..5, 1..6),
            (4, 0.5, 0..2, 1..3),
        ] {
            assert_eq!(cut(n, overlap), (s, s_tilde), "{n} rows, overlap {overlap}");
        }
        for n in 3..200 {
            for overlap in 0..=100 {
                let (s, s_tilde) = cut(n, f64::from(overlap) / 100.0);
                assert!(s_tilde.end <= n && s.len() == s_tilde.len() && !s.is_empty(), "{n} {overlap} {s_tilde:?}");
            }
        }
    }
}
