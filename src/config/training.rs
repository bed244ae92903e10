//! The training loop's and validation's settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Kind;

use crate::decode::GREATEST_BEAM;
use crate::error::{Error, Result};

/// What activations and gradients are computed in; θ and the optimiser's state are fp32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compute {
    /// bf16 where the processor multiplies it natively (AVX-512-bf16, AMX) or on a GPU, else fp32.
    Auto,
    /// 32-bit floating point.
    Fp32,
    /// bfloat16.
    Bf16,
}

impl Compute {
    /// The choice that [`Compute::Auto`] makes on this machine.
    #[must_use]
    pub fn resolved(self) -> Compute {
        match self {
            Compute::Auto if crate::machine::has_native_bf16() => Compute::Bf16,
            Compute::Auto => Compute::Fp32,
            chosen => chosen,
        }
    }

    /// The kind of the tensors.
    pub fn kind(self) -> Kind {
        if self.resolved() == Compute::Bf16 { Kind::BFloat16 } else { Kind::Float }
    }
}

/// The training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainingConfig {
    /// The number of updates; the linear schedule ends here.
    pub max_updates: u64,
    /// The number of epochs; 0: no limit.
    pub max_epochs: u64,
    /// Tokens of a batch: rows times the longest side, padding included.
    pub max_tokens: usize,
    /// Batches of each process whose gradients are added up for one update.
    pub update_frequency: usize,
    /// Leave sentences out that are longer than `max_tokens` or `model.max_positions`, with a count, instead of failing.
    pub skip_too_long: bool,
    /// ε of label smoothing.
    pub label_smoothing: f64,
    /// The seed of everything: initial θ, order of batches, dropout.
    pub seed: u64,
    /// What activations and gradients are computed in.
    pub compute: Compute,
    /// Updates between two lines of the log; one comes before every validation, too.
    pub log_every: u64,
    /// Updates between two checkpoints `last`; 0: only at validations and at the end.
    pub checkpoint_every: u64,
    /// Checkpoints of validations, weights only, that are kept beside `best` and `last`: the newest so many, such as
    /// `nmt average` takes.
    pub keep_checkpoints: usize,
    /// Stop at the first number that is not finite, in θ and the optimiser's memory, too, instead of skipping such updates
    /// until three come in a row. Slower.
    pub detect_anomaly: bool,
    /// Write TensorBoard's event files, too, into the folder `tensorboard` of the run.
    pub tensorboard: bool,
}

impl Default for TrainingConfig {
    fn default() -> TrainingConfig {
        TrainingConfig {
            max_updates: 100_000,
            max_epochs: 0,
            max_tokens: 4096,
            update_frequency: 1,
            skip_too_long: false,
            label_smoothing: 0.1,
            seed: 1,
            compute: Compute::Auto,
            log_every: 100,
            checkpoint_every: 0,
            keep_checkpoints: 0,
            detect_anomaly: false,
            tensorboard: false,
        }
    }
}

/// Refuse a key of `training` that is 0.
pub(crate) fn at_least_one(values: &[(&str, u64)]) -> Result<()> {
    match values.iter().find(|(_, value)| *value == 0) {
        Some((key, _)) => Err(Error::usage(format!("training.{key} has to be 1 or more, found 0"), "")),
        None => Ok(()),
    }
}

impl TrainingConfig {
    pub(super) fn check(&self) -> Result<()> {
        at_least_one(&[
            ("max_updates", self.max_updates),
            ("max_tokens", self.max_tokens as u64),
            ("update_frequency", self.update_frequency as u64),
            ("log_every", self.log_every),
        ])?;
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let found = self.label_smoothing;
            return Err(Error::usage(
                format!("training.label_smoothing has to be at least 0 and below 1, found {found}"),
                "",
            ));
        }
        Ok(())
    }
}

/// What the best checkpoint is best in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValidationMetric {
    /// The highest BLEU; needs `validation.bleu`.
    Bleu,
    /// The lowest negative log-likelihood.
    Nll,
}

/// Validation during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ValidationConfig {
    /// The split of the data folder.
    pub split: String,
    /// Updates between two validations; 0: after every epoch. There is always one at the end.
    pub every_updates: u64,
    /// Translate the split and compute its BLEU (tokenised as the data are, subwords joined).
    pub bleu: bool,
    /// The beam of these translations.
    pub beam: usize,
    /// What the checkpoint `best` is best in.
    pub metric: ValidationMetric,
    /// Stop after this many validations without a better one; 0: never.
    pub patience: u64,
}

impl Default for ValidationConfig {
    fn default() -> ValidationConfig {
        ValidationConfig {
            split: "valid".into(),
            every_updates: 0,
            bleu: true,
            beam: 5,
            metric: ValidationMetric::Bleu,
            patience: 0,
        }
    }
}

impl ValidationConfig {
    pub(super) fn check(&self) -> Result<()> {
        if !(1..=GREATEST_BEAM).contains(&self.beam) {
            let message = format!("validation.beam has to be from 1 to {GREATEST_BEAM}, found {}", self.beam);
            return Err(Error::usage(message, ""));
        }
        Ok(())
    }

    /// The metric that there is a value for.
    pub fn chosen_metric(&self) -> ValidationMetric {
        if self.bleu { self.metric } else { ValidationMetric::Nll }
    }
}
