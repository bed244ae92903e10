//! The training loop, its checkpoints and its log. It knows [`Task`](crate::task::Task)s, not translation.

mod checkpoint;
mod log;
mod trainer;

pub use checkpoint::{BEST, Checkpoint, LAST, State, load_running, load_weights, save_weights};
pub use log::Log;
pub use trainer::{LoopConfig, Outcome, Run, TrainingData, Units, Validation, train};
