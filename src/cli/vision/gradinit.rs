//! `nmt vision gradinit`: learn one scale for every parameter block of an image network.

use nmt::task::Task;
use nmt::train::TrainingData;
use nmt::vision::pictures::Split;
use nmt::vision::{PictureHalves, VisionInitMethod, initialise};
use nmt::{Result, machine};

use super::super::gradinit_learn::LearnOptions;
use super::super::model_options::PrintConfig;
use super::super::signals;
use super::options::{NetworkOptions, PictureOptions, network_for, note_small};

/// Arguments of `nmt vision gradinit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt vision gradinit --arch vgg19 --data cifar10 --output init.safetensors")]
pub struct VisionGradInitArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    learn: LearnOptions,
    #[command(flatten)]
    print: PrintConfig,
}

impl VisionGradInitArgs {
    /// Run GradInit and write what it learnt.
    pub fn run(&self) -> Result<()> {
        let mut settings = self.learn.settings().to_vec();
        settings.push(self.network.batch_size_of("gradinit.batch_size"));
        let config = self.network.load(&settings)?;
        if self.print.printed(&config)? {
            return Ok(());
        }
        let _lock = self.learn.take_output()?;
        let (device, overlap) = (machine::device(), config.gradinit.overlap);
        let size = PictureHalves::batch_size(config.gradinit_batch_size(), overlap);
        let data = self.pictures.batches(Split::Train, &config, size, device)?.for_initialisation(size)?;
        note_small("gradinit.batch_size", config.gradinit_batch_size(), &data);
        if config.init.method == VisionInitMethod::Metainit {
            note_small("metainit.batch_size", config.metainit_batch_size(), &data);
        }
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        if self.learn.has_ended(network.layout(), &identity, &config, &data.fingerprint())? {
            return Ok(());
        }
        let stopped = signals::watch()?;
        let fresh = || initialise(&config, &network, &data, device, &stopped);
        let theta0 = self.learn.theta0(network.layout(), &identity, device, fresh)?;
        let mut halves = PictureHalves::new(&data, overlap, config.training.seed)?;
        let of = (&config, data.fingerprint());
        let learnt = self.learn.learn(&network, &theta0, of, &mut halves, identity, stopped);
        self.pictures.note_met(&data);
        learnt
    }
}
