//! Scores of translations: BLEU, chrF, chrF++ and TER, with the signatures of sacrebleu 2.6.0.
//!
//! The counting is done by the crate `sacrebleu-rs`; what had to be mended around it is listed in `docs/scores.md`.

mod bleu;
mod chrf;
mod compare;
mod compute;
mod inspect;
mod measure;
mod numpy_random;
mod options;
mod report;
mod seeds;
mod tables;
mod ter;
mod tercom;

pub use compare::{ComparedSystem, Comparison, DEFAULT_SEED, Difference, Interval, Resampling, System, Test, compare};
pub use compute::score;
pub use inspect::{TextStyle, mismatches, text_style, warnings};
pub use options::{BleuOptions, ChrfOptions, Metric, Options, Smoothing, TerOptions, Tokenizer};
pub use report::{BleuParts, ChrfParts, Score, Scores, TerParts};
pub(crate) use seeds::spread;
pub use seeds::{RunScore, SeedScores, score_seeds};
