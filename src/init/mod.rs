//! θ before training: fairseq's Xavier initialisation, GradInit, and what both look like.

pub mod gradinit;
pub mod inspect;
mod xavier;

pub use xavier::xavier;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::params::Layout;

/// Which initialisation θ is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InitMethod {
    /// fairseq's default: Xavier uniform, embeddings N(0, 1/d).
    Xavier,
}

/// θ before training, unless `--init FILE` brings it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InitConfig {
    /// The initialisation; the seed is `training.seed`.
    pub method: InitMethod,
}

impl Default for InitConfig {
    fn default() -> InitConfig {
        InitConfig { method: InitMethod::Xavier }
    }
}

/// θ drawn as the configuration says, `[P]`, fp32, on the processor: a function of the layout and the seed.
pub fn initial_theta(config: &InitConfig, layout: &Layout, seed: u64) -> Tensor {
    match config.method {
        InitMethod::Xavier => xavier(layout, seed),
    }
}
