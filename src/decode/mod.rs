//! Beam search with a key/value cache.

mod beam;
mod ensemble;
mod translator;

pub use beam::{GREATEST_BEAM, Hypothesis, SearchConfig, beam_search};
pub use translator::{BatchSearch, Translator};
