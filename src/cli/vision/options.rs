//! Options that the commands of `nmt vision` share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nmt::Result;
use nmt::vision::pictures::{self, PictureData, Pictures, Split};
use nmt::vision::{Architecture, Classifier, VisionConfig, identity};
use tch::Device;

use super::super::model_options::{ConfigOptions, setting};

/// Which network, and how it is trained.
#[derive(Debug, Clone, clap::Args)]
pub struct NetworkOptions {
    #[command(flatten)]
    pub config: ConfigOptions,
    /// The network: network.architecture
    #[arg(long, value_name = "NAME", value_parser = architectures())]
    arch: Option<String>,
    /// Learnable biases in the place of batch normalisation: network.batch_norm=false
    #[arg(long)]
    no_bn: bool,
    /// Pictures of a batch: training.batch_size, and in `gradinit` gradinit.batch_size
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// The seed of everything: training.seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

fn architectures() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(Architecture::ALL.map(|architecture| architecture.name()))
}

impl NetworkOptions {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.arch.is_none() && !self.no_bn
    }

    /// What `--batch-size` sets besides training's: the batches of a command that has its own.
    pub fn batch_size_of(&self, key: &str) -> Option<String> {
        setting(key, self.batch_size)
    }

    /// The configuration: defaults, file, `--set`, these options, and then `further` settings of other ones.
    pub fn load(&self, further: &[Option<String>]) -> Result<VisionConfig> {
        self.config.load(&self.settings(further))
    }

    /// What these options and `further` ones set over `--set`.
    pub fn settings(&self, further: &[Option<String>]) -> Vec<Option<String>> {
        let own = [
            setting("network.architecture", self.arch.as_ref()),
            self.no_bn.then(|| "network.batch_norm=false".to_string()),
            setting("training.batch_size", self.batch_size),
            setting("training.seed", self.seed),
        ];
        [&own, further].concat()
    }
}

/// Which pictures.
#[derive(Debug, Clone, clap::Args)]
pub struct PictureOptions {
    /// The pictures: CIFAR-10's binary version (folder or archive), a folder with train/CLASS/*.jpg and val/CLASS/*.jpg,
    /// test/CLASS/*.jpg or both, or a folder with an archive of each
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
    /// Leave corrupt pictures out, with their names, instead of failing
    #[arg(long)]
    skip_corrupt: bool,
}

impl PictureOptions {
    /// A split as batches of `batch_size` for the network of the configuration.
    ///
    /// # Errors
    /// As [`Pictures::open_for`].
    pub fn batches(
        &self,
        split: Split,
        config: &VisionConfig,
        batch_size: usize,
        device: Device,
    ) -> Result<PictureData> {
        let pictures = self.open(split, config)?;
        PictureData::new(pictures, config.augment.clone(), batch_size, config.training.seed, device)
    }

    /// A split for the network of the configuration.
    ///
    /// # Errors
    /// As [`Pictures::open_for`].
    pub fn open(&self, split: Split, config: &VisionConfig) -> Result<Pictures> {
        let options = pictures::PictureOptions {
            skip_corrupt: self.skip_corrupt,
            threads: Some(threads()),
            ..pictures::PictureOptions::default()
        };
        let architecture = config.network.architecture;
        let network = (architecture.name(), architecture.pictures().0);
        Pictures::open_for(network, &self.data, split, options)
    }

    /// Say how many pictures on disk were converted or left out while they were read.
    pub fn note_met(&self, data: &PictureData) {
        let pictures = data.pictures();
        pictures.note_met(&format!("{} ({})", self.data.display(), pictures.split().name()));
    }
}

/// Threads that decode: as many as libtorch has.
pub fn threads() -> usize {
    usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1)
}

/// The network of a configuration for the classes of its pictures, and what its checkpoints belong to.
pub fn network_for(
    config: &VisionConfig,
    classes: &[String],
    device: Device,
) -> (Classifier, BTreeMap<String, String>) {
    let network = &config.network;
    let classifier = Classifier::new(network.architecture, network.batch_norm, classes.len() as i64, device);
    (classifier, identity(network, classes))
}
