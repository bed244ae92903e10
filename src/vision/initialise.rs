//! θ before training, whatever `init.method` says.

use tch::{Device, Kind, Tensor};

use super::config::{VisionConfig, VisionInitMethod};
use super::kaiming::{fixup, kaiming};
use super::network::Classifier;
use super::pictures::PictureData;
use crate::error::{Error, Result};
use crate::init::{metainit::metainit, rescale};
use crate::progress::{self, Progress};
use crate::task::Task;
use crate::train::TrainingData;

/// θ before training, `[P]`, fp32, on `device`. `data` has batches of training; MetaInit looks at them. `signal` is asked
/// between iterations whether to stop.
///
/// # Errors
/// What reading pictures brings, [`Error::NonFinite`] from MetaInit and [`Error::Interrupted`] on a signal.
pub fn initialise(
    config: &VisionConfig,
    network: &Classifier,
    data: &PictureData,
    device: Device,
    signal: impl Fn() -> Option<i32>,
) -> Result<Tensor> {
    let (layout, seed) = (network.layout(), config.training.seed);
    let drawn = match config.init.method {
        VisionInitMethod::Fixup => fixup(layout, seed),
        VisionInitMethod::Kaiming | VisionInitMethod::Metainit => kaiming(config.network.architecture, layout, seed),
    };
    let theta = drawn.to_device(device);
    if config.init.method != VisionInitMethod::Metainit {
        return Ok(theta);
    }
    let settings = &config.metainit;
    let mut batches = data.batches_without_end();
    let mut bar = Progress::new("metainit", Some(settings.iterations));
    let (mut first, mut last) = (None, 0.0);
    let scales = metainit(
        network,
        &theta,
        settings,
        || data.batch(&batches.next().unwrap_or_default(), seed), // It has no end.
        |iteration, quotient| {
            (first, last) = (first.or(Some(quotient)), quotient);
            bar.set(iteration + 1, || format!("gradient quotient {quotient:.4}"));
            Error::if_interrupted(signal())
        },
    )?;
    drop(bar);
    progress::note(format!("MetaInit: gradient quotient {:.4} at first, {last:.4} at last", first.unwrap_or(0.0)));
    let m = Tensor::from_slice(&scales).to_kind(Kind::Float).to_device(device);
    Ok(rescale(layout, &theta, &m))
}
