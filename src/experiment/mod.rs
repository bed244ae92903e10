//! Experiments: many runs of one recipe, over methods, values of settings and seeds, as the tables and maps of a paper are.

mod maps;
mod outcome;
mod plan;
mod run_config;
mod table;

pub use maps::maps;
pub use outcome::{Failure, Outcome};
pub use plan::{Axis, Method, Plan, PlannedRun, Trained};
pub use run_config::RunConfig;
pub use table::{csv, markdown, ranking};
