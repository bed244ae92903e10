//! The configuration of a run, whatever it trains.

use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Value;

use crate::config::{Compute, Config, Configuration, differences};
use crate::error::Result;
use crate::files;
use crate::vision::VisionConfig;

/// What is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trained {
    /// Transformers that translate: `nmt gradinit`, `nmt train`, `nmt score`.
    #[default]
    Translation,
    /// Image networks: `nmt vision gradinit`, `nmt vision train`.
    Vision,
}

impl Trained {
    /// What the length of its training is counted in.
    pub fn unit(self) -> &'static str {
        match self {
            Trained::Translation => "updates",
            Trained::Vision => "epochs",
        }
    }
}

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum RunConfig {
    /// Of translation.
    Translation(Box<Config>),
    /// Of image classification.
    Vision(Box<VisionConfig>),
}

impl RunConfig {
    /// Read a recipe and apply `key=value` settings in order.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub fn load(task: Trained, recipe: &Path, settings: &[String]) -> Result<RunConfig> {
        Ok(match task {
            Trained::Translation => RunConfig::Translation(Box::new(Config::load(Some(recipe), settings)?)),
            Trained::Vision => RunConfig::Vision(Box::new(VisionConfig::load(Some(recipe), settings)?)),
        })
    }

    /// Read the file that a run wrote.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub fn load_saved(task: Trained, path: &Path) -> Result<RunConfig> {
        RunConfig::parse_saved(task, &files::read_text(path)?, &path.display().to_string())
    }

    /// Read what [`RunConfig::to_toml`] made; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub fn parse_saved(task: Trained, text: &str, place: &str) -> Result<RunConfig> {
        Ok(match task {
            Trained::Translation => RunConfig::Translation(Box::new(Config::parse_saved(text, place, &[])?)),
            Trained::Vision => RunConfig::Vision(Box::new(VisionConfig::parse_saved(text, place, &[])?)),
        })
    }

    /// As TOML, every key.
    ///
    /// # Errors
    /// As [`Configuration::to_toml`].
    pub fn to_toml(&self) -> Result<String> {
        match self {
            RunConfig::Translation(config) => config.to_toml(),
            RunConfig::Vision(config) => config.to_toml(),
        }
    }

    /// The updates, or of image networks the epochs, that it trains at most.
    pub fn length(&self) -> u64 {
        match self {
            RunConfig::Translation(config) => config.training.max_updates,
            RunConfig::Vision(config) => config.training.max_epochs,
        }
    }

    /// With what training chose by itself as `saved` has it.
    fn resolved_as(mut self, saved: &RunConfig) -> RunConfig {
        match (&mut self, saved) {
            (RunConfig::Translation(config), RunConfig::Translation(saved))
                if config.training.compute == Compute::Auto =>
            {
                config.training.compute = saved.training.compute;
            }
            (RunConfig::Vision(config), RunConfig::Vision(saved)) if config.training.compute == Compute::Auto => {
                config.training.compute = saved.training.compute;
            }
            _ => {}
        }
        self
    }

    fn without_unused(self, gradinit: bool) -> RunConfig {
        match self {
            RunConfig::Translation(config) => RunConfig::Translation(Box::new(config.without_unused(gradinit))),
            RunConfig::Vision(config) => RunConfig::Vision(Box::new(config.without_unused(gradinit))),
        }
    }

    /// The first key that makes the run of `saved` another one than that of `self`, with both values; none: it is the same.
    ///
    /// # Errors
    /// None for configurations that were read.
    pub fn difference(&self, saved: &RunConfig, gradinit: bool) -> Result<Option<String>> {
        let planned = self.clone().resolved_as(saved).without_unused(gradinit);
        let differences = differences(&planned, &saved.clone().without_unused(gradinit))?;
        Ok(differences.first().map(|(key, planned, found)| {
            let found = found.as_ref().map_or("none".to_string(), Value::to_string);
            format!("{key} = {found} instead of {planned}")
        }))
    }

    /// What GradInit learns from, as text: equal where it would learn the same.
    ///
    /// # Errors
    /// As [`Configuration::to_toml`].
    pub fn init_description(self) -> Result<String> {
        match self {
            RunConfig::Translation(config) => config.learnt_from().to_toml(),
            RunConfig::Vision(config) => config.learnt_from().to_toml(),
        }
    }
}
