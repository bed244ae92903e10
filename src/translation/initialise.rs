//! θ before training, whatever `init.method` says.

use tch::{Device, Kind, Tensor};

use super::training_data::TranslationData;
use crate::config::Config;
use crate::data::ParallelDataset;
use crate::error::{Error, Result};
use crate::init::{InitMethod, draw_theta, metainit::metainit, rescale};
use crate::model::{Transformer, TranslationBatch};
use crate::progress::{self, Progress};
use crate::task::Task;
use crate::train::TrainingData;

/// θ before training, `[P]`, fp32, on `device`, as `init.method` says. `open` gives the training split to the methods that
/// look at data; `signal` is asked between iterations whether to stop.
///
/// # Errors
/// What reading data brings, [`Error::NonFinite`] from MetaInit and [`Error::Interrupted`] on a signal.
pub fn initialise(
    config: &Config,
    model: &Transformer,
    open: impl Fn() -> Result<ParallelDataset>,
    device: Device,
    signal: impl Fn() -> Option<i32>,
) -> Result<Tensor> {
    let theta = draw_theta(&config.init, model.layout(), config.training.seed).to_device(device);
    match config.init.method {
        InitMethod::Xavier | InitMethod::TFixup | InitMethod::Fixup => Ok(theta),
        InitMethod::Admin => {
            let data = TranslationData::new(open()?, config, config.training.max_tokens, device)?;
            let batch = Batches::new(&data).next()?;
            Ok(model.profile_w_skip(&theta, &batch, config.init.w_skip))
        }
        InitMethod::Metainit => {
            let settings = &config.metainit;
            let data = TranslationData::new(open()?, config, settings.max_tokens, device)?;
            let mut batches = Batches::new(&data);
            let mut bar = Progress::new("metainit", Some(settings.iterations));
            let (mut first, mut last) = (None, 0.0);
            let scales = metainit(
                model,
                &theta,
                settings,
                || batches.next(),
                |iteration, quotient| {
                    (first, last) = (first.or(Some(quotient)), quotient);
                    bar.set(iteration + 1, || format!("gradient quotient {quotient:.4}"));
                    match signal() {
                        Some(signal) => Err(Error::Interrupted { signal, saved: "nothing was written".into() }),
                        None => Ok(()),
                    }
                },
            )?;
            drop(bar);
            progress::note(format!(
                "MetaInit: gradient quotient {:.4} at first, {last:.4} at last",
                first.unwrap_or(0.0)
            ));
            let m = Tensor::from_slice(&scales).to_kind(Kind::Float).to_device(device);
            Ok(rescale(model.layout(), &theta, &m))
        }
    }
}

/// The batches of training, one after the other, epoch by epoch.
struct Batches<'a> {
    data: &'a TranslationData,
    epoch: u64,
    left: std::vec::IntoIter<Vec<usize>>,
}

impl<'a> Batches<'a> {
    fn new(data: &'a TranslationData) -> Batches<'a> {
        Batches { data, epoch: 0, left: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<TranslationBatch> {
        loop {
            if let Some(batch) = self.left.next() {
                return Ok(self.data.batch(&batch));
            }
            self.epoch += 1;
            self.left = self.data.epoch(self.epoch)?.into_iter(); // Not empty: TranslationData::new has seen to it.
        }
    }
}
