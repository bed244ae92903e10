//! One update: the gradients of its batches, of all processes, added up.

use tch::{Kind, Tensor};

use super::communicator::{Communicator, sums};
use super::data::{TrainingData, largest};
use super::run::LoopConfig;
use crate::error::{Error, Result};
use crate::memory::watch;
use crate::random::split_mix;
use crate::task::{Mode, Task};

/// What the batches of one update add up to.
pub(super) struct Sums {
    pub(super) gradient: Tensor,
    pub(super) loss: f64,
    pub(super) nll: f64,
    pub(super) count: i64,
}

/// The batches of an update that this process takes, each with its number among all of them.
pub(super) fn share<'a>(
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
pub(super) fn add_up<T: Task>(processes: &dyn Communicator, task: &T, theta: &Tensor, mut found: Sums) -> Result<Sums> {
    if processes.size() == 1 {
        return Ok(found);
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
    Ok(found)
}

/// Train on the largest batch and forget it: a run that has not enough memory for it ends at once, not after hours.
pub(super) fn try_largest<T: Task, D: TrainingData<Batch = T::Batch>>(
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
pub(super) struct Running(Option<(Tensor, Tensor)>);

impl Running {
    pub(super) fn of<T: Task>(task: &T) -> Running {
        Running(task.running().map(|(_, running)| (running.copy(), running)))
    }

    pub(super) fn put_back(self) {
        if let Some((before, mut running)) = self.0 {
            tch::no_grad(|| running.copy_(&before));
        }
    }
}

fn out_of_memory<D: TrainingData>(data: &D, indices: &[usize], found: String) -> Error {
    let (batch, lower) = data.describe(indices);
    let next = format!("{lower}, and raise training.update_frequency to make an update of as much");
    Error::OutOfMemory { batch, found, next }
}

/// A seed for the dropout of one update, or of one batch of it.
pub(super) fn update_seed(seed: u64, update: u64) -> u64 {
    let (seed, update) = (seed.wrapping_mul(0xd134_2543_de82_ef95), update.wrapping_add(1));
    split_mix(seed.wrapping_add(update.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}
