//! The training loop, its checkpoints and its log. It knows [`Task`](crate::task::Task)s, not translation.

mod anomaly;
mod average;
mod checkpoint;
mod communicator;
mod data;
mod events;
mod lock;
mod log;
mod rehearsal;
mod retention;
mod run;
mod tensorboard;
mod together;
mod trainer;
mod update;

pub use average::average;
pub use checkpoint::{
    ANOMALY, BEST, CLASS_NAMES, CONFIG, Checkpoint, LAST, NETWORK, State, check_metadata, checkpoint_in, checkpoint_of,
    load_running, load_running_if_there, load_state, load_weights, save_weights, trained_with,
};
#[cfg(feature = "mpi")]
pub use communicator::Mpi;
#[cfg(feature = "nccl")]
pub use communicator::Nccl;
pub use communicator::{Alone, Communicator, agree, how_many_alike, wait_for_all};
pub use data::{TrainingData, Units};
pub use lock::{OutputLock, RunLock};
pub use log::{LOG, Log};
pub use rehearsal::{Rehearsal, rehearse};
pub use retention::{checkpoint_name, checkpoints};
pub use run::{LoopConfig, Outcome, Run, StopAfter, Validation};
pub use trainer::{check_run, train};
