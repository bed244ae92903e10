//! A split of a data folder as batches of a Transformer.

use std::f64::consts::LN_2;

use tch::Device;

use crate::config::{Config, TrainingConfig};
use crate::data::{Limits, ParallelDataset, epoch_batches};
use crate::error::Result;
use crate::model::TranslationBatch;
use crate::progress;
use crate::train::{TrainingData, Units};

/// A split as training batches: by max-tokens from length buckets, shuffled by seed and epoch.
pub struct TranslationData {
    dataset: ParallelDataset,
    lengths: (Vec<usize>, Vec<usize>),
    limits: Limits,
    seed: u64,
    device: Device,
}

/// The limits of batches of a model under `max_tokens`.
fn limits(config: &Config, max_tokens: usize) -> Limits {
    Limits {
        max_tokens: Some(max_tokens),
        max_length: usize::try_from(config.model.max_positions).ok(),
        skip_too_long: config.training.skip_too_long,
        ..Limits::default()
    }
}

impl TranslationData {
    /// Take `dataset` in batches of `max_tokens`.
    ///
    /// # Errors
    /// [`crate::Error::Content`] for an empty split and for a sentence that fits no batch, unless
    /// `training.skip_too_long`.
    pub fn new(
        dataset: ParallelDataset,
        config: &Config,
        max_tokens: usize,
        device: Device,
    ) -> Result<TranslationData> {
        let TrainingConfig { seed, .. } = config.training;
        let lengths = (dataset.source_lengths(), dataset.target_lengths());
        let limits = limits(config, max_tokens);
        let data = TranslationData { dataset, lengths, limits, seed, device };
        let skipped =
            if limits.skip_too_long { data.limits.too_long(&data.lengths.0, &data.lengths.1).len() } else { 0 };
        if skipped > 0 {
            progress::note(format!("{skipped} of {} sentence pairs are too long and left out", data.dataset.len()));
        }
        if data.epoch(1)?.is_empty() {
            return Err(crate::Error::content(
                data.dataset.source.prefix().display().to_string(),
                "at least one sentence pair to train on",
                format!("{} pairs, {skipped} of them too long", data.dataset.len()),
                "check what `nmt preprocess` was given",
            ));
        }
        Ok(data)
    }

    /// The dataset indices of the batches of training, epoch after epoch from the first on.
    pub fn batches_without_end(&self) -> impl Iterator<Item = Result<Vec<usize>>> {
        (1..).flat_map(|epoch| match self.epoch(epoch) {
            // Never empty: `new` refuses such data.
            Ok(batches) => batches.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    /// The batch of these sentence pairs.
    ///
    /// # Errors
    /// As [`ParallelDataset::batch`].
    pub fn collate(&self, indices: &[usize]) -> Result<TranslationBatch> {
        Ok(TranslationBatch::new(&self.dataset.batch(indices)?, self.device))
    }

    /// Tokens of the longest source and of the longest target.
    fn longest(&self, indices: &[usize]) -> (usize, usize) {
        let of = |lengths: &[usize]| indices.iter().filter_map(|&i| lengths.get(i)).copied().max().unwrap_or(0);
        (of(&self.lengths.0), of(&self.lengths.1))
    }

    /// Tokens of the source of a sentence pair, `</s>` included.
    pub(super) fn source_length(&self, index: usize) -> usize {
        self.lengths.0[index]
    }

    /// The dataset.
    pub fn dataset(&self) -> &ParallelDataset {
        &self.dataset
    }
}

impl TrainingData for TranslationData {
    type Batch = TranslationBatch;

    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>> {
        epoch_batches(&self.lengths.0, &self.lengths.1, &self.limits, self.seed, epoch)
    }

    fn batch(&self, indices: &[usize], _: u64) -> Result<TranslationBatch> {
        self.collate(indices)
    }

    fn units(&self) -> Units {
        Units { plural: "tokens", key: "target_tokens", loss: LN_2 }
    }

    fn fingerprint(&self) -> String {
        self.dataset.fingerprint()
    }

    fn check_files(&self) -> Result<Option<String>> {
        self.dataset.check_files()
    }

    /// The cells of both sides, padding included.
    fn size(&self, indices: &[usize]) -> usize {
        let (source, target) = self.longest(indices);
        indices.len() * (source + target)
    }

    fn describe(&self, indices: &[usize]) -> (String, &'static str) {
        let (source, target) = self.longest(indices);
        let batch = format!("{} sentence pairs of up to {source} and {target} tokens", indices.len());
        (batch, "lower training.max_tokens")
    }
}
