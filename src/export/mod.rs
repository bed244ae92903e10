//! Trained models for other programs.

mod ctranslate2;
mod plain;
mod unskipped;

pub use ctranslate2::{MODEL_FILE, ctranslate2};
pub use plain::{Precision, plain};
pub use unskipped::Unskipped;
