//! The configuration of image classification.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::architecture::Architecture;
use super::pictures::AugmentConfig;
use crate::config::{Compute, Configuration, Shared, at_least_one, chosen, preset_or};
use crate::error::{Error, Result};
use crate::init::gradinit::{GradInitConfig, Preset};
use crate::init::metainit::MetaInitConfig;
use crate::optim::{OptimizerConfig, ScheduleConfig};
use crate::train::LoopConfig;

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Which network of the paper's Table 1.
    pub architecture: Architecture,
    /// Batch normalisation; without it learnable biases are in its place.
    pub batch_norm: bool,
}

impl Default for NetworkConfig {
    fn default() -> NetworkConfig {
        NetworkConfig { architecture: Architecture::Vgg19, batch_norm: true }
    }
}

/// Which initialisation θ is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VisionInitMethod {
    /// Kaiming's normal initialisation over the fan-out.
    Kaiming,
    /// FixUp, for `fixup-resnet110`: residual branches begin at 0.
    Fixup,
    /// MetaInit: Kaiming, and a scale for every kernel learnt from data (section `metainit`).
    Metainit,
}

/// θ before training, unless `--init FILE` brings it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisionInitConfig {
    /// The initialisation; the seed is `training.seed`.
    pub method: VisionInitMethod,
}

impl Default for VisionInitConfig {
    fn default() -> VisionInitConfig {
        VisionInitConfig { method: VisionInitMethod::Kaiming }
    }
}

/// The training loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisionTrainingConfig {
    /// The number of epochs; the schedule ends with the last.
    pub max_epochs: u64,
    /// Pictures of a batch.
    pub batch_size: usize,
    /// Batches of each process whose gradients are added up for one update.
    pub update_frequency: usize,
    /// The seed of everything: initial θ, order of pictures, augmentation.
    pub seed: u64,
    /// What activations are computed in.
    pub compute: Compute,
    /// Updates between two lines of the log; one comes before every validation, too.
    pub log_every: u64,
    /// Updates between two checkpoints `last`; 0: only at validations and at the end.
    pub checkpoint_every: u64,
    /// Checkpoints of validations, weights only, that are kept beside `best` and `last`: the newest so many.
    pub keep_checkpoints: usize,
    /// Stop at the first number that is not finite, in θ and the optimiser's memory, too, instead of skipping such updates
    /// until three come in a row. Slower.
    pub detect_anomaly: bool,
    /// Write TensorBoard's event files, too, into the folder `tensorboard` of the run.
    pub tensorboard: bool,
}

impl Default for VisionTrainingConfig {
    fn default() -> VisionTrainingConfig {
        VisionTrainingConfig {
            max_epochs: 200,
            batch_size: 128,
            update_frequency: 1,
            seed: 1,
            compute: Compute::Fp32,
            log_every: 50,
            checkpoint_every: 0,
            keep_checkpoints: 0,
            detect_anomaly: false,
            tensorboard: false,
        }
    }
}

/// Validation during training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisionValidationConfig {
    /// Updates between two validations; 0: after every epoch. There is always one at the end.
    pub every_updates: u64,
    /// Stop after this many validations without a higher accuracy; 0: never.
    pub patience: u64,
}

/// Everything that decides a run of image classification, apart from its pictures. The defaults are the paper's for the network
/// that is given, VGG-19 with batch normalisation where none is ([`VisionConfig::published`]).
///
/// ```
/// use nmt::config::Configuration;
/// use nmt::vision::VisionConfig;
/// let config = VisionConfig::parse("[network]\nbatch_norm = false\n", "my.toml", &["training.batch_size=64".into()])?;
/// assert_eq!((config.network.batch_norm, config.training.batch_size), (false, 64));
/// let updates = config.training_loop(50_000, 1).max_updates;
/// assert_eq!(updates, 200 * 782);
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VisionConfig {
    /// The network.
    pub network: NetworkConfig,
    /// What happens to pictures in training.
    pub augment: AugmentConfig,
    /// θ before training.
    pub init: VisionInitConfig,
    /// GradInit (`nmt vision gradinit`).
    pub gradinit: GradInitConfig,
    /// MetaInit (`init.method = "metainit"`).
    pub metainit: MetaInitConfig,
    /// The optimiser of training.
    pub optimizer: OptimizerConfig,
    /// The learning rate of training.
    pub schedule: ScheduleConfig,
    /// The training loop.
    pub training: VisionTrainingConfig,
    /// Validation during training.
    pub validation: VisionValidationConfig,
}

impl Default for VisionConfig {
    fn default() -> VisionConfig {
        VisionConfig::published(Architecture::Vgg19, true, Preset::PublishedImageCode)
    }
}

impl Configuration for VisionConfig {
    const COMMAND: &'static str = "nmt vision config";
    const NETWORKS: &'static str = "image networks";
    const FOREIGN: &'static [(&'static str, &'static str)] = &[
        (
            "gradinit.max_tokens",
            "pictures have no tokens: set gradinit.batch_size, or leave it out for training.batch_size",
        ),
        (
            "metainit.max_tokens",
            "pictures have no tokens: set metainit.batch_size, or leave it out for training.batch_size",
        ),
        ("gradinit.longer_first", "pictures have no lengths: leave it out"),
        ("gradinit.untied_look_ahead", "it is about a tied output embedding: leave it out"),
    ];

    const FOREIGN_SECTIONS: (&'static [&'static str], &'static str) =
        (&["model", "search"], "it is of a Transformer: the commands for those are without `vision`");

    /// What the paper trains the network with that `given` names.
    fn base(given: &Table) -> Result<VisionConfig> {
        let architecture = chosen(given, "network", "architecture")?.unwrap_or(Architecture::Vgg19);
        // FixUp is there to do without.
        let batch_norm = architecture != Architecture::FixupResnet110;
        let batch_norm = chosen(given, "network", "batch_norm")?.unwrap_or(batch_norm);
        let preset = preset_or(
            Preset::PublishedImageCode,
            given,
            Preset::PublishedCode,
            "\"published-image-code\" or \"paper\"",
        )?;
        Ok(VisionConfig::published(architecture, batch_norm, preset))
    }

    fn check(&self) -> Result<()> {
        let training = &self.training;
        at_least_one(&[
            ("max_epochs", training.max_epochs),
            ("batch_size", training.batch_size as u64),
            ("update_frequency", training.update_frequency as u64),
            ("log_every", training.log_every),
        ])?;
        let fixup = self.network.architecture == Architecture::FixupResnet110;
        if self.init.method == VisionInitMethod::Fixup && !fixup {
            return Err(Error::usage(
                "init.method = \"fixup\" is for network.architecture = \"fixup-resnet110\"",
                "set that architecture, or leave init.method out",
            ));
        }
        if fixup && self.network.batch_norm {
            return Err(Error::usage(
                "network.architecture = \"fixup-resnet110\" has no batch normalisation, found network.batch_norm = true",
                "set network.batch_norm=false (--no-bn)",
            ));
        }
        self.schedule.check()?;
        self.augment.check()?;
        self.optimizer.check()?;
        self.gradinit.check()?;
        self.metainit.check()
    }

    fn shared(&mut self) -> Shared<'_> {
        Shared {
            gradinit: &mut self.gradinit,
            metainit: &mut self.metainit,
            compute: &mut self.training.compute,
            by_metainit: self.init.method == VisionInitMethod::Metainit,
        }
    }

    fn update_frequency(&self) -> usize {
        self.training.update_frequency
    }

    fn gradinit(&self) -> &GradInitConfig {
        &self.gradinit
    }

    fn learnt_from(&self) -> VisionConfig {
        let VisionConfig { network, augment, init, gradinit, metainit, training, .. } =
            self.clone().without_unused(true);
        let VisionTrainingConfig { seed, batch_size, .. } = training;
        let training = VisionTrainingConfig { seed, batch_size, ..VisionTrainingConfig::default() };
        VisionConfig { network, augment, init, gradinit, metainit, training, ..VisionConfig::default() }
    }
}

impl VisionConfig {
    /// Pictures of S in GradInit, and of S̃.
    pub fn gradinit_batch_size(&self) -> usize {
        or(self.gradinit.batch_size, self.training.batch_size)
    }

    /// Pictures of a batch of MetaInit.
    pub fn metainit_batch_size(&self) -> usize {
        or(self.metainit.batch_size, self.training.batch_size)
    }

    /// What the training loop goes by, on so many pictures in so many processes.
    pub fn training_loop(&self, pictures: usize, processes: usize) -> LoopConfig {
        let training = &self.training;
        let batches_per_update = training.update_frequency.saturating_mul(processes);
        let batches = pictures.div_ceil(training.batch_size);
        LoopConfig {
            max_updates: training.max_epochs.saturating_mul(batches.div_ceil(batches_per_update) as u64),
            max_epochs: training.max_epochs,
            batches_per_update,
            seed: training.seed,
            compute: training.compute.kind(),
            log_every: training.log_every,
            checkpoint_every: training.checkpoint_every,
            validate_every: self.validation.every_updates,
            patience: self.validation.patience,
            higher_is_better: true,
            keep_checkpoints: training.keep_checkpoints,
            detect_anomaly: training.detect_anomaly,
            tensorboard: training.tensorboard,
            clip_norm: self.optimizer.clip_norm,
            schedule: self.schedule.clone(),
        }
    }
}

/// `own`, or where it is 0 the other.
fn or(own: usize, other: usize) -> usize {
    if own == 0 { other } else { own }
}
