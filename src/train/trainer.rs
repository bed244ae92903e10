//! The training loop.

use std::collections::BTreeMap;
use std::f64::consts::LN_2;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;
use tch::{Kind, Tensor};

use super::checkpoint::{BEST, Checkpoint, LAST, Window, save_weights};
use super::log::Log;
use crate::config::{Config, ValidationMetric};
use crate::error::{Error, Result};
use crate::optim::{Schedule, clip};
use crate::params::Layout;
use crate::progress::Progress;
use crate::random::split_mix;
use crate::task::{Mode, Task};

/// Where batches come from.
pub trait TrainingData {
    /// What a loss is computed on.
    type Batch;

    /// The batches of an epoch (from 1), as dataset indices, in the order they are trained on: a function of the
    /// configuration and the epoch alone.
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>>;

    /// The batch of these indices.
    fn batch(&self, indices: &[usize]) -> Self::Batch;
}

/// What one validation found; losses in bits a target token.
#[derive(Debug, Clone, Serialize)]
pub struct Validation {
    /// The training loss without dropout.
    pub loss: f64,
    /// Negative log-likelihood.
    pub nll_loss: f64,
    /// 2^nll.
    pub perplexity: f64,
    /// BLEU, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bleu: Option<f64>,
}

/// Where a run is kept and how far it goes this time.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The run folder: checkpoints and log.
    pub folder: &'a Path,
    /// What the parameters belong to: languages, dictionaries, written into checkpoints.
    pub identity: &'a BTreeMap<String, String>,
    /// Stop after this update, validated and saved, short of the `training.max_updates` of the schedule.
    pub stop_after: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Updates done.
    pub updates: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// The best value of the metric, and its update.
    pub best: Option<(f64, u64)>,
    /// Seconds of training, validation included.
    pub seconds: f64,
    /// Why it ended.
    pub reason: &'static str,
}

/// Train from `checkpoint` on. `validate` is called when a validation is due; `signal` says whether the run was asked
/// to stop.
///
/// One seed decides everything: dropout masks are a function of the seed, the update and the batch, so a resumed run
/// continues with the same bits.
///
/// # Errors
/// [`Error::NonFinite`] when the loss or the gradient is not a number, [`Error::Interrupted`] on a signal, after
/// saving the checkpoint `last`; otherwise what reading and writing files brings.
pub fn train<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    config: &Config,
    mut checkpoint: Checkpoint,
    run: Run,
    mut validate: impl FnMut(&Tensor) -> Result<Validation>,
    signal: impl Fn() -> Option<i32>,
) -> Result<Outcome> {
    let Run { folder, identity, .. } = run;
    let training = &config.training;
    let last_update = run.stop_after.map_or(training.max_updates, |update| update.min(training.max_updates));
    let schedule = Schedule::new(&config.schedule, training.max_updates);
    let compute = training.compute.kind();
    let layout = task.layout();
    let mut log = Log::open(folder, checkpoint.state.log_bytes)?;
    if checkpoint.state.update == 0 {
        // From now on the run can be taken up again, whenever it stops.
        checkpoint.save(&folder.join(LAST), layout, identity)?;
    }
    let mut progress = Progress::new("train", Some(last_update));
    let mut batches = data.epoch(checkpoint.state.epoch)?;
    let mut clock = Instant::now();

    let reason = loop {
        let state = &checkpoint.state;
        if state.update >= training.max_updates {
            break "max updates";
        }
        if state.update >= last_update {
            break "stop after";
        }
        if config.validation.patience > 0 && state.validations_since_best >= config.validation.patience {
            break "patience";
        }
        if state.batches_done >= batches.len() {
            if training.max_epochs > 0 && state.epoch >= training.max_epochs {
                break "max epochs";
            }
            checkpoint.state.epoch += 1;
            checkpoint.state.batches_done = 0;
            batches = data.epoch(checkpoint.state.epoch)?;
            continue;
        }

        // One update: gradients of some batches, clipping, one step of the optimiser.
        let end = (state.batches_done + training.update_frequency).min(batches.len());
        let group = &batches[state.batches_done..end];
        let seed = update_seed(training.seed, state.update);
        let mut sums = accumulate(task, data, &checkpoint.theta, group, compute, seed);
        sums.gradient /= sums.tokens as f64;
        let norm = clip(&mut sums.gradient, config.optimizer.clip_norm);
        check_finite(layout, &checkpoint, &sums, norm, group)?;
        let rate = schedule.rate(state.update);
        checkpoint.optimizer.step(&mut checkpoint.theta, &sums.gradient, rate);

        let state = &mut checkpoint.state;
        state.update += 1;
        state.batches_done = end;
        state.target_tokens += sums.tokens as u64;
        let seconds = clock.elapsed().as_secs_f64();
        clock = Instant::now();
        state.seconds += seconds;
        add(&mut state.window, &sums, norm, seconds);
        progress.set(state.update, || {
            let window = &state.window;
            let bits = window.loss / window.tokens as f64 / LN_2;
            format!(
                "epoch {} loss {bits:.3} lr {rate:.2e} {:.0} tokens/s",
                state.epoch,
                window.tokens as f64 / window.seconds
            )
        });
        if state.update.is_multiple_of(training.log_every) || state.update == last_update {
            let window = std::mem::take(&mut state.window);
            log.write(&update_event(state.update, state.epoch, state.seconds, rate, &window))?;
        }

        let epoch_ends = end == batches.len();
        let last = state.update == last_update
            || (epoch_ends && training.max_epochs > 0 && state.epoch >= training.max_epochs);
        let due = match config.validation.every_updates {
            0 => epoch_ends,
            every => state.update.is_multiple_of(every),
        };
        if due || last {
            let found = validate(&checkpoint.theta)?;
            checkpoint.state.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let better = remember(&mut checkpoint, &found, config.validation.chosen_metric());
            let state = &checkpoint.state;
            log.write(&validation_event(state.update, state.epoch, state.seconds, &found, better))?;
            progress.line(&validation_line(state.update, state.epoch, &found, better));
            if better {
                save_weights(&folder.join(BEST), layout, &checkpoint.theta, identity)?;
            }
        }
        let stopped = signal();
        let every = training.checkpoint_every;
        if due || last || stopped.is_some() || (every > 0 && checkpoint.state.update.is_multiple_of(every)) {
            checkpoint.state.log_bytes = log.bytes();
            checkpoint.save(&folder.join(LAST), layout, identity)?;
        }
        if let Some(signal) = stopped {
            let saved = format!(
                "saved {} at update {}; go on with --resume",
                folder.join(LAST).display(),
                checkpoint.state.update
            );
            return Err(Error::Interrupted { signal, saved });
        }
    };
    let state = &checkpoint.state;
    Ok(Outcome {
        updates: state.update,
        epochs: state.epoch,
        best: state.best.map(|best| (best, state.best_update)),
        seconds: state.seconds,
        reason,
    })
}

/// What the batches of one update add up to.
struct Sums {
    gradient: Tensor,
    loss: f64,
    nll: f64,
    tokens: i64,
}

fn accumulate<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    theta: &Tensor,
    group: &[Vec<usize>],
    compute: Kind,
    seed: u64,
) -> Sums {
    let mut sums = Sums { gradient: Tensor::new(), loss: 0.0, nll: 0.0, tokens: 0 };
    for (number, indices) in group.iter().enumerate() {
        let mode = Mode::train(compute, update_seed(seed, number as u64));
        let (loss, gradient) = task.gradient(theta, &data.batch(indices), mode);
        if sums.gradient.defined() {
            sums.gradient += gradient;
        } else {
            sums.gradient = gradient;
        }
        sums.loss += loss.sum.double_value(&[]);
        sums.nll += loss.nll.double_value(&[]);
        sums.tokens += loss.count;
    }
    sums
}

/// A seed for the dropout of one update, or of one batch of it.
fn update_seed(seed: u64, update: u64) -> u64 {
    let (seed, update) = (seed.wrapping_mul(0xd134_2543_de82_ef95), update.wrapping_add(1));
    split_mix(seed.wrapping_add(update.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn check_finite(layout: &Layout, checkpoint: &Checkpoint, sums: &Sums, norm: f64, group: &[Vec<usize>]) -> Result<()> {
    if sums.loss.is_finite() && norm.is_finite() {
        return Ok(());
    }
    let what = if sums.loss.is_finite() {
        format!("the gradient's norm is {norm}")
    } else {
        format!("the loss is {}", sums.loss)
    };
    let bad = layout.first_non_finite(&checkpoint.theta).or_else(|| layout.first_non_finite(&sums.gradient));
    let sentences: Vec<String> = group.iter().flatten().take(8).map(usize::to_string).collect();
    Err(Error::NonFinite {
        what,
        update: checkpoint.state.update + 1,
        block: bad.map_or("none".into(), |block| block.name.clone()),
        sentences: format!("{} …", sentences.join(", ")),
        next: "lower schedule.learning_rate, set optimizer.clip_norm, or train with training.compute=fp32".into(),
    })
}

fn add(window: &mut Window, sums: &Sums, norm: f64, seconds: f64) {
    window.loss += sums.loss;
    window.nll += sums.nll;
    window.gradient_norm += norm;
    window.tokens += sums.tokens as u64;
    window.updates += 1;
    window.seconds += seconds;
}

/// Take the validation into the state; true when it is the best so far.
fn remember(checkpoint: &mut Checkpoint, found: &Validation, metric: ValidationMetric) -> bool {
    let (value, better): (f64, fn(f64, f64) -> bool) = match (metric, found.bleu) {
        (ValidationMetric::Bleu, Some(bleu)) => (bleu, |a, b| a > b),
        _ => (found.nll_loss, |a, b| a < b),
    };
    let state = &mut checkpoint.state;
    state.validated_update = state.update;
    let better = state.best.is_none_or(|best| better(value, best));
    if better {
        (state.best, state.best_update, state.validations_since_best) = (Some(value), state.update, 0);
    } else {
        state.validations_since_best += 1;
    }
    better
}

fn update_event(update: u64, epoch: u64, seconds: f64, rate: f64, window: &Window) -> serde_json::Value {
    let tokens = window.tokens.max(1) as f64;
    json!({
        "event": "update",
        "update": update,
        "epoch": epoch,
        "loss": window.loss / tokens / LN_2,
        "nll_loss": window.nll / tokens / LN_2,
        "learning_rate": rate,
        "gradient_norm": window.gradient_norm / window.updates.max(1) as f64,
        "target_tokens": window.tokens,
        "tokens_per_second": window.tokens as f64 / window.seconds.max(1e-9),
        "seconds": seconds,
    })
}

fn validation_event(update: u64, epoch: u64, seconds: f64, found: &Validation, best: bool) -> serde_json::Value {
    let mut event = json!({
        "event": "validation",
        "update": update,
        "epoch": epoch,
        "loss": found.loss,
        "nll_loss": found.nll_loss,
        "perplexity": found.perplexity,
        "best": best,
        "seconds": seconds,
    });
    if let (Some(bleu), Some(object)) = (found.bleu, event.as_object_mut()) {
        object.insert("bleu".into(), json!(bleu));
    }
    event
}

fn validation_line(update: u64, epoch: u64, found: &Validation, best: bool) -> String {
    let bleu = found.bleu.map_or(String::new(), |bleu| format!(", BLEU {bleu:.2}"));
    let best = if best { " (best so far)" } else { "" };
    let (nll, perplexity) = (found.nll_loss, found.perplexity);
    format!(
        "update {update} (epoch {epoch}): validation nll {nll:.3} bits a token, perplexity {perplexity:.2}{bleu}{best}"
    )
}
