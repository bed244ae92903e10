//! The configuration of a run, whatever it trains.

use std::path::Path;

use serde::Serialize;
use toml::Value;

use super::plan::Trained;
use crate::config::{Compute, Config, TrainingConfig, differences};
use crate::error::Result;
use crate::init::InitMethod;
use crate::init::gradinit::GradInitConfig;
use crate::init::metainit::MetaInitConfig;
use crate::vision::{VisionConfig, VisionInitMethod, VisionTrainingConfig};

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
    /// As [`Config::load`].
    pub fn load(task: Trained, recipe: &Path, settings: &[String]) -> Result<RunConfig> {
        Ok(match task {
            Trained::Translation => RunConfig::Translation(Box::new(Config::load(Some(recipe), settings)?)),
            Trained::Vision => RunConfig::Vision(Box::new(VisionConfig::load(Some(recipe), settings)?)),
        })
    }

    /// Read the file that a run wrote.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_saved(task: Trained, path: &Path) -> Result<RunConfig> {
        Ok(match task {
            Trained::Translation => RunConfig::Translation(Box::new(Config::load(Some(path), &[])?)),
            Trained::Vision => RunConfig::Vision(Box::new(VisionConfig::load_saved(path, &[])?)),
        })
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

    /// Without what has no part in the run: the section `gradinit` where GradInit does not (`gradinit` is false), and `metainit`
    /// where another method initialises.
    fn relevant(mut self, gradinit: bool) -> RunConfig {
        match &mut self {
            RunConfig::Translation(config) => {
                if !gradinit {
                    config.gradinit = GradInitConfig::default();
                }
                if config.init.method != InitMethod::Metainit {
                    config.metainit = MetaInitConfig::default();
                }
            }
            RunConfig::Vision(config) => {
                if !gradinit {
                    config.gradinit = GradInitConfig::default();
                }
                if config.init.method != VisionInitMethod::Metainit {
                    config.metainit = MetaInitConfig::default();
                }
            }
        }
        self
    }

    /// The first key that makes the run of `saved` another one than that of `self`, with both values; none: it is the same.
    ///
    /// # Errors
    /// None for configurations that were read.
    pub fn difference(&self, saved: &RunConfig, gradinit: bool) -> Result<Option<String>> {
        let planned = self.clone().resolved_as(saved).relevant(gradinit);
        let differences = differences(&planned, &saved.clone().relevant(gradinit))?;
        Ok(differences.first().map(|(key, planned, found)| {
            let found = found.as_ref().map_or("none".to_string(), Value::to_string);
            format!("{key} = {found} instead of {planned}")
        }))
    }

    /// What GradInit learns from, as text: equal where it would learn the same.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn init_description(self) -> Result<String> {
        match self.relevant(true) {
            RunConfig::Translation(config) => {
                let Config { model, init, gradinit, metainit, training, .. } = *config;
                let TrainingConfig { seed, label_smoothing, .. } = training;
                let training = TrainingConfig { seed, label_smoothing, ..TrainingConfig::default() };
                Config { model, init, gradinit, metainit, training, ..Config::default() }.to_toml()
            }
            RunConfig::Vision(config) => {
                let VisionConfig { network, augment, init, gradinit, metainit, training, .. } = *config;
                let VisionTrainingConfig { seed, batch_size, .. } = training;
                let training = VisionTrainingConfig { seed, batch_size, ..VisionTrainingConfig::default() };
                VisionConfig { network, augment, init, gradinit, metainit, training, ..VisionConfig::default() }
                    .to_toml()
            }
        }
    }
}
