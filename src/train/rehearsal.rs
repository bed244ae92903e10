//! What would training need? Its largest batch, its memory and its time, found out before it begins.

use std::fmt;
use std::time::{Duration, Instant};

use tch::Device;

use super::checkpoint::Checkpoint;
use super::data::{TrainingData, largest};
use super::run::LoopConfig;
use super::update::accumulate;
use crate::error::{Error, Result};
use crate::optim::clip;
use crate::progress::Progress;
use crate::task::Task;

/// Batches that are trained on to tell how long all of them take.
const SAMPLE: usize = 8;

/// What [`rehearse`] found.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// Parameters.
    pub parameters: i64,
    /// Batches of the first epoch.
    pub batches: usize,
    /// Updates that are left until the limits of the configuration; none where patience has ended the run.
    pub updates: u64,
    /// Updates that are done.
    pub done: u64,
    /// The size of the largest batch.
    pub largest: String,
    /// The most memory that the process has had so far, in bytes; none on a GPU, and where the system does not say.
    pub memory: Option<u64>,
    /// Seconds of an update, the mean over a sample of batches.
    pub seconds_per_update: f64,
    /// Processes that share its batches.
    pub processes: usize,
}

/// Train from `checkpoint` on the largest batch of the first epoch, and on some others of it, for nothing: `checkpoint` is spoilt.
/// So many `processes` share the batches of an update; what they tell each other is not counted.
///
/// # Errors
/// [`Error::OutOfMemory`] for the largest batch, [`Error::Content`] for no batch at all, and what reading batches brings.
pub fn rehearse<T: Task, D: TrainingData<Batch = T::Batch>>(
    task: &T,
    data: &D,
    config: &LoopConfig,
    checkpoint: &mut Checkpoint,
    processes: usize,
) -> Result<Rehearsal> {
    let state = &checkpoint.state;
    let done = state.update;
    let ended = state.is_out_of_patience(config.patience);
    let batches = data.epoch(1)?;
    let Some(largest) = largest(data, &batches) else {
        return Err(Error::content("the training data", "at least one batch", "none", "give more text"));
    };
    // Seconds of a batch's gradient, and of a step along it.
    let sample: Vec<&Vec<usize>> = batches.iter().step_by(batches.len().div_ceil(SAMPLE)).collect();
    let mut progress = Progress::new("try batches", Some(sample.len() as u64 + 1));
    let mut train_on = |batch: &Vec<usize>| -> Result<[f64; 2]> {
        let start = Instant::now();
        let mut sums = accumulate(task, data, &checkpoint.theta, [(0, batch)], None, config.compute, config.seed)?;
        let gradient = start.elapsed().as_secs_f64();
        sums.gradient /= sums.count as f64;
        clip(&mut sums.gradient, config.clip_norm);
        checkpoint.optimizer.step(&mut checkpoint.theta, &sums.gradient, 0.0);
        progress.add(1);
        Ok([gradient, start.elapsed().as_secs_f64() - gradient])
    };
    train_on(largest)?;
    let (mut gradients, mut steps) = (0.0, 0.0);
    for batch in &sample {
        let [gradient, step] = train_on(batch)?;
        (gradients, steps) = (gradients + gradient, steps + step);
    }
    let on_processor = checkpoint.theta.device() == Device::Cpu;
    let one_after_another = config.batches_per_update.min(batches.len()).div_ceil(processes);
    let an_epoch = batches.len().div_ceil(config.batches_per_update) as u64;
    let by_epochs = if config.max_epochs > 0 { config.max_epochs.saturating_mul(an_epoch) } else { u64::MAX };
    Ok(Rehearsal {
        parameters: task.layout().total(),
        batches: batches.len(),
        updates: if ended { 0 } else { config.max_updates.min(by_epochs).saturating_sub(done) },
        done,
        largest: data.describe(largest).0,
        memory: peak_memory().filter(|_| on_processor),
        processes,
        seconds_per_update: (gradients * one_after_another as f64 + steps) / sample.len() as f64,
    })
}

impl fmt::Display for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let memory = self.memory.map_or("not known here; the largest batch fits".into(), |bytes| {
            format!("{:.2} GiB with the largest batch, validation not counted", bytes as f64 / f64::from(1 << 30))
        });
        let whole = Duration::from_secs_f64((self.seconds_per_update * self.updates as f64).min(1e12));
        writeln!(f, "parameters     {}", self.parameters)?;
        writeln!(f, "batches        {} an epoch", self.batches)?;
        writeln!(f, "largest batch  {}", self.largest)?;
        if self.processes > 1 {
            writeln!(
                f,
                "processes      {}; memory is that of the first, time without what they tell each other",
                self.processes
            )?;
        }
        writeln!(f, "memory         {memory}")?;
        writeln!(f, "an update      {:.3} s", self.seconds_per_update)?;
        let left = if self.done > 0 { format!(" that are left after {}", self.done) } else { String::new() };
        write!(f, "{} updates{left}: about {}, validations not counted", self.updates, in_words(whole))
    }
}

/// `3 d 4 h`, `2 h 05 min`, `12 min 30 s`, `14 s`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, min, s) => format!("{min} min {s:02} s"),
        (0, h, min, _) => format!("{h} h {min:02} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

/// The most memory that this process has had, in bytes.
fn peak_memory() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable() {
        for (seconds, expected) in
            [(0, "0 s"), (59, "59 s"), (750, "12 min 30 s"), (7_500, "2 h 05 min"), (273_600, "3 d 4 h")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_that_of_this_process() {
        let before = peak_memory().unwrap();
        let taken = vec![1u8; 1 << 28];
        assert!(peak_memory().unwrap() >= before + (1 << 27), "{before} and {}", taken[1 << 20]);
    }
}
