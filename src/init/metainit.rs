//! MetaInit (Dauphin & Schoenholz, 2019): learn one scale a weight matrix so that the gradient changes little along itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::scales::{Moments, ScaleAdam, ScaleMemory, check_adam, rescale};
use crate::error::{Error, Result};
use crate::memory::within;
use crate::progress::{self, Progress};
use crate::task::{Mode, Task};

/// MetaInit's settings. As the rival of GradInit its scales are moved by Adam with clamped gradients, which that paper
/// found better than the sign descent of the original (section 4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetaInitConfig {
    /// Iterations.
    pub iterations: u64,
    /// The learning rate of the scales.
    pub tau: f64,
    /// ε, added to the gradient's magnitude in the quotient.
    pub epsilon: f64,
    /// Lower bound of the scales.
    pub min_scale: f64,
    /// Each scale's gradient is clamped to ± this; 0: not.
    pub clip: f64,
    /// β₁ of Adam.
    pub beta1: f64,
    /// β₂ of Adam.
    pub beta2: f64,
    /// Tokens a batch.
    pub max_tokens: usize,
    /// Pictures a batch; 0: `training.batch_size`.
    pub batch_size: usize,
    /// Which blocks are scaled.
    pub scaled: Scaled,
}

/// Which blocks MetaInit scales. Those that are 0 stay what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scaled {
    /// Matrices and convolutions, as the MetaInit paper.
    Matrices,
    /// Every block: the scales of normalisation, too, and other multipliers. What GradInit's published image code compares itself
    /// with.
    All,
}

impl Default for MetaInitConfig {
    fn default() -> MetaInitConfig {
        MetaInitConfig {
            iterations: 780,
            tau: 2.5e-3,
            epsilon: 1e-5,
            min_scale: 0.01,
            clip: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            max_tokens: 2000,
            batch_size: 0,
            scaled: Scaled::Matrices,
        }
    }
}

impl MetaInitConfig {
    /// Refuse what makes no run.
    pub(crate) fn check(&self) -> Result<()> {
        for (key, value) in [("tau", self.tau), ("epsilon", self.epsilon)] {
            if !value.is_finite() || value <= 0.0 {
                return Err(Error::usage(format!("metainit.{key} has to be above 0, found {value}"), ""));
            }
        }
        check_adam("metainit", self.beta1, self.beta2, self.min_scale, self.clip)?;
        if self.max_tokens == 0 {
            return Err(Error::usage("metainit.max_tokens has to be 1 or more, found 0", ""));
        }
        Ok(())
    }
}

/// The gradient quotient of `task` at `theta` (`[P]`) on `batch`, a scalar that is differentiable with respect to what
/// `theta` depends on: the mean over the parameters of `|(g − Hg)/(g + ε·sgn(g)) − 1|`, with the gradient g of the mean
/// loss and the Hessian H (equation 1 of the MetaInit paper; sgn(0) is 1).
pub fn gradient_quotient<T: Task>(task: &T, theta: &Tensor, batch: &T::Batch, epsilon: f64) -> Tensor {
    let loss = task.loss(theta, batch, Mode::initialise_twice()).mean();
    let gradient = Tensor::run_backward(&[&loss], &[theta], true, true).remove(0);
    let half_square = gradient.square().sum(Kind::Float) / 2.0;
    let product = Tensor::run_backward(&[&half_square], &[theta], true, true).remove(0); // H g
    let signed = (gradient.ge(0.0).to_kind(Kind::Float) * 2.0 - 1.0) * epsilon;
    ((&gradient - product) / (&gradient + signed.detach()) - 1.0).abs().mean(Kind::Float)
}

/// Run MetaInit from `theta0` (`[P]`, fp32). `draw` gives the batch of an
/// iteration; `watch` sees its number (from 0) and its gradient quotient, and may stop the run with an error. Returns the
/// scales in the order of the layout's blocks.
///
/// # Errors
/// [`Error::NonFinite`] when the quotient stops being a number, and what `draw` and `watch` return.
pub fn metainit<T: Task>(
    task: &T,
    theta0: &Tensor,
    config: &MetaInitConfig,
    mut draw: impl FnMut() -> Result<T::Batch>,
    mut watch: impl FnMut(u64, f64) -> Result<()>,
) -> Result<Vec<f64>> {
    let layout = task.layout();
    let skipped: Vec<bool> = (layout.blocks().iter().zip(layout.split(theta0)))
        .map(|(block, part)| {
            (block.shape.len() < 2 && config.scaled == Scaled::Matrices) || part.norm().double_value(&[]) == 0.0
        })
        .collect();
    let mut scales = vec![1.0; layout.blocks().len()];
    let MetaInitConfig { tau, beta1, beta2, clip, .. } = *config;
    let adam = ScaleAdam { tau, beta1, beta2, clip, moments: Moments::Shared };
    let mut memory = ScaleMemory::new(scales.len());
    for iteration in 0..config.iterations {
        let m = Tensor::from_slice(&scales).to_kind(Kind::Float).to_device(theta0.device()).set_requires_grad(true);
        let batch = draw()?;
        let (value, gradients) = within("MetaInit", LOWER, || {
            let quotient = gradient_quotient(task, &rescale(layout, theta0, &m), &batch, config.epsilon);
            let gradients = Tensor::run_backward(&[&quotient], &[&m], false, false).remove(0);
            (quotient.double_value(&[]), gradients)
        })?;
        if !value.is_finite() || gradients.isfinite().all().int64_value(&[]) == 0 {
            return Err(Error::NonFinite {
                what: format!("MetaInit: gradient quotient {value}"),
                update: iteration + 1,
                block: "none".into(),
                examples: "those of this iteration".into(),
                next: "lower metainit.tau or raise metainit.epsilon".into(),
            });
        }
        adam.step(&mut memory, 0, &mut scales, &Vec::<f64>::try_from(gradients.to_kind(Kind::Double))?, &skipped);
        for (scale, &skipped) in scales.iter_mut().zip(&skipped) {
            if !skipped {
                *scale = scale.max(config.min_scale);
            }
        }
        watch(iteration, value)?;
    }
    Ok(scales)
}

/// What less memory wants.
const LOWER: &str = "lower metainit.max_tokens, or of image networks metainit.batch_size";

/// [`metainit`] with a progress bar and a note of what it gained: θ rescaled, `[P]`. `signal` is asked between iterations
/// whether to stop.
///
/// # Errors
/// As [`metainit`], and [`Error::Interrupted`] on a signal.
pub fn metainit_theta<T: Task>(
    task: &T,
    theta0: &Tensor,
    config: &MetaInitConfig,
    draw: impl FnMut() -> Result<T::Batch>,
    signal: impl Fn() -> Option<i32>,
) -> Result<Tensor> {
    let mut bar = Progress::new("metainit", Some(config.iterations));
    let (mut first, mut last) = (None, 0.0);
    let scales = metainit(task, theta0, config, draw, |iteration, quotient| {
        (first, last) = (first.or(Some(quotient)), quotient);
        bar.set(iteration + 1, || format!("gradient quotient {quotient:.4}"));
        Error::if_interrupted(signal())
    })?;
    drop(bar);
    progress::note(format!("MetaInit: gradient quotient {:.4} at first, {last:.4} at last", first.unwrap_or(0.0)));
    let m = Tensor::from_slice(&scales).to_kind(Kind::Float).to_device(theta0.device());
    Ok(rescale(task.layout(), theta0, &m))
}
