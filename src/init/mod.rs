//! θ before training: Xavier, FixUp, T-FixUp, and what learns from data: GradInit and MetaInit.
//!
//! Admin's profile is a matter of the Transformer ([`crate::model::WSkipRule`]).

mod fixup;
pub mod gradinit;
mod halves;
pub mod inspect;
pub mod metainit;
mod scales;
mod t_fixup;
mod xavier;

pub use fixup::fixup;
pub use scales::{Moments, rescale};
pub use t_fixup::t_fixup;
pub use xavier::xavier;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::model::WSkipRule;
use crate::params::Layout;

/// Which initialisation θ is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InitMethod {
    /// fairseq's default: Xavier uniform, embeddings N(0, 1/d).
    Xavier,
    /// T-FixUp, for `model.layer_norm = false`: values, outputs and feed-forward layers scaled down by depth.
    TFixup,
    /// FixUp, for `model.fixup = true`: residual branches begin at 0.
    Fixup,
    /// Admin, for `model.w_skip = true`: Xavier, and multipliers of skip connections from a batch of data.
    Admin,
    /// MetaInit: Xavier, and a scale for every matrix learnt from data (section `metainit`).
    Metainit,
}

/// θ before training, unless `--init FILE` brings it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InitConfig {
    /// The initialisation; the seed is `training.seed`.
    pub method: InitMethod,
    /// Admin: how the multipliers follow from the variances.
    pub w_skip: WSkipRule,
}

impl Default for InitConfig {
    fn default() -> InitConfig {
        InitConfig { method: InitMethod::Xavier, w_skip: WSkipRule::Sequential }
    }
}

/// θ drawn as the configuration says, `[P]`, fp32, on the processor: a function of the layout and the seed. What a method
/// learns from data comes after it ([`crate::translation::initialise`]).
pub fn draw_theta(config: &InitConfig, layout: &Layout, seed: u64) -> Tensor {
    match config.method {
        InitMethod::Xavier | InitMethod::Admin | InitMethod::Metainit => xavier(layout, seed),
        InitMethod::TFixup => t_fixup(layout, seed),
        InitMethod::Fixup => fixup(layout, seed),
    }
}
