//! The training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use super::anomaly::{Anomaly, IN_A_ROW};
use super::checkpoint::{ANOMALY, BEST, Checkpoint, LAST, State, Window};
use super::log::Log;
use super::memory::watch;
use super::retention::keep;
use super::tensorboard::EventFile;
use crate::error::{Error, Result};
use crate::optim::{Schedule, ScheduleConfig, clip};
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

    /// The batch of these indices; `seed` decides what is random about it.
    ///
    /// # Errors
    /// What reading it brings.
    fn batch(&self, indices: &[usize], seed: u64) -> Result<Self::Batch>;

    /// The batch that will be asked for next: whoever can makes it in the background.
    fn prefetch(&self, indices: &[usize], seed: u64) {
        let _ = (indices, seed);
    }

    /// What losses are counted in.
    fn units(&self) -> Units;

    /// What tells these data from others: a run goes on with the data that it began with. Empty: nothing does.
    fn fingerprint(&self) -> String {
        String::new()
    }

    /// Whether the files that batches are read from still are what they were. Where others have their names by now, which
    /// changes nothing before the run is taken up again: a sentence about it.
    ///
    /// # Errors
    /// [`Error::Content`] where batches may no longer be what they were.
    fn check_files(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// How much a batch of these indices takes, in any unit.
    fn size(&self, indices: &[usize]) -> usize {
        indices.len()
    }

    /// The size of the batch of these indices for people, and which setting lowers it.
    fn describe(&self, indices: &[usize]) -> (String, &'static str) {
        (format!("{} examples", indices.len()), "make batches smaller")
    }
}

/// What losses are counted in.
#[derive(Debug, Clone, Copy)]
pub struct Units {
    /// What they are means over, such as `tokens`, in progress and as `tokens_per_second` in the log.
    pub plural: &'static str,
    /// The key of their number in the log.
    pub key: &'static str,
    /// The natural logarithm of the unit of losses: ln 2 for bits.
    pub loss: f64,
}

/// What the loop goes by.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopConfig {
    /// The number of updates; the schedule ends here.
    pub max_updates: u64,
    /// The number of epochs; 0: no limit.
    pub max_epochs: u64,
    /// Batches whose gradients are added up for one update.
    pub update_frequency: usize,
    /// The seed of dropout and of augmentation.
    pub seed: u64,
    /// What activations are computed in.
    pub compute: Kind,
    /// Updates between two lines of the log.
    pub log_every: u64,
    /// Updates between two checkpoints; 0: only at validations and at the end.
    pub checkpoint_every: u64,
    /// Updates between two validations; 0: after every epoch.
    pub validate_every: u64,
    /// Validations without a better value after which training ends; 0: never.
    pub patience: u64,
    /// Whether a higher value of a validation is a better one.
    pub higher_is_better: bool,
    /// Checkpoints of validations that are kept beside `best` and `last`, the newest ones.
    pub keep_checkpoints: usize,
    /// Stop at the first number that is not finite, of θ and the optimiser, too, instead of skipping such updates.
    pub detect_anomaly: bool,
    /// Write TensorBoard's event files, too.
    pub tensorboard: bool,
    /// The gradient's largest ℓ2 norm; 0: no clipping.
    pub clip_norm: f64,
    /// The learning rate.
    pub schedule: ScheduleConfig,
}

/// What one validation found.
#[derive(Debug, Clone)]
pub struct Validation {
    /// What decides which checkpoint is the best.
    pub value: f64,
    /// Everything, for the log.
    pub found: Map<String, Value>,
    /// The same for people.
    pub text: String,
}

/// Where a run is kept and how far it goes this time.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// The run folder: checkpoints and log.
    pub folder: &'a Path,
    /// What the parameters belong to: languages, dictionaries, written into checkpoints.
    pub identity: &'a BTreeMap<String, String>,
    /// Stop after this update, validated and saved, short of the `config.max_updates` of the schedule.
    pub stop_after: Option<u64>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Updates done.
    pub updates: u64,
    /// Updates that were not made, because their loss or gradient was not finite.
    pub skipped: u64,
    /// Epochs begun.
    pub epochs: u64,
    /// The best value of the metric, and its update.
    pub best: Option<(f64, u64)>,
    /// Seconds of training, validation included.
    pub seconds: f64,
    /// Why it ended.
    pub reason: &'static str,
}

/// Refuse to go on with a run on other data than it began with, and without its log: before anything in its folder changes.
///
/// # Errors
/// [`Error::Usage`] for other data, [`Error::Content`] for a log that is too short.
pub fn check_run<D: TrainingData>(data: &D, checkpoint: &Checkpoint, folder: &Path) -> Result<()> {
    let State { data: began_with, log_bytes, .. } = &checkpoint.state;
    if !began_with.is_empty() && *began_with != data.fingerprint() {
        let last = folder.join(LAST);
        return Err(Error::usage(
            format!("{}: expected the data that the run began with, found other data", last.display()),
            format!("resume on those; to train on with others begin a new run, with --init {}", last.display()),
        ));
    }
    Log::check(folder, *log_bytes)
}

/// Train from `checkpoint` on. `validate` is called when a validation is due; `signal` says whether the run was asked
/// to stop.
///
/// One seed decides everything: dropout masks are a function of the seed, the update and the batch, so a resumed run
/// continues with the same bits.
///
/// An update whose loss or gradient is not finite is not made, counted and logged. Before a checkpoint is saved the files of
/// the data are looked at: what has been trained on others is not saved.
///
/// # Errors
/// [`Error::NonFinite`] when three updates in a row were not made, after saving the checkpoint `anomaly`;
/// [`Error::Interrupted`] on a signal, after saving the checkpoint `last`; otherwise what reading and writing files brings.
pub fn train<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    config: &LoopConfig,
    mut checkpoint: Checkpoint,
    run: Run,
    mut validate: impl FnMut(&Tensor) -> Result<Validation>,
    signal: impl Fn() -> Option<i32>,
) -> Result<Outcome> {
    let Run { folder, identity, .. } = run;
    let last_update = run.stop_after.map_or(config.max_updates, |update| update.min(config.max_updates));
    let schedule = Schedule::new(&config.schedule, config.max_updates);
    let units = data.units();
    let layout = task.layout();
    check_run(data, &checkpoint, folder)?;
    checkpoint.state.data = data.fingerprint();
    let mut batches = data.epoch(checkpoint.state.epoch)?;
    try_largest(task, data, &checkpoint.theta, &batches, config)?;
    let board = config.tensorboard.then(|| EventFile::create(folder, checkpoint.state.update)).transpose()?;
    let mut log = Log::open(folder, checkpoint.state.log_bytes)?.with_board(board);
    if checkpoint.state.update == 0 {
        // From now on the run can be taken up again, whenever it stops.
        checkpoint.save(&folder.join(LAST), task, identity)?;
    }
    let mut progress = Progress::new("train", Some(last_update));
    let mut clock = Instant::now();
    let mut replaced = false;

    let reason = loop {
        let state = &checkpoint.state;
        if state.update >= config.max_updates {
            break "max updates";
        }
        if state.update >= last_update {
            break "stop after";
        }
        if config.patience > 0 && state.validations_since_best >= config.patience {
            break "patience";
        }
        if state.batches_done >= batches.len() {
            if config.max_epochs > 0 && state.epoch >= config.max_epochs {
                break "max epochs";
            }
            checkpoint.state.epoch += 1;
            checkpoint.state.batches_done = 0;
            batches = data.epoch(checkpoint.state.epoch)?;
            continue;
        }

        // One update: gradients of some batches, clipping, one step of the optimiser.
        let end = (state.batches_done + config.update_frequency).min(batches.len());
        let group = &batches[state.batches_done..end];
        let attempt = state.update + state.skipped;
        let seed = update_seed(config.seed, attempt);
        let mut sums = accumulate(task, data, &checkpoint.theta, group, config.compute, seed)?;
        if let Some(next) = batches.get(end) {
            data.prefetch(next, update_seed(update_seed(config.seed, attempt + 1), 0));
        }
        sums.gradient /= sums.count as f64;
        let norm = clip(&mut sums.gradient, config.clip_norm);
        let rate = schedule.rate(state.update);
        let mut anomaly = Anomaly::of_update(layout, &checkpoint.theta, &sums, norm);
        if anomaly.is_none() {
            checkpoint.optimizer.step(&mut checkpoint.theta, &sums.gradient, rate);
            if config.detect_anomaly {
                anomaly = Anomaly::of_step(layout, &checkpoint.theta, &checkpoint.optimizer.state());
            }
        }
        let made = anomaly.is_none();
        checkpoint.state.batches_done = end;
        if let Some(anomaly) = anomaly {
            let state = &mut checkpoint.state;
            (state.skipped, state.skipped_in_a_row) = (state.skipped + 1, state.skipped_in_a_row + 1);
            log.write(&skipped_event(state, &anomaly, group))?;
            let update = state.update + 1;
            progress.line(&format!("update {update} skipped: {}, first bad block: {}", anomaly.what, anomaly.block));
            if config.detect_anomaly || state.skipped_in_a_row >= IN_A_ROW {
                let path = folder.join(ANOMALY);
                checkpoint.save(&path, task, identity)?;
                let saved = format!("what it stood at is in {}, the sentences in the log", path.display());
                return Err(anomaly.into_error(update, group, config.compute, &saved));
            }
        } else {
            let state = &mut checkpoint.state;
            state.skipped_in_a_row = 0;
            state.update += 1;
            state.target_tokens += sums.count as u64;
            let seconds = clock.elapsed().as_secs_f64();
            clock = Instant::now();
            state.seconds += seconds;
            add(&mut state.window, &sums, norm, seconds);
            progress.set(state.update, || {
                let window = &state.window;
                let loss = window.loss / window.tokens as f64 / units.loss;
                let speed = window.tokens as f64 / window.seconds;
                format!("epoch {} loss {loss:.3} lr {rate:.2e} {speed:.0} {}/s", state.epoch, units.plural)
            });
            if state.update.is_multiple_of(config.log_every) || state.update == last_update {
                let window = std::mem::take(&mut state.window);
                log.write(&update_event(state, units, rate, &window))?;
            }
        }

        let state = &checkpoint.state;
        let epoch_ends = end == batches.len();
        let last = (made && state.update == last_update)
            || (epoch_ends && config.max_epochs > 0 && state.epoch >= config.max_epochs);
        let due = match config.validate_every {
            0 => epoch_ends,
            every => made && state.update.is_multiple_of(every),
        };
        if due || last {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced)?;
            let found = validate(&checkpoint.theta)?;
            checkpoint.state.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let better = remember(&mut checkpoint, found.value, config.higher_is_better);
            let state = &checkpoint.state;
            let best = if better { " (best so far)" } else { "" };
            progress.line(&format!("update {} (epoch {}): {}{best}", state.update, state.epoch, found.text));
            log.write(&validation_event(state, found.found, better))?;
            if better {
                checkpoint.save_weights(&folder.join(BEST), task, identity)?;
            }
            keep(folder, checkpoint.state.update, config.keep_checkpoints, |path| {
                checkpoint.save_weights(path, task, identity)
            })?;
        }
        let stopped = signal();
        let every = config.checkpoint_every;
        if due || last || stopped.is_some() || (made && every > 0 && checkpoint.state.update.is_multiple_of(every)) {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced)?;
            checkpoint.state.log_bytes = log.bytes();
            checkpoint.save(&folder.join(LAST), task, identity)?;
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
        skipped: state.skipped,
        epochs: state.epoch,
        best: state.best.map(|best| (best, state.best_update)),
        seconds: state.seconds,
        reason,
    })
}

/// Refuse to go on where what was trained on may be something else than the data, before anything is saved; say once where
/// other files have their names.
fn check_files<D: TrainingData>(
    data: &D,
    update: u64,
    log: &mut Log,
    progress: &Progress,
    said: &mut bool,
) -> Result<()> {
    if let Some(what) = data.check_files()?.filter(|_| !*said) {
        log.write(&json!({"event": "data", "update": update, "what": what}))?;
        progress.line(&format!("warning: {what}; the run can be resumed with the old data only"));
        *said = true;
    }
    Ok(())
}

/// What the batches of one update add up to.
pub(super) struct Sums {
    pub(super) gradient: Tensor,
    pub(super) loss: f64,
    nll: f64,
    pub(super) count: i64,
}

pub(super) fn accumulate<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    theta: &Tensor,
    group: &[Vec<usize>],
    compute: Kind,
    seed: u64,
) -> Result<Sums> {
    let mut sums = Sums { gradient: Tensor::new(), loss: 0.0, nll: 0.0, count: 0 };
    for (number, indices) in group.iter().enumerate() {
        let seed = update_seed(seed, number as u64);
        let batch = data.batch(indices, seed)?;
        let (loss, gradient) = watch(|| task.gradient(theta, &batch, Mode::train(compute, seed)))
            .map_err(|found| out_of_memory(data, indices, found))?;
        if sums.gradient.defined() {
            sums.gradient += gradient;
        } else {
            sums.gradient = gradient;
        }
        sums.loss += loss.sum.double_value(&[]);
        sums.nll += loss.nll.double_value(&[]);
        sums.count += loss.count;
    }
    Ok(sums)
}

/// Train on the largest batch and forget it: a run that has not enough memory for it ends at once, not after hours.
fn try_largest<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    theta: &Tensor,
    batches: &[Vec<usize>],
    config: &LoopConfig,
) -> Result<()> {
    let Some(largest) = largest(data, batches) else { return Ok(()) };
    let running = task.running().map(|(_, running)| (running.copy(), running));
    accumulate(task, data, theta, std::slice::from_ref(largest), config.compute, config.seed)?;
    if let Some((before, mut running)) = running {
        tch::no_grad(|| running.copy_(&before));
    }
    Ok(())
}

/// The batch that takes most.
pub(super) fn largest<'a, D: TrainingData>(data: &D, batches: &'a [Vec<usize>]) -> Option<&'a Vec<usize>> {
    batches.iter().max_by_key(|batch| data.size(batch))
}

fn out_of_memory<D: TrainingData>(data: &D, indices: &[usize], found: String) -> Error {
    let (batch, lower) = data.describe(indices);
    let next = format!("{lower}, and raise training.update_frequency to make an update of as much");
    Error::OutOfMemory { batch, found, next }
}

/// A seed for the dropout of one update, or of one batch of it.
fn update_seed(seed: u64, update: u64) -> u64 {
    let (seed, update) = (seed.wrapping_mul(0xd134_2543_de82_ef95), update.wrapping_add(1));
    split_mix(seed.wrapping_add(update.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

fn add(window: &mut Window, sums: &Sums, norm: f64, seconds: f64) {
    window.loss += sums.loss;
    window.nll += sums.nll;
    window.gradient_norm += norm;
    window.tokens += sums.count as u64;
    window.updates += 1;
    window.seconds += seconds;
}

/// Take the value of a validation into the state; true when it is the best so far.
fn remember(checkpoint: &mut Checkpoint, value: f64, higher_is_better: bool) -> bool {
    let state = &mut checkpoint.state;
    state.validated_update = state.update;
    let better = state.best.is_none_or(|best| if higher_is_better { value > best } else { value < best });
    if better {
        (state.best, state.best_update, state.validations_since_best) = (Some(value), state.update, 0);
    } else {
        state.validations_since_best += 1;
    }
    better
}

fn update_event(state: &State, units: Units, rate: f64, window: &Window) -> Value {
    let count = window.tokens.max(1) as f64;
    let mut event = json!({
        "event": "update",
        "update": state.update,
        "epoch": state.epoch,
        "loss": window.loss / count / units.loss,
        "nll_loss": window.nll / count / units.loss,
        "learning_rate": rate,
        "gradient_norm": window.gradient_norm / window.updates.max(1) as f64,
        "seconds": state.seconds,
    });
    if let Some(object) = event.as_object_mut() {
        object.insert(units.key.into(), json!(window.tokens));
        let speed = window.tokens as f64 / window.seconds.max(1e-9);
        object.insert(format!("{}_per_second", units.plural), json!(speed));
    }
    event
}

fn skipped_event(state: &State, anomaly: &Anomaly, group: &[Vec<usize>]) -> Value {
    json!({
        "event": "skipped",
        "update": state.update + 1,
        "epoch": state.epoch,
        "what": anomaly.what,
        "block": anomaly.block,
        "indices": group.iter().flatten().collect::<Vec<_>>(),
        "skipped": state.skipped,
    })
}

fn validation_event(state: &State, found: Map<String, Value>, best: bool) -> Value {
    let mut event = json!({
        "event": "validation",
        "update": state.update,
        "epoch": state.epoch,
        "best": best,
        "seconds": state.seconds,
    });
    if let Some(object) = event.as_object_mut() {
        object.extend(found);
    }
    event
}
