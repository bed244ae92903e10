//! One scale a block: θ as a function of them, and the Adam that moves them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::error::{Error, Result};
use crate::params::Layout;

/// How the Adam that moves the scales keeps its moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Moments {
    /// One Adam for both kinds of step, as the paper prints it.
    Shared,
    /// Separate moments and step counts for constraint and objective steps (the published Transformer code).
    Separate,
    /// Separate first moments, one second moment (the published CNN code).
    SharedSecond,
}

/// θ0 with every block multiplied by its scale, differentiable with respect to `scales` (`[blocks]`).
pub fn rescale(layout: &Layout, theta0: &Tensor, scales: &Tensor) -> Tensor {
    let parts: Vec<Tensor> =
        layout.split(theta0).iter().zip(scales.unbind(0)).map(|(block, scale)| block * scale).collect();
    Tensor::cat(&parts, 0)
}

/// Refuse an Adam of `section` whose corrections divide by 0, a lower bound that turns weights around, and a clip that is no bound.
pub(super) fn check_adam(section: &str, beta1: f64, beta2: f64, min_scale: f64, clip: f64) -> Result<()> {
    for (key, value) in [("beta1", beta1), ("beta2", beta2)] {
        if !(0.0..1.0).contains(&value) {
            let message = format!("{section}.{key} has to be at least 0 and below 1, found {value}");
            return Err(Error::usage(message, ""));
        }
    }
    if !min_scale.is_finite() || min_scale < 0.0 {
        return Err(Error::usage(format!("{section}.min_scale has to be 0 or more, found {min_scale}"), ""));
    }
    if clip.is_nan() || clip < 0.0 {
        return Err(Error::usage(format!("{section}.clip has to be 0 or more, found {clip}"), "0: no clipping"));
    }
    Ok(())
}

/// What the Adam that moves the scales remembers, in double precision: there are only as many as blocks. Each by kind of
/// step where the moments are separate, else only the first is used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ScaleMemory {
    m: [Vec<f64>; 2],
    v: [Vec<f64>; 2],
    steps: [Vec<i32>; 2],
}

impl ScaleMemory {
    /// Nothing yet, of `blocks` scales.
    pub fn new(blocks: usize) -> ScaleMemory {
        let zeros = || [vec![0.0; blocks], vec![0.0; blocks]];
        ScaleMemory { m: zeros(), v: zeros(), steps: [vec![0; blocks], vec![0; blocks]] }
    }

    /// Whether it is of so many scales.
    pub fn is_of(&self, blocks: usize) -> bool {
        let of = |both: [usize; 2]| both == [blocks; 2];
        let lengths = |both: &[Vec<f64>; 2]| [both[0].len(), both[1].len()];
        of(lengths(&self.m)) && of(lengths(&self.v)) && of([self.steps[0].len(), self.steps[1].len()])
    }
}

/// The settings of the Adam that moves the scales.
pub(super) struct ScaleAdam {
    /// The learning rate τ.
    pub tau: f64,
    pub beta1: f64,
    pub beta2: f64,
    /// Each gradient is clamped to ± this; 0: not.
    pub clip: f64,
    pub moments: Moments,
}

impl ScaleAdam {
    /// One step of `scales` down `gradients`, of the kind 0 or 1; those that are `skipped` keep all they have.
    pub fn step(&self, memory: &mut ScaleMemory, kind: usize, scales: &mut [f64], gradients: &[f64], skipped: &[bool]) {
        let (b1, b2) = (self.beta1, self.beta2);
        let kind = if self.moments == Moments::Shared { 0 } else { kind };
        let second = if self.moments == Moments::Separate { kind } else { 0 };
        for i in 0..scales.len() {
            if skipped[i] {
                continue;
            }
            let clip = self.clip;
            let gradient = if clip > 0.0 { gradients[i].clamp(-clip, clip) } else { gradients[i] };
            memory.steps[kind][i] += 1;
            let (m, v) = (&mut memory.m[kind][i], &mut memory.v[second][i]);
            *m = b1 * *m + (1.0 - b1) * gradient;
            *v = b2 * *v + (1.0 - b2) * gradient * gradient;
            let own = memory.steps[kind][i];
            let all = if self.moments == Moments::SharedSecond { memory.steps[0][i] + memory.steps[1][i] } else { own };
            let root = (*v / (1.0 - b2.powi(all))).sqrt();
            scales[i] -= self.tau / (1.0 - b1.powi(own)) * *m / (root + 1e-8);
        }
    }
}
