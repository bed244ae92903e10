//! θ before training, whatever `init.method` says.

use tch::{Device, Tensor};

use super::config::{VisionConfig, VisionInitMethod};
use super::halves::seed_of_draw;
use super::kaiming::{fixup, kaiming};
use super::network::Classifier;
use super::pictures::PictureData;
use crate::error::Result;
use crate::init::metainit::metainit_theta;
use crate::task::Task;
use crate::train::TrainingData;

/// θ as it is drawn, `[P]`, fp32, on the CPU; MetaInit begins with it.
pub fn draw(config: &VisionConfig, network: &Classifier) -> Tensor {
    let (layout, seed) = (network.layout(), config.training.seed);
    match config.init.method {
        VisionInitMethod::Fixup => fixup(layout, seed),
        VisionInitMethod::Kaiming | VisionInitMethod::Metainit => kaiming(config.network.architecture, layout, seed),
    }
}

/// θ before training, `[P]`, fp32, on `device`. MetaInit looks at the pictures of `data` in batches of its own. `signal` is
/// asked between iterations whether to stop.
///
/// # Errors
/// What reading pictures brings, [`crate::Error::NonFinite`] from MetaInit and [`crate::Error::Interrupted`] on a signal.
pub fn initialise(
    config: &VisionConfig,
    network: &Classifier,
    data: &PictureData,
    device: Device,
    signal: impl Fn() -> Option<i32>,
) -> Result<Tensor> {
    let (theta, seed) = (draw(config, network).to_device(device), config.training.seed);
    if config.init.method != VisionInitMethod::Metainit {
        return Ok(theta);
    }
    let data = data.for_initialisation(config.metainit_batch_size())?;
    // Each with random numbers of its own: those of a batch are a function of its seed and the place in it.
    let mut batches = (1..).map(|drawn| seed_of_draw(seed, drawn)).zip(data.batches_without_end()).peekable();
    let draw = || {
        let (seed, indices) = batches.next().unwrap_or_default(); // It has no end.
        let batch = data.batch(&indices, seed);
        if let Some((seed, next)) = batches.peek() {
            data.prefetch(next, *seed);
        }
        batch
    };
    metainit_theta(network, &theta, &config.metainit, draw, signal)
}
