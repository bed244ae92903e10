//! Where the batches come from that the loop trains on.

use crate::error::Result;

/// Where batches come from.
pub trait TrainingData {
    /// What a loss is computed on.
    type Batch;

    /// The batches of an epoch (from 1), as dataset indices, in the order they are trained on: a function of the
    /// configuration and the epoch alone.
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>>;

    /// The batch of these indices; `seed` decides what is random about it.
    ///
    /// # Errors
    /// What reading it brings.
    fn batch(&self, indices: &[usize], seed: u64) -> Result<Self::Batch>;

    /// The batch that will be asked for next, while the one before it is computed with: whoever can makes it in the background.
    fn prefetch(&self, indices: &[usize], seed: u64) {
        let _ = (indices, seed);
    }

    /// What losses are counted in.
    fn units(&self) -> Units;

    /// What tells these data from others: a run goes on with the data that it began with. Empty: nothing does.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// Whether the files that batches are read from still are what they were. Where others have their names by now, which
    /// changes nothing before the run is taken up again: a sentence about it.
    ///
    /// # Errors
    /// [`crate::Error::Content`] where batches may no longer be what they were.
    fn check_files(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// How much a batch of these indices takes, in any unit.
    fn size(&self, indices: &[usize]) -> usize {
        indices.len()
    }

    /// The size of the batch of these indices for people, and which setting lowers it.
    fn describe(&self, indices: &[usize]) -> (String, &'static str) {
        (format!("{} examples", indices.len()), "make batches smaller")
    }
}

/// What losses are counted in.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    /// What they are means over, such as `tokens`, in progress and as `tokens_per_second` in the log.
    pub plural: &'static str,
    /// The key of their number in the log.
    pub key: &'static str,
    /// The natural logarithm of the unit of losses: ln 2 for bits.
    pub loss: f64,
}

/// The batch that takes most.
pub(super) fn largest<'a, D: TrainingData>(data: &D, batches: &'a [Vec<usize>]) -> Option<&'a Vec<usize>> {
    batches.iter().max_by_key(|batch| data.size(batch))
}
