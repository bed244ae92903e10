//! θ before training: fairseq's Xavier initialisation and GradInit.

pub mod gradinit;
mod xavier;

pub use xavier::xavier;
