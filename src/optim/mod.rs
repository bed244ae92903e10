//! Optimisers as functions of (θ, gradient, state, learning rate), and learning-rate schedules.

mod adam;
mod radam;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use radam::RAdam;
pub use schedule::{Schedule, ScheduleConfig, ScheduleKind};
pub use sgd::Sgd;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::params::Layout;

/// An update rule whose whole state can be saved.
pub trait Optimizer {
    /// One update of `theta` in place from `gradient`, both `[P]`.
    fn step(&mut self, theta: &mut Tensor, gradient: &Tensor, learning_rate: f64);

    /// The state vectors, each `[P]`, with the prefix of their names in a checkpoint.
    fn state(&self) -> Vec<(&'static str, &Tensor)>;

    /// Take back a saved state: the vectors in the order of [`Optimizer::state`], and the number of updates done.
    fn restore(&mut self, vectors: Vec<Tensor>, updates: u64);
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// fairseq's Adam, decoupled weight decay.
    Adam,
    /// Rectified Adam.
    Radam,
    /// SGD with momentum.
    Sgd,
}

/// The optimiser's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Which optimiser.
    pub kind: OptimizerKind,
    /// Adam's and RAdam's β₁.
    pub beta1: f64,
    /// Adam's and RAdam's β₂.
    pub beta2: f64,
    /// Adam's and RAdam's ε.
    pub epsilon: f64,
    /// SGD's momentum.
    pub momentum: f64,
    /// Weight decay, on every block as in fairseq unless `decay_normalisation` says otherwise.
    pub weight_decay: f64,
    /// Weight decay is for multipliers and shifts of normalisation layers, too; false is for SGD alone.
    pub decay_normalisation: bool,
    /// The gradient's largest ℓ2 norm; 0: no clipping.
    pub clip_norm: f64,
}

impl Default for OptimizerConfig {
    fn default() -> OptimizerConfig {
        OptimizerConfig {
            kind: OptimizerKind::Adam,
            beta1: 0.9,
            beta2: 0.98,
            epsilon: 1e-8,
            momentum: 0.9,
            weight_decay: 1e-4,
            decay_normalisation: true,
            clip_norm: 0.0,
        }
    }
}

impl OptimizerConfig {
    /// Refuse what makes no run.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.decay_normalisation && self.kind != OptimizerKind::Sgd {
            return Err(Error::usage(
                "optimizer.decay_normalisation = false is for optimizer.kind = \"sgd\"",
                "set optimizer.decay_normalisation=true, or optimizer.weight_decay=0",
            ));
        }
        let adam = self.kind != OptimizerKind::Sgd;
        let share = |value: f64| (0.0..1.0).contains(&value);
        let epsilon = self.epsilon.is_finite() && self.epsilon > 0.0;
        let decay = self.weight_decay.is_finite() && self.weight_decay >= 0.0;
        let rules = [
            ("beta1", self.beta1, "at least 0 and below 1", !adam || share(self.beta1)),
            ("beta2", self.beta2, "at least 0 and below 1", !adam || share(self.beta2)),
            ("epsilon", self.epsilon, "above 0", !adam || epsilon),
            ("momentum", self.momentum, "at least 0 and below 1", adam || share(self.momentum)),
            ("weight_decay", self.weight_decay, "0 or more", decay),
            ("clip_norm", self.clip_norm, "0 (no clipping) or more", self.clip_norm >= 0.0),
        ];
        match rules.into_iter().find(|(_, _, _, right)| !right) {
            None => Ok(()),
            Some((key, value, expected, _)) => {
                Err(Error::usage(format!("optimizer.{key} has to be {expected}, found {value}"), ""))
            }
        }
    }

    /// The optimiser for a θ like `theta`, whose blocks lie as `layout` says.
    pub fn build(&self, theta: &Tensor, layout: &Layout) -> Box<dyn Optimizer> {
        match self.kind {
            OptimizerKind::Adam => Box::new(Adam::new(theta, self)),
            OptimizerKind::Radam => Box::new(RAdam::new(theta, self)),
            OptimizerKind::Sgd => Box::new(Sgd::new(theta, layout, self)),
        }
    }
}

/// Scale `gradient` in place to an ℓ2 norm of at most `max_norm` (0: leave it) as fairseq does: by
/// `min(1, max_norm / (norm + 1e-6))`. Returns the norm before clipping.
///
/// ```
/// let mut g = tch::Tensor::from_slice(&[3f32, 4.0]);
/// assert_eq!(nmt::optim::clip(&mut g, 1.0), 5.0);
/// assert!((g.double_value(&[0]) - 0.6).abs() < 1e-6);
/// ```
pub fn clip(gradient: &mut Tensor, max_norm: f64) -> f64 {
    let norm = gradient.norm().double_value(&[]);
    clip_of_norm(gradient, norm, max_norm);
    norm
}

/// [`clip`] of a gradient whose ℓ2 norm is known.
pub(crate) fn clip_of_norm(gradient: &mut Tensor, norm: f64, max_norm: f64) {
    if max_norm > 0.0 && norm.is_finite() && max_norm < norm + 1e-6 {
        *gradient *= max_norm / (norm + 1e-6);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_run_are_refused() {
        let adam = OptimizerConfig::default();
        let sgd = OptimizerConfig { kind: OptimizerKind::Sgd, ..adam.clone() };
        adam.check().unwrap();
        sgd.check().unwrap();
        // What the other kind goes by has no part.
        OptimizerConfig { momentum: 7.0, ..adam.clone() }.check().unwrap();
        OptimizerConfig { beta2: 1.0, epsilon: 0.0, ..sgd.clone() }.check().unwrap();
        for (config, key) in [
            (OptimizerConfig { beta1: 1.0, ..adam.clone() }, "beta1"),
            (OptimizerConfig { beta2: 1.0, ..adam.clone() }, "beta2"),
            (OptimizerConfig { epsilon: 0.0, ..adam.clone() }, "epsilon"),
            (OptimizerConfig { weight_decay: -1e-4, ..adam.clone() }, "weight_decay"),
            (OptimizerConfig { clip_norm: f64::NAN, ..adam }, "clip_norm"),
            (OptimizerConfig { momentum: 1.0, ..sgd }, "momentum"),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(&format!("optimizer.{key} has to be")), "{message}");
        }
    }
}
