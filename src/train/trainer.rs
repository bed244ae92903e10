//! The training loop.

use std::path::Path;
use std::time::Instant;

use serde_json::json;
use tch::Tensor;

use super::anomaly::{Anomaly, IN_A_ROW};
use super::checkpoint::{ANOMALY, BEST, Checkpoint, LAST, State, Window};
use super::communicator::{Communicator, agree, of_first, wait_for_all};
use super::data::TrainingData;
use super::events::{skipped_event, update_event, validation_event};
use super::log::Log;
use super::retention::keep;
use super::run::{LoopConfig, Outcome, Run, StopAfter, Validation};
use super::tensorboard::EventFile;
use super::together::{any_signal, begin_alike, check_alike};
use super::update::{Running, Sums, accumulate, add_up, share, try_largest, update_seed};
use crate::error::{Error, Result};
use crate::optim::{Schedule, clip_of_norm};
use crate::progress::{self, Progress, readable};
use crate::task::Task;

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
/// A validation that fails, and in one process a batch that does, ends the run behind a checkpoint: nothing that was trained before it
/// is lost. An update whose loss or gradient is not finite is not made, counted and logged. Before a checkpoint is saved the files of
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
        true if name == LAST && checkpoint.theta.isfinite().all().int64_value(&[]) == 0 => {
            progress::note(format!("warning: the parameters are not finite: {LAST} stays what it was before"));
            Ok(())
        }
        true => checkpoint.save(&folder.join(name), task, identity),
        false => Ok(()),
    };
    let save_last = |checkpoint: &mut Checkpoint, log: &Log| {
        log.sync()?;
        checkpoint.state.log_bytes = log.bytes();
        save(checkpoint, LAST)
    };
    if checkpoint.state.update == 0 {
        // From now on the run can be taken up again, whenever it stops.
        save(&checkpoint, LAST)?;
    }
    let mut progress =
        Progress::new("train", Some(run.stop_after.map_or(config.max_updates, |stop| stop.updates(config))));
    let mut replaced = false;
    if let Some(due) = checkpoint.state.validation_owed {
        let line = validated(task, config, &run, &mut checkpoint, &mut validate, &mut log, due)?;
        progress.line(&line);
        save_last(&mut checkpoint, &log)?;
    }
    let mut clock = Instant::now();

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
        if state.is_out_of_patience(config.patience) {
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
        let theta = &checkpoint.theta;
        let found = accumulate(task, data, theta, share(group, processes), next, config.compute, seed);
        let mut sums = match found.and_then(|sums| add_up(processes, task, theta, sums)) {
            Ok(sums) => sums,
            Err(error) => {
                // What was trained until now is not lost with this batch.
                running.put_back();
                // The others of several processes wait for this one elsewhere: it ends them all.
                if processes.size() == 1 {
                    check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced, processes)?;
                    save_last(&mut checkpoint, &log)?;
                }
                return Err(error);
            }
        };
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
        let due = match config.validate_every {
            0 => epoch_ends,
            every => made && state.update.is_multiple_of(every),
        };
        // Where a run is validated its log has the loss of training, too, however short it is.
        if (made && state.update.is_multiple_of(config.log_every)) || ((due || last) && state.window.updates > 0) {
            let window = std::mem::take(&mut state.window);
            log.write(&update_event(state, units, rate, &window))?;
        }

        if due || last {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced, processes)?;
            check_alike(processes, &checkpoint)?;
            checkpoint.state.seconds += clock.elapsed().as_secs_f64();
            let (before, log_bytes) = (checkpoint.state.clone(), log.bytes());
            match validated(task, config, &run, &mut checkpoint, &mut validate, &mut log, due) {
                Ok(line) => progress.line(&line),
                Err(error) => {
                    // What was trained is not lost with it; a run that goes on begins with this validation.
                    checkpoint.state = State { validation_owed: Some(due), log_bytes, ..before };
                    log.sync()?;
                    save(&checkpoint, LAST)?;
                    return Err(error);
                }
            }
            clock = Instant::now();
        }
        let stopped = any_signal(processes, signal())?;
        let every = config.checkpoint_every;
        if due || last || stopped.is_some() || (made && every > 0 && checkpoint.state.update.is_multiple_of(every)) {
            check_files(data, checkpoint.state.update, &mut log, &progress, &mut replaced, processes)?;
            save_last(&mut checkpoint, &log)?;
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

fn add(window: &mut Window, sums: &Sums, norm: f64, seconds: f64) {
    window.loss += sums.loss;
    window.nll += sums.nll;
    window.gradient_norm += norm;
    window.tokens += sums.count as u64;
    window.updates += 1;
    window.seconds += seconds;
}

/// Validate, and keep what came of it: in the state, the log, `best` and the newest checkpoints. What there is to say.
fn validated<T: Task>(
    task: &T,
    config: &LoopConfig,
    run: &Run,
    checkpoint: &mut Checkpoint,
    validate: &mut impl FnMut(&Tensor) -> Result<Validation>,
    log: &mut Log,
    due: bool,
) -> Result<String> {
    let (clock, first) = (Instant::now(), run.processes.is_first());
    let found = if first { validate(&checkpoint.theta)? } else { Validation::none() };
    let value = of_first(run.processes, found.value)?;
    checkpoint.state.validation_owed = None;
    checkpoint.state.seconds += clock.elapsed().as_secs_f64();
    let better = remember(checkpoint, value, config.higher_is_better, due);
    log.write(&validation_event(&checkpoint.state, found.found, better))?;
    if first {
        if better {
            checkpoint.save_weights(&run.folder.join(BEST), task, run.identity)?;
        }
        keep(run.folder, checkpoint.state.update, config.keep_checkpoints, |path| {
            checkpoint.save_weights(path, task, run.identity)
        })?;
    }
    let (state, best) = (&checkpoint.state, if better { " (best so far)" } else { "" });
    Ok(format!("update {} (epoch {}): {}{best}", state.update, state.epoch, found.text))
}

/// Take the value of a validation into the state; true when it is the best so far, which no value is that is no number. One that was
/// not `due`, where a run stops to go on later, costs no patience if it is no better.
fn remember(checkpoint: &mut Checkpoint, value: f64, higher_is_better: bool, due: bool) -> bool {
    let state = &mut checkpoint.state;
    let better =
        !value.is_nan() && state.best.is_none_or(|best| if higher_is_better { value > best } else { value < best });
    if better {
        (state.best, state.best_update, state.validations_since_best) = (Some(value), state.update, 0);
    } else {
        state.validations_since_best += u64::from(due);
    }
    better
}
