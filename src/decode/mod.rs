//! Beam search with a key/value cache.

mod beam;
mod ensemble;
mod translate;

pub use beam::{GREATEST_BEAM, Hypothesis, SearchConfig, beam_search};
pub use translate::{BatchSearch, translate_all};
