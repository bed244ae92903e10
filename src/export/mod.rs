//! Trained models for other programs.

mod ctranslate2;
mod hugging_face;
mod plain;
mod unskipped;

pub use ctranslate2::{MODEL_FILE, ctranslate2};
pub use hugging_face::{HuggingFaceText, SOURCE_VOCABULARY, hugging_face};
pub use plain::{Precision, plain};
pub use unskipped::Unskipped;
