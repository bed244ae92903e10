//! The configuration of a run, whatever it trains.

use std::path::Path;

use super::plan::Trained;
use crate::config::{Compute, Config, TrainingConfig};
use crate::error::Result;
use crate::vision::{VisionConfig, VisionTrainingConfig};

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq)]
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

    /// With what training chose by itself as `saved` has it.
    #[must_use]
    pub fn resolved_as(mut self, saved: &RunConfig) -> RunConfig {
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

    /// What GradInit learns from, as text: equal where it would learn the same.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn init_description(self) -> Result<String> {
        match self {
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
