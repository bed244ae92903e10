//! One typed configuration: defaults, then a TOML file, then `--set key=value`, then the command line's own options.

mod configuration;
mod describe;
mod parse;
mod training;

pub(crate) use configuration::preset_or;
pub use configuration::{Configuration, Shared, differences, note_edited};
pub use describe::describe;
pub(crate) use parse::chosen;
pub(crate) use training::at_least_one;
pub use training::{Compute, TrainingConfig, ValidationConfig, ValidationMetric};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::decode::SearchConfig;
use crate::error::{Error, Result};
use crate::init::gradinit::{GradInitConfig, Preset};
use crate::init::{InitConfig, InitMethod, metainit::MetaInitConfig};
use crate::model::ModelConfig;
use crate::optim::{OptimizerConfig, ScheduleConfig};
use crate::train::LoopConfig;

/// Everything that decides a run, apart from its data.
///
/// ```
/// use nmt::config::{Config, Configuration};
/// let config = Config::parse("[model]\nembed_dim = 256\n", "my.toml", &["training.seed=7".into()])?;
/// assert_eq!((config.model.embed_dim, config.training.seed), (256, 7));
/// let error = Config::parse("[model]\nembed_dims = 256\n", "my.toml", &[]).unwrap_err().to_string();
/// assert!(error.starts_with("my.toml:2: ") && error.contains("`model.embed_dim`"), "{error}");
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The Transformer.
    pub model: ModelConfig,
    /// θ before training.
    pub init: InitConfig,
    /// GradInit (`nmt gradinit`).
    pub gradinit: GradInitConfig,
    /// MetaInit (`init.method = "metainit"`).
    pub metainit: MetaInitConfig,
    /// The optimiser of training.
    pub optimizer: OptimizerConfig,
    /// The learning rate of training.
    pub schedule: ScheduleConfig,
    /// The training loop.
    pub training: TrainingConfig,
    /// Validation during training.
    pub validation: ValidationConfig,
    /// Beam search.
    pub search: SearchConfig,
}

impl Configuration for Config {
    const COMMAND: &'static str = "nmt config";
    const NETWORKS: &'static str = "Transformers";
    const FOREIGN: &'static [(&'static str, &'static str)] = &[
        ("gradinit.batch_size", "it counts pictures: set gradinit.max_tokens"),
        ("metainit.batch_size", "it counts pictures: set metainit.max_tokens"),
    ];

    const FOREIGN_SECTIONS: (&'static [&'static str], &'static str) =
        (&["network", "augment"], "it is of an image network: `nmt vision` has the commands for those");

    /// The defaults, with `[gradinit]` of the preset that is given.
    fn base(given: &Table) -> Result<Config> {
        let preset = preset_or(Preset::Paper, given, Preset::PublishedImageCode, "\"paper\" or \"published-code\"")?;
        Ok(Config { gradinit: GradInitConfig::of(preset), ..Config::default() })
    }

    fn check(&self) -> Result<()> {
        self.model.check()?;
        self.training.check()?;
        self.search.check()?;
        self.optimizer.check()?;
        self.validation.check()?;
        self.check_init()?;
        self.gradinit.check()?;
        self.metainit.check()?;
        self.schedule.check()
    }

    fn shared(&mut self) -> Shared<'_> {
        Shared {
            gradinit: &mut self.gradinit,
            metainit: &mut self.metainit,
            compute: &mut self.training.compute,
            by_metainit: self.init.method == InitMethod::Metainit,
        }
    }

    fn update_frequency(&self) -> usize {
        self.training.update_frequency
    }

    fn gradinit(&self) -> &GradInitConfig {
        &self.gradinit
    }

    fn learnt_from(&self) -> Config {
        let Config { model, init, gradinit, metainit, training, .. } = self.clone().without_unused(true);
        let TrainingConfig { seed, label_smoothing, .. } = training;
        let mut kept = TrainingConfig { seed, label_smoothing, ..TrainingConfig::default() };
        if init.method == InitMethod::Admin {
            kept.max_tokens = training.max_tokens; // Of the batch that it looks at.
        }
        Config { model, init, gradinit, metainit, training: kept, ..Config::default() }
    }
}

impl Config {
    /// What the training loop goes by in so many processes.
    pub fn training_loop(&self, processes: usize) -> LoopConfig {
        let (training, validation) = (&self.training, &self.validation);
        LoopConfig {
            max_updates: training.max_updates,
            max_epochs: training.max_epochs,
            batches_per_update: training.update_frequency.saturating_mul(processes),
            seed: training.seed,
            compute: training.compute.kind(),
            log_every: training.log_every,
            checkpoint_every: training.checkpoint_every,
            validate_every: validation.every_updates,
            patience: validation.patience,
            higher_is_better: validation.chosen_metric() == ValidationMetric::Bleu,
            keep_checkpoints: training.keep_checkpoints,
            detect_anomaly: training.detect_anomaly,
            tensorboard: training.tensorboard,
            clip_norm: self.optimizer.clip_norm,
            schedule: self.schedule.clone(),
        }
    }

    /// Refuse an initialisation made for another architecture.
    fn check_init(&self) -> Result<()> {
        let (message, next) = match self.init.method {
            InitMethod::TFixup if self.model.layer_norm => (
                "init.method = \"t-fixup\" is for a model without layer normalisation, found model.layer_norm = true",
                "set model.layer_norm=false, or leave init.method out",
            ),
            InitMethod::Fixup if !self.model.fixup => (
                "init.method = \"fixup\" is for a model with FixUp's scalars, found model.fixup = false",
                "set model.layer_norm=false and model.fixup=true, or leave init.method out",
            ),
            InitMethod::Admin if !self.model.w_skip => (
                "init.method = \"admin\" sets the multipliers of skip connections, found model.w_skip = false",
                "set model.w_skip=true, or leave init.method out",
            ),
            _ => return Ok(()),
        };
        Err(Error::usage(message, next))
    }
}

/// What a configuration without a single key gives.
impl Default for LoopConfig {
    fn default() -> LoopConfig {
        Config::default().training_loop(1)
    }
}
