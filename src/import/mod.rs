//! Trained models of other programs.

mod fairseq;
mod marian;
mod pickle;
mod pickle_reader;
mod torch_file;

pub use fairseq::{FairseqCheckpoint, OptimizerState};
pub use marian::MarianModel;
pub use pickle::Pickle;
pub use torch_file::TorchFile;
