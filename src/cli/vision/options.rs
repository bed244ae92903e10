//! Options that the commands of `nmt vision` share.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nmt::vision::pictures::{self, PictureData, Pictures, Split};
use nmt::vision::{Architecture, Classifier, VisionConfig, identity};
use nmt::{Result, progress};
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
    #[command(flatten)]
    reading: ReadingOptions,
}

/// How pictures are read.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ReadingOptions {
    /// Leave corrupt pictures out, with their names, instead of failing
    #[arg(long)]
    skip_corrupt: bool,
    /// Bring pictures of another size to the network's: the shorter side is resized, and the middle taken; resnet50 takes any
    /// size without it
    #[arg(long)]
    resize: bool,
}

impl ReadingOptions {
    /// As they are typed.
    pub fn arguments(self) -> Vec<String> {
        let given = [("--skip-corrupt", self.skip_corrupt), ("--resize", self.resize)];
        given.into_iter().filter(|(_, given)| *given).map(|(option, _)| option.to_string()).collect()
    }

    /// The same for a network; so many `threads` decode.
    pub fn of(self, architecture: Architecture, threads: Option<usize>) -> pictures::PictureOptions {
        let side = u32::try_from(architecture.takes().1).ok();
        pictures::PictureOptions {
            skip_corrupt: self.skip_corrupt,
            resize: side.filter(|_| self.resize),
            threads,
            ..pictures::PictureOptions::default()
        }
    }
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
        let architecture = config.network.architecture;
        Pictures::open_for(architecture.takes(), &self.data, split, self.reading.of(architecture, threads()))
    }

    /// Say how many pictures on disk were converted or left out while they were read.
    pub fn note_met(&self, data: &PictureData) {
        let pictures = data.pictures();
        pictures.note_met(&format!("{} ({})", self.data.display(), pictures.split().name()));
    }
}

/// Say so where batches are larger than the data.
pub fn note_small(key: &str, batch_size: usize, data: &PictureData) {
    let count = data.pictures().len();
    if count < batch_size {
        progress::note(format!("warning: {key} is {batch_size}, and there are {count} pictures: a batch has no more"));
    }
}

/// Threads that decode where libtorch computes: as many as it has.
pub fn threads() -> Option<usize> {
    usize::try_from(tch::get_num_threads()).ok()
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
