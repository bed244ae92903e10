//! `nmt vision inspect`: what initialisations of an image network look like, layer by layer.

use nmt::Result;
use nmt::machine;
use nmt::progress;
use nmt::task::Task;
use nmt::train::{TrainingData, load_weights};
use nmt::vision::initialise;
use nmt::vision::pictures::Split;
use tch::Tensor;

use super::super::inspect::DrawingOptions;
use super::super::model_options::name_of;
use super::super::signals;
use super::options::{NetworkOptions, PictureOptions, network_for};

/// Arguments of `nmt vision inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt vision inspect --arch vgg19 --data cifar10 --init init.safetensors --output figure1.svg
The first initialisation is what `nmt vision gradinit` with the same options started from.")]
pub struct VisionInspectArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    drawing: DrawingOptions,
}

impl VisionInspectArgs {
    /// Measure, draw, and say what was written.
    pub fn run(&self) -> Result<()> {
        self.drawing.check()?;
        let config = self.network.load(&[])?;
        let names = self.drawing.names(&name_of(&config.init.method))?;
        let device = machine::device();
        let data = self.pictures.batches(Split::Train, &config, config.training.batch_size, device)?;
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        let stopped = signals::watch()?;
        let mut thetas: Vec<Tensor> = Vec::new();
        if !self.drawing.files_only {
            thetas.push(initialise(&config, &network, &data, device, &stopped)?);
        }
        for path in &self.drawing.init {
            thetas.push(load_weights(path, network.layout(), &identity)?.to_device(device));
        }
        let count = self.drawing.batches as usize;
        let minibatches: Vec<Vec<usize>> = data.batches_without_end().take(count).collect();
        progress::note(format!(
            "{} blocks, {} parameters, {count} minibatches of up to {} pictures",
            network.layout().blocks().len(),
            network.layout().total(),
            minibatches.iter().map(Vec::len).max().unwrap_or(0)
        ));
        let seed = config.training.seed;
        // Batch normalisation goes by the minibatch, as in training (paper, Figure 1).
        let batches =
            || minibatches.iter().enumerate().map(|(number, indices)| data.batch(indices, seed + number as u64));
        self.drawing.draw(&network, &thetas, &names, batches, stopped)
    }
}
