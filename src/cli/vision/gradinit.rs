//! `nmt vision gradinit`: learn one scale for every parameter block of an image network.

use std::path::PathBuf;

use nmt::Result;
use nmt::machine;
use nmt::task::Task;
use nmt::train::load_weights;
use nmt::vision::pictures::Split;
use nmt::vision::{PictureHalves, initialise};

use super::super::gradinit::{check_output, learn};
use super::super::model_options::setting;
use super::super::signals;
use super::options::{NetworkOptions, PictureOptions, network_for};

/// Arguments of `nmt vision gradinit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt vision gradinit --arch vgg19 --data cifar10 --set gradinit.tau=0.1 --output init.safetensors")]
pub struct VisionGradInitArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    network: NetworkOptions,
    /// Where the rescaled parameters go; the scales and the trajectory are written beside it
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Replace the files of --output
    #[arg(long)]
    overwrite: bool,
    /// Rescale these parameters instead of freshly drawn ones
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Iterations T: gradinit.iterations
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// The learning rate of the scales: gradinit.tau
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    tau: Option<f64>,
}

impl VisionGradInitArgs {
    /// Run GradInit and write what it learnt.
    pub fn run(&self) -> Result<()> {
        let config = self.network.load(&[
            setting("gradinit.iterations", self.iterations),
            setting("gradinit.tau", self.tau.map(|tau| format!("{tau:?}"))),
        ])?;
        check_output(&self.output, self.overwrite)?;
        let (device, overlap) = (machine::device(), config.gradinit.overlap);
        let size = PictureHalves::batch_size(config.training.batch_size, overlap);
        let data = self.pictures.batches(Split::Train, &config, size, device)?;
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        let stopped = signals::watch()?;
        let theta0 = match &self.init {
            Some(path) => load_weights(path, network.layout(), &identity)?.to_device(device),
            None => initialise(&config, &network, &data, device, &stopped)?,
        };
        let mut halves = PictureHalves::new(&data, overlap, config.training.seed)?;
        learn(&network, &theta0, &config.gradinit, || halves.draw(), &self.output, identity, stopped)
    }
}
