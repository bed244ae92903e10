//! The Transformer as a function of (θ, batch).

mod admin;
mod attention;
mod batch;
mod config;
mod decoding_pass;
mod forward_pass;
mod layers;
mod loss;
mod packed;
mod sub_layer;
mod training_pass;
mod transformer;
mod weights;

pub use admin::WSkipRule;
pub use attention::{Attention, KeysValues};
pub use batch::TranslationBatch;
pub use config::{Activation, DecoderStart, ModelConfig, Positions};
pub use decoding_pass::StepDecoder;
pub use layers::{Dropout, sinusoidal_positions};
pub use loss::label_smoothed_cross_entropy;
pub use transformer::{DecoderState, Encoded, Transformer};
pub use weights::Weights;
