//! Experiments: many runs of one recipe, over methods, values of settings and seeds, as the tables and maps of a paper are.

mod fingerprints;
mod outcome;
mod pictures;
mod plan;
mod run_config;
mod table;

pub use fingerprints::Fingerprints;
pub use outcome::{Failure, Outcome, last_gradient_norm};
pub use pictures::picture;
pub use plan::{Axis, Method, Plan, PlannedRun};
pub use run_config::{RunConfig, Trained};
pub use table::{csv, markdown, ranking};
