//! What a run goes by, and what it comes to.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tch::Kind;

use super::communicator::Communicator;
use crate::optim::ScheduleConfig;

/// What the loop goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopConfig {
    /// The number of updates; the schedule ends here.
    pub max_updates: u64,
    /// The number of epochs; 0: no limit.
    pub max_epochs: u64,
    /// Batches whose gradients are added up for one update, of all processes together.
    pub batches_per_update: usize,
    /// The seed of dropout and of augmentation.
    pub seed: u64,
    /// What activations are computed in.
    pub compute: Kind,
    /// Updates between two lines of the log.
    pub log_every: u64,
    /// Updates between two checkpoints; 0: only at validations and at the end.
    pub checkpoint_every: u64,
    /// Updates between two validations; 0: after every epoch.
    pub validate_every: u64,
    /// Validations without a better value after which training ends; 0: never.
    pub patience: u64,
    /// Whether a higher value of a validation is a better one.
    pub higher_is_better: bool,
    /// Checkpoints of validations that are kept beside `best` and `last`, the newest ones.
    pub keep_checkpoints: usize,
    /// Stop at the first number that is not finite, of θ and the optimiser, too, instead of skipping such updates.
    pub detect_anomaly: bool,
    /// Write TensorBoard's event files, too.
    pub tensorboard: bool,
    /// The gradient's largest ℓ2 norm; 0: no clipping.
    pub clip_norm: f64,
    /// The learning rate.
    pub schedule: ScheduleConfig,
}

/// What one validation found.
#[derive(Debug, Clone)]
pub struct Validation {
    /// What decides which checkpoint is the best.
    pub value: f64,
    /// Everything, for the log.
    pub found: Map<String, Value>,
    /// The same for people.
    pub text: String,
}

impl Validation {
    /// Of a process that leaves it to the first one.
    pub(super) fn none() -> Validation {
        Validation { value: f64::NAN, found: Map::new(), text: String::new() }
    }
}

/// Where a run is kept, how far it goes this time and who trains.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The run folder: checkpoints and log.
    pub folder: &'a Path,
    /// What the parameters belong to: languages, dictionaries, written into checkpoints.
    pub identity: &'a BTreeMap<String, String>,
    /// Where to stop short of the end of the schedule.
    pub stop_after: Option<StopAfter>,
    /// The processes that train together.
    pub processes: &'a dyn Communicator,
}

/// Where a run stops before its schedule ends, validated and saved, to be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAfter {
    /// After this many updates.
    Update(u64),
    /// At the end of this epoch (from 1), however many updates it came to.
    Epoch(u64),
}

impl StopAfter {
    /// How many updates that is of those of `config`, where none is skipped.
    pub fn updates(self, config: &LoopConfig) -> u64 {
        let updates = match self {
            StopAfter::Update(update) => update,
            StopAfter::Epoch(epoch) => epoch.saturating_mul(config.max_updates) / config.max_epochs.max(1),
        };
        updates.min(config.max_updates)
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Updates done.
    pub updates: u64,
    /// Updates that were not made, because their loss or gradient was not finite.
    pub skipped: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// The best value of the metric, and its update.
    pub best: Option<(f64, u64)>,
    /// Seconds of training, validation included.
    pub seconds: f64,
    /// Why it ended.
    pub reason: &'static str,
}
