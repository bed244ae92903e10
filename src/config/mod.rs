//! One typed configuration: defaults, then a TOML file, then `--set key=value`, then the command line's own options.

mod describe;
mod parse;
mod training;

pub use describe::describe;
pub(crate) use parse::{chosen, of_sections, parse};
pub(crate) use training::at_least_one;
pub use training::{Compute, TrainingConfig, ValidationConfig, ValidationMetric};

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::decode::SearchConfig;
use crate::error::{Error, Result};
use crate::files;
use crate::init::gradinit::{GradInitConfig, Preset};
use crate::init::{InitConfig, InitMethod, metainit::MetaInitConfig};
use crate::model::ModelConfig;
use crate::optim::{OptimizerConfig, ScheduleConfig};
use crate::progress;
use crate::train::LoopConfig;

/// Everything that decides a run, apart from its data.
///
/// ```
/// use nmt::config::Config;
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

impl Config {
    /// The defaults, with `[gradinit]` of the preset that is given.
    fn base(given: &Table) -> Result<Config> {
        let preset = chosen(given, "gradinit", "preset")?.unwrap_or(Preset::Paper);
        if preset == Preset::PublishedImageCode {
            return Err(Error::usage(
                "gradinit.preset = \"published-image-code\" is of image networks: expected \"paper\" or \"published-code\"",
                "leave it out for the paper's Algorithm 1",
            ));
        }
        Ok(Config { gradinit: GradInitConfig::of(preset), ..Config::default() })
    }
}

/// A configuration as TOML, without comments.
pub(crate) fn to_toml(config: &impl Serialize) -> Result<String> {
    toml::to_string(config)
        .map_err(|error| Error::content("the configuration", "values that TOML has", error.to_string(), ""))
}

impl Config {
    /// Read a TOML file (none: the defaults) and apply `key=value` settings in order.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown key (with the nearest one), a value of the wrong type or out of range.
    pub fn load(path: Option<&Path>, settings: &[String]) -> Result<Config> {
        match path {
            Some(path) => Config::parse(&files::read_text(path)?, &path.display().to_string(), settings),
            None => Config::parse("", "", settings),
        }
    }

    /// As [`Config::load`], of text; `place` names it in errors.
    pub fn parse(text: &str, place: &str, settings: &[String]) -> Result<Config> {
        let config: Config = parse(text, place, settings, "nmt config", Config::base)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as TOML, without comments.
    pub fn to_toml(&self) -> Result<String> {
        to_toml(self)
    }

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

    /// Refuse values that make no run.
    pub fn check(&self) -> Result<()> {
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

    /// Refuse an initialisation made for another architecture, or for pictures.
    fn check_init(&self) -> Result<()> {
        let (message, next) = match self.init.method {
            _ if self.gradinit.batch_size + self.metainit.batch_size > 0 => (
                "gradinit.batch_size and metainit.batch_size count pictures, and sentences have tokens",
                "leave them out, and set gradinit.max_tokens or metainit.max_tokens",
            ),
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

/// The keys, `section.key`, that have other values in `other` than in `one`, with both; none where `other` lacks the key.
///
/// # Errors
/// None for configurations that were read.
pub fn differences<C: Serialize>(one: &C, other: &C) -> Result<Vec<(String, Value, Option<Value>)>> {
    let table = |config| {
        Table::try_from(config).map_err(|error| Error::content("the configuration", "a table", error.to_string(), ""))
    };
    let (one, other) = (table(one)?, table(other)?);
    let mut differences = Vec::new();
    for (section, keys) in one {
        for (key, value) in keys.as_table().into_iter().flatten() {
            let there = other.get(&section).and_then(|keys| keys.get(key));
            if there != Some(value) {
                differences.push((format!("{section}.{key}"), value.clone(), there.cloned()));
            }
        }
    }
    Ok(differences)
}

/// Say so where the file `beside` a checkpoint has been changed since: what the weights were `trained` with counts. Only
/// `sections` are looked at, which no resumed run may change.
pub fn note_edited<C: Serialize>(
    trained: &C,
    beside: &Path,
    load: impl Fn(&Path, &[String]) -> Result<C>,
    sections: &[&str],
) -> Result<()> {
    if !beside.exists() {
        return Ok(());
    }
    let ignored = "what the checkpoint was trained with counts";
    let edited = match load(beside, &[]) {
        Ok(edited) => edited,
        Err(error) => {
            progress::note(format!("warning: {error}; {ignored}"));
            return Ok(());
        }
    };
    for (name, old, new) in differences(trained, &edited)? {
        if let (Some(new), true) = (new, name.split('.').next().is_some_and(|section| sections.contains(&section))) {
            progress::note(format!("warning: {} says {name} = {new}, and {ignored}: {old}", beside.display()));
        }
    }
    Ok(())
}
