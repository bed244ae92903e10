//! Image classification over the same parts as translation: θ, GradInit, MetaInit, optimisers and the training loop.

mod architecture;
mod batch;
mod config;
mod halves;
mod identity;
mod initialise;
mod kaiming;
mod module;
mod nets;
mod network;
mod new_head;
pub mod pictures;
mod predict;
mod published;
mod validation;

pub use architecture::Architecture;
pub use batch::PictureBatch;
pub use config::{
    NetworkConfig, VisionConfig, VisionInitConfig, VisionInitMethod, VisionTrainingConfig, VisionValidationConfig,
};
pub use halves::PictureHalves;
pub use identity::{classes_of, identity, network_identity};
pub use initialise::{draw, initialise};
pub use kaiming::{fixup, kaiming};
pub use module::{
    BatchNorm, Builder, Convolution, Geometry, Linear, Module, Pass, Plain, Residual, Sequence, Statistics,
};
pub use network::Classifier;
pub use new_head::with_new_head;
pub use predict::predict;
pub use validation::{Accuracy, evaluate, percent};
