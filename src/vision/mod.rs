//! Image classification over the same parts as translation: θ, GradInit, MetaInit, optimisers and the training loop.

mod kaiming;
mod module;
mod network;
mod nets;

pub use kaiming::{fixup, kaiming};
pub use module::{BatchNorm, Builder, Convolution, Geometry, Linear, Module, Pass, Plain, Residual, Sequence, Statistics};
pub use network::{Architecture, Classifier, PictureBatch};
