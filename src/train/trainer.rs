//! The training loop.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tch::{Kind, Tensor};

use super::anomaly::{Anomaly, IN_A_ROW};
use super::checkpoint::{ANOMALY, BEST, Checkpoint, LAST, State, Window};
use super::communicator::{Communicator, agree, everyones, of_first, sums, wait_for_all};
use super::events::{skipped_event, update_event, validation_event};
use super::log::Log;
use super::memory::watch;
use super::retention::keep;
use super::tensorboard::EventFile;
use crate::error::{Error, Result};
use crate::optim::{Schedule, ScheduleConfig, clip_of_norm};
use crate::progress::{Progress, readable};
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

    /// The batch that will be asked for next, while the one before it is computed with: whoever can makes it in the background.
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
    /// Batches whose gradients are added up for one update, of all processes together.
    pub batches_per_update: usize,
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

impl Validation {
    /// Of a process that leaves it to the first one.
    fn none() -> Validation {
        Validation { value: f64::NAN, found: Map::new(), text: String::new() }
    }
}

/// Where a run is kept, how far it goes this time and who trains.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The run folder: checkpoints and log.
    pub folder: &'a Path,
    /// What the parameters belong to: languages, dictionaries, written into checkpoints.
    pub identity: &'a BTreeMap<String, String>,
    /// Where to stop short of the end of the schedule.
    pub stop_after: Option<StopAfter>,
    /// The processes that train together.
    pub processes: &'a dyn Communicator,
}

/// Where a run stops before its schedule ends, validated and saved, to be taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopAfter {
    /// After this many updates.
    Update(u64),
    /// At the end of this epoch (from 1), however many updates it came to.
    Epoch(u64),
}

impl StopAfter {
    /// How many updates that is of those of `config`, where none is skipped.
    pub fn updates(self, config: &LoopConfig) -> u64 {
        let updates = match self {
            StopAfter::Update(update) => update,
            StopAfter::Epoch(epoch) => epoch.saturating_mul(config.max_updates) / config.max_epochs.max(1),
        };
        updates.min(config.max_updates)
    }
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

/// Refuse to go on with a run on other data than it began with, without its log, and in processes that mean different runs:
/// before anything in its folder changes.
///
/// # Errors
/// [`Error::Usage`] for other data, [`Error::Content`] for a log that is too short and for processes that differ.
pub fn check_run<D: TrainingData>(
    data: &D,
    checkpoint: &Checkpoint,
    folder: &Path,
    processes: &dyn Communicator,
) -> Result<()> {
    let State { data: began_with, log_bytes, config, .. } = &checkpoint.state;
    let fingerprint = data.fingerprint();
    agree(processes, "training data", &fingerprint)?;
    agree(processes, "configuration", config)?;
    agree(processes, "checkpoint", &format!("{:?}", checkpoint.state))?;
    if !began_with.is_empty() && *began_with != fingerprint {
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
/// Several processes share the batches of an update: process r of n takes number r, r + n, … of them, with the random numbers
/// that they have where one process takes them all, and the gradients are added up. So the update is that of one process, but
/// for the rounding of a sum in another order. Running statistics, which one process moves batch by batch, are averaged after it over
/// those that had a batch. The first process gives θ and the optimiser's vectors to the others at the start, validates, and alone
/// writes. Before a validation θ is compared: where machines round in other ways and it has drifted apart, the run is given up.
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
    let Run { folder, identity, processes, .. } = run;
    let first = processes.is_first();
    let last_update = match run.stop_after {
        Some(StopAfter::Update(update)) => update.min(config.max_updates),
        _ => config.max_updates,
    };
    let max_epochs = if config.max_epochs > 0 { config.max_epochs } else { u64::MAX };
    let last_epoch = match run.stop_after {
        Some(StopAfter::Epoch(epoch)) => epoch.min(max_epochs),
        _ => max_epochs,
    };
    let schedule = Schedule::new(&config.schedule, config.max_updates);
    let units = data.units();
    let layout = task.layout();
    check_run(data, &checkpoint, folder, processes)?;
    checkpoint.state.data = data.fingerprint();
    checkpoint.state.processes = processes.size();
    begin_alike(processes, task, &mut checkpoint)?;
    let mut batches = data.epoch(checkpoint.state.epoch)?;
    try_largest(task, data, &checkpoint.theta, &batches, config)?;
    let board =
        (first && config.tensorboard).then(|| EventFile::create(folder, checkpoint.state.update)).transpose()?;
    let mut log = match first {
        true => Log::open(folder, checkpoint.state.log_bytes)?.with_board(board),
        false => Log::none(),
    };
    let save = |checkpoint: &Checkpoint, name: &str| match first {
        true => checkpoint.save(&folder.join(name), task, identity),
        false => Ok(()),
    };
    if checkpoint.state.update == 0 {
        // From now on the run can be taken up again, whenever it stops.
        save(&checkpoint, LAST)?;
    }
    let mut progress =
        Progress::new("train", Some(run.stop_after.map_or(config.max_updates, |stop| stop.updates(config))));
    let mut clock = Instant::now();
    let mut replaced = false;

    let reason = loop {
        let state = &checkpoint.state;
        if state.update >= config.max_updates {
            break "max updates";
        }
        let epoch_over = state.batches_done >= batches.len();
        let stops_here =
            last_epoch < max_epochs && (state.epoch > last_epoch || (epoch_over && state.epoch == last_epoch));
        if state.update >= last_update || stops_here {
            break "stop after";
        }
        if config.patience > 0 && state.validations_since_best >= config.patience {
            break "patience";
        }
        if epoch_over {
            if state.epoch >= max_epochs {
                break "max epochs";
            }
            checkpoint.state.epoch += 1;
            checkpoint.state.batches_done = 0;
            batches = data.epoch(checkpoint.state.epoch)?;
            continue;
        }

        // One update: gradients of some batches, clipping, one step of the optimiser.
        let end = state.batches_done.saturating_add(config.batches_per_update).min(batches.len());
        let group = &batches[state.batches_done..end];
        let attempt = state.update + state.skipped;
        let seed = update_seed(config.seed, attempt);
        let rank = processes.rank();
        let next =
            batches.get(end + rank).map(|next| (next, update_seed(update_seed(config.seed, attempt + 1), rank as u64)));
        let running = Running::of(task);
        let mut sums = accumulate(task, data, &checkpoint.theta, share(group, processes), next, config.compute, seed)?;
        add_up(processes, task, &checkpoint.theta, &mut sums)?;
        sums.gradient /= sums.count as f64;
        // Of the first: how a norm is rounded depends on the number of threads.
        let norm = of_first(processes, sums.gradient.norm().double_value(&[]))?;
        clip_of_norm(&mut sums.gradient, norm, config.clip_norm);
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
        let epoch_ends = end == batches.len();
        let last = (made && checkpoint.state.update + 1 == last_update)
            || (epoch_ends && checkpoint.state.epoch >= last_epoch);
        if let Some(anomaly) = anomaly {
            running.put_back();
            let state = &mut checkpoint.state;
            (state.skipped, state.skipped_in_a_row) = (state.skipped + 1, state.skipped_in_a_row + 1);
            log.write(&skipped_event(state, &anomaly, group))?;
            let update = state.update + 1;
            progress.line(&format!("update {update} skipped: {}, first bad block: {}", anomaly.what, anomaly.block));
            if config.detect_anomaly || state.skipped_in_a_row >= IN_A_ROW {
                save(&checkpoint, ANOMALY)?;
                wait_for_all(processes)?;
                let path = folder.join(ANOMALY);
                let saved = format!("what it stood at is in {}, all examples of the batch in the log", path.display());
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
                let loss = readable(loss, 3);
                format!("epoch {} loss {loss} lr {rate:.2e} {speed:.0} {}/s", state.epoch, units.plural)
            });
        }
        let state = &mut checkpoint.state;
        if (made && state.update.is_multiple_of(config.log_every)) || (last && state.window.updates > 0) {
            let window = std::mem::take(&mut state.window);
            log.write(&update_event(state, units, rate, &window))?;
        }

        let state = &checkpoint.state;
        let due = match config.validate_every {
            0 => epoch_ends,
            every => made && state.update.is_multiple_of(every),
        };
        if due || last {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced, processes)?;
            check_alike(processes, &checkpoint)?;
            let found = if first { validate(&checkpoint.theta)? } else { Validation::none() };
            let value = of_first(processes, found.value)?;
            checkpoint.state.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let better = remember(&mut checkpoint, value, config.higher_is_better);
            let state = &checkpoint.state;
            let best = if better { " (best so far)" } else { "" };
            progress.line(&format!("update {} (epoch {}): {}{best}", state.update, state.epoch, found.text));
            log.write(&validation_event(state, found.found, better))?;
            if first {
                if better {
                    checkpoint.save_weights(&folder.join(BEST), task, identity)?;
                }
                keep(folder, checkpoint.state.update, config.keep_checkpoints, |path| {
                    checkpoint.save_weights(path, task, identity)
                })?;
            }
        }
        let stopped = any_signal(processes, signal())?;
        let every = config.checkpoint_every;
        if due || last || stopped.is_some() || (made && every > 0 && checkpoint.state.update.is_multiple_of(every)) {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced, processes)?;
            checkpoint.state.log_bytes = log.bytes();
            save(&checkpoint, LAST)?;
        }
        if let Some(signal) = stopped {
            wait_for_all(processes)?;
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
    processes: &dyn Communicator,
) -> Result<()> {
    if let Some(what) = data.check_files()?.filter(|_| !*said) {
        log.write(&json!({"event": "data", "update": update, "what": what}))?;
        progress.line(&format!("warning: {what}; the run can be resumed with the old data only"));
        *said = true;
    }
    wait_for_all(processes)
}

/// What the batches of one update add up to.
pub(super) struct Sums {
    pub(super) gradient: Tensor,
    pub(super) loss: f64,
    nll: f64,
    pub(super) count: i64,
}

/// The batches of an update that this process takes, each with its number among all of them.
fn share<'a>(
    group: &'a [Vec<usize>],
    processes: &dyn Communicator,
) -> impl Iterator<Item = (usize, &'a Vec<usize>)> + use<'a> {
    group.iter().enumerate().skip(processes.rank()).step_by(processes.size())
}

/// What batches of an update add up to, each given with its number among those of all processes. Without a batch there is no
/// gradient. While one is computed with, the one after it is prepared; after the last one `next`.
pub(super) fn accumulate<'a, T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    theta: &Tensor,
    batches: impl IntoIterator<Item = (usize, &'a Vec<usize>)>,
    next: Option<(&'a Vec<usize>, u64)>,
    compute: Kind,
    seed: u64,
) -> Result<Sums> {
    let mut sums = Sums { gradient: Tensor::new(), loss: 0.0, nll: 0.0, count: 0 };
    let of_update = batches.into_iter().map(|(number, indices)| (indices, update_seed(seed, number as u64)));
    let of_update: Vec<(&Vec<usize>, u64)> = of_update.collect();
    for (place, &(indices, seed)) in of_update.iter().enumerate() {
        let batch = data.batch(indices, seed)?;
        if let Some((indices, seed)) = of_update.get(place + 1).copied().or(next) {
            data.prefetch(indices, seed);
        }
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

/// Add up what all processes found in their batches.
fn add_up<T: Task>(processes: &dyn Communicator, task: &T, theta: &Tensor, found: &mut Sums) -> Result<()> {
    if processes.size() == 1 {
        return Ok(());
    }
    let took_part = f64::from(u8::from(found.gradient.defined()));
    if !found.gradient.defined() {
        found.gradient = theta.zeros_like();
    }
    processes.sum(&mut found.gradient)?;
    // Tokens are whole numbers, which fp64 has to 2⁵³.
    let all = sums(processes, &[found.loss, found.nll, found.count as f64, took_part])?;
    (found.loss, found.nll, found.count) = (all[0], all[1], all[2] as i64);
    if let Some((_, mut running)) = task.running() {
        running *= took_part;
        processes.sum(&mut running)?;
        running /= all[3];
    }
    Ok(())
}

/// A signal that has come to one of them.
fn any_signal(processes: &dyn Communicator, own: Option<i32>) -> Result<Option<i32>> {
    let all = everyones(processes, f64::from(own.unwrap_or(0)))?;
    Ok(all.into_iter().map(|signal| signal as i32).find(|signal| *signal != 0))
}

/// Begin in all processes with the numbers of the first one.
fn begin_alike<T: Task>(processes: &dyn Communicator, task: &T, checkpoint: &mut Checkpoint) -> Result<()> {
    processes.broadcast(&mut checkpoint.theta)?;
    if let Some((_, mut running)) = task.running() {
        processes.broadcast(&mut running)?;
    }
    let mut vectors: Vec<Tensor> =
        checkpoint.optimizer.state().into_iter().map(|(_, vector)| vector.shallow_clone()).collect();
    vectors.iter_mut().try_for_each(|vector| processes.broadcast(vector))
}

/// Refuse to go on where θ is not what it is in the other processes: machines that round in other ways drift apart.
fn check_alike(processes: &dyn Communicator, checkpoint: &Checkpoint) -> Result<()> {
    if processes.size() == 1 {
        return Ok(());
    }
    // A sum of bits, which is the same in any order; fp64 has as much of it as is left.
    let bits = checkpoint.theta.view_dtype(Kind::Int).sum(Kind::Int64).int64_value(&[]);
    let own = (bits % (1 << 52)) as f64;
    if everyones(processes, own)?.iter().all(|other| *other == own) {
        return Ok(());
    }
    Err(Error::content(
        format!("update {}", checkpoint.state.update),
        "the same parameters in all processes",
        "different ones",
        "use machines of one kind; --resume goes on from the last checkpoint",
    ))
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
    let running = Running::of(task);
    accumulate(task, data, theta, [(0, largest)], None, config.compute, config.seed)?;
    running.put_back();
    Ok(())
}

/// Running statistics, and what they are before an update: one that is not made does not move them.
struct Running(Option<(Tensor, Tensor)>);

impl Running {
    fn of<T: Task>(task: &T) -> Running {
        Running(task.running().map(|(_, running)| (running.copy(), running)))
    }

    fn put_back(self) {
        if let Some((before, mut running)) = self.0 {
            tch::no_grad(|| running.copy_(&before));
        }
    }
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

/// Take the value of a validation into the state; true when it is the best so far, which no value is that is no number.
fn remember(checkpoint: &mut Checkpoint, value: f64, higher_is_better: bool) -> bool {
    let state = &mut checkpoint.state;
    state.validated_update = state.update;
    let better =
        !value.is_nan() && state.best.is_none_or(|best| if higher_is_better { value > best } else { value < best });
    if better {
        (state.best, state.best_update, state.validations_since_best) = (Some(value), state.update, 0);
    } else {
        state.validations_since_best += 1;
    }
    better
}
