//! What processes that train together have in common: where they begin, whether they drift apart, and when they stop.

use tch::{Kind, Tensor};

use super::checkpoint::Checkpoint;
use super::communicator::{Communicator, everyones};
use crate::error::{Error, Result};
use crate::task::Task;

/// A signal that has come to one of them.
pub(super) fn any_signal(processes: &dyn Communicator, own: Option<i32>) -> Result<Option<i32>> {
    let all = everyones(processes, f64::from(own.unwrap_or(0)))?;
    Ok(all.into_iter().map(|signal| signal as i32).find(|signal| *signal != 0))
}

/// Begin in all processes with the numbers of the first one.
pub(super) fn begin_alike<T: Task>(processes: &dyn Communicator, task: &T, checkpoint: &mut Checkpoint) -> Result<()> {
    processes.broadcast(&mut checkpoint.theta)?;
    if let Some((_, mut running)) = task.running() {
        processes.broadcast(&mut running)?;
    }
    let mut vectors: Vec<Tensor> =
        checkpoint.optimizer.state().into_iter().map(|(_, vector)| vector.shallow_clone()).collect();
    vectors.iter_mut().try_for_each(|vector| processes.broadcast(vector))
}

/// Refuse to go on where θ is not what it is in the other processes: machines that round in other ways drift apart.
pub(super) fn check_alike(processes: &dyn Communicator, checkpoint: &Checkpoint) -> Result<()> {
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
