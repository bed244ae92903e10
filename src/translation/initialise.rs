//! θ before training, whatever `init.method` says.

use tch::{Device, Tensor};

use super::training_data::TranslationData;
use crate::config::Config;
use crate::data::ParallelDataset;
use crate::error::Result;
use crate::init::{InitMethod, draw_theta, metainit::metainit_theta};
use crate::model::{Transformer, TranslationBatch};
use crate::task::Task;

/// θ before training, `[P]`, fp32, on `device`, as `init.method` says. `open` gives the training split to the methods that
/// look at data; `signal` is asked between iterations whether to stop.
///
/// # Errors
/// What reading data brings, [`crate::Error::NonFinite`] from MetaInit and [`crate::Error::Interrupted`] on a signal.
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
            let batch = next_batch(&data, &mut data.batches_without_end())?;
            Ok(model.profile_w_skip(&theta, &batch, config.init.w_skip))
        }
        InitMethod::Metainit => {
            let settings = &config.metainit;
            let data = TranslationData::new(open()?, config, settings.max_tokens, device)?;
            let mut batches = data.batches_without_end();
            metainit_theta(model, &theta, settings, || next_batch(&data, &mut batches), signal)
        }
    }
}

fn next_batch(
    data: &TranslationData,
    batches: &mut impl Iterator<Item = Result<Vec<usize>>>,
) -> Result<TranslationBatch> {
    data.collate(&batches.next().transpose()?.unwrap_or_default()) // It has no end.
}
