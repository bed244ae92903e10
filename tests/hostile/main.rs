//! Input that nobody meant to give: text of odd characters, damaged and malicious files. Each has to give an error or a
//! right answer, never a panic, an endless run, or memory without bounds.
//!
//! Every case is drawn from a seed and comes back in every run. `NMT_MUTATIONS=10000` damages each format so many times;
//! `results/hostile.md` records such a run.

mod archives;
mod checkpoints;
mod draw;
mod end_to_end;
mod formats;
mod memory;
mod mutate;
mod pictures;
mod regressions;
mod text;

#[path = "../common/mod.rs"]
mod common;
