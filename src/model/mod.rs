//! The Transformer as a function of (θ, batch).

mod attention;
mod config;
mod layers;
mod loss;
mod training_pass;
mod transformer;

pub use attention::{Attention, KeysValues};
pub use config::ModelConfig;
pub use layers::{Dropout, sinusoidal_positions};
pub use loss::label_smoothed_cross_entropy;
pub use transformer::{DecoderState, Encoded, Transformer, TranslationBatch};
