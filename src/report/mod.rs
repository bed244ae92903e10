//! Runs on one page: numbers, pictures, translations with what the decoder looked at, configurations. The page is one HTML file
//! that needs nothing else.

mod page;
mod run_summary;
mod samples;

pub use page::{Figure, Page};
pub use run_summary::{ENVIRONMENT, RunSummary};
pub use samples::{Sample, samples};
