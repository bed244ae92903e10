//! Sequence-to-sequence translation that trains without learning-rate warmup.
//!
//! Text goes in at one end, a translation and its score come out at the other; each module is one stage of that way
//! and data only flows forward:
//!
//! ```text
//! raw text ── text ──> tokens ── data ──> batches ── model ──> loss
//!                                            │         ▲
//!                                   init (θ before training)
//!                                   optim (θ during training)
//!                                   train (the loop) ──> checkpoint ── decode ──> text ── score ──> BLEU
//! ```
#![warn(missing_docs)]

pub mod config;
pub mod counted;
pub mod data;
pub mod decode;
pub mod error;
pub mod experiment;
pub mod export;
pub mod files;
pub mod import;
pub mod init;
pub mod kernels;
pub mod machine;
mod memory;
pub mod model;
pub mod optim;
pub mod params;
pub mod plot;
pub mod progress;
pub mod random;
pub mod report;
pub mod score;
pub mod serve;
pub mod task;
pub mod text;
pub mod train;
pub mod translation;
pub mod vision;

pub use error::{Error, Result};
