//! GradInit (Zhu et al., 2021, Algorithm 1): learn one scale a block so that the first step of the optimiser lowers
//! the loss most while the gradient's norm stays bounded. It knows layouts and losses, not Transformers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::params::{BlockKind, Layout};
use crate::task::{Mode, Task};

/// The optimiser 𝒜 whose first step is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// 𝒜\[g\] = sign(g), norm ℓ1.
    Adam,
    /// 𝒜\[g\] = γ g/‖g‖₂, norm ℓ2.
    Sgd,
}

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

/// GradInit's settings. The defaults are the paper's Algorithm 1 for Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradInitConfig {
    /// The optimiser that will train: `adam` or `sgd`.
    pub optimizer: Target,
    /// Iterations T.
    pub iterations: u64,
    /// The optimiser's learning rate η in the look-ahead.
    pub eta: f64,
    /// The learning rate τ of the scales.
    pub tau: f64,
    /// The bound γ of the gradient norm.
    pub gamma: f64,
    /// Lower bound α of the scales of weights.
    pub min_scale: f64,
    /// Upper bound of the scales of normalisation layers; the paper has none.
    pub max_norm_scale: f64,
    /// Each scale's gradient is clamped to ± this.
    pub clip: f64,
    /// β₁ of the Adam that moves the scales.
    pub beta1: f64,
    /// β₂ of the Adam that moves the scales.
    pub beta2: f64,
    /// Tokens a batch that S and S̃ are cut from.
    pub max_tokens: usize,
    /// How Adam's moments are kept.
    pub moments: Moments,
    /// Divide the objective by η before differentiating (published code; the paper does not).
    pub objective_over_eta: bool,
    /// Multiply SGD's normalised direction by γ (section 3.5; the published code does not).
    pub direction_times_gamma: bool,
    /// In the look-ahead the output projection still reads the tied embedding of before the step (published code).
    pub untied_look_ahead: bool,
    /// A scale that reached 0 stays there (published code).
    pub zero_is_final: bool,
}

impl Default for GradInitConfig {
    fn default() -> GradInitConfig {
        GradInitConfig {
            optimizer: Target::Adam,
            iterations: 780,
            eta: 5e-4,
            tau: 2.5e-3,
            gamma: 1000.0,
            min_scale: 0.01,
            max_norm_scale: f64::INFINITY,
            clip: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            max_tokens: 6000,
            moments: Moments::Shared,
            objective_over_eta: false,
            direction_times_gamma: true,
            untied_look_ahead: false,
            zero_is_final: false,
        }
    }
}

impl GradInitConfig {
    /// The behaviour of the published code instead of the paper's Algorithm 1 where the two differ.
    #[must_use]
    pub fn as_published_code(mut self) -> GradInitConfig {
        self.moments = Moments::Separate;
        self.objective_over_eta = true;
        self.direction_times_gamma = false;
        self.untied_look_ahead = true;
        self.zero_is_final = true;
        self
    }
}

/// Which step an iteration took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// The norm was above γ: descend the norm (line 8).
    Constraint,
    /// Descend the loss after one step of the optimiser (line 12).
    Objective,
}

/// One iteration, as it is written to the trajectory.
#[derive(Debug, Clone, Serialize)]
pub struct Iteration {
    /// Counted from 0.
    pub iteration: u64,
    /// Which step was taken.
    pub branch: Branch,
    /// The mean loss on S, natural logarithm.
    pub loss: f64,
    /// ‖g‖ in the optimiser's norm.
    pub gradient_norm: f64,
    /// The mean loss on S̃ after the optimiser's step.
    pub loss_after_step: Option<f64>,
    /// The gradient of every scale before clamping, in the layout's order.
    #[serde(skip)]
    pub scale_gradients: Vec<f64>,
    /// Every scale after the iteration, in the layout's order.
    pub scales: Vec<f64>,
}

/// θ0 with every block multiplied by its scale, differentiable with respect to `scales` (`[blocks]`).
pub fn rescale(layout: &Layout, theta0: &Tensor, scales: &Tensor) -> Tensor {
    let parts: Vec<Tensor> =
        layout.split(theta0).iter().zip(scales.unbind(0)).map(|(block, scale)| block * scale).collect();
    Tensor::cat(&parts, 0)
}

/// Run Algorithm 1 from `theta0` (`[P]`, fp32). `draw` gives S and S̃ of an iteration; `watch` sees every iteration
/// and may stop the run with an error. Returns the scales in the order of the layout's blocks.
///
/// # Errors
/// [`Error::NonFinite`] when the loss or the norm stops being a number, and what `draw` and `watch` return.
pub fn gradinit<T: Task>(
    task: &T,
    theta0: &Tensor,
    config: &GradInitConfig,
    mut draw: impl FnMut(u64) -> Result<(T::Batch, T::Batch)>,
    mut watch: impl FnMut(&Iteration) -> Result<()>,
) -> Result<Vec<f64>> {
    let layout = task.layout();
    let norms: Vec<f64> = layout.split(theta0).iter().map(|block| block.norm().double_value(&[])).collect();
    let mut scales = vec![1.0; layout.blocks().len()];
    let mut adam = ScaleAdam::new(scales.len(), config);
    let mut constrained = false;
    for iteration in 0..config.iterations {
        let (s, s_tilde) = draw(iteration)?;
        let m = Tensor::from_slice(&scales).to_kind(Kind::Float).to_device(theta0.device());
        let theta = rescale(layout, theta0, &m);
        // Lines 5 and 6. Only a constraint step differentiates the gradient again, so its graph, which costs more
        // than the gradient, is made at once where the last step was one and else when the norm asks for it.
        let mut constraint = constrained.then(|| Constraint::new(task, theta0, &m, &s, config.optimizer));
        let (loss, g) = match &constraint {
            Some(constraint) => (constraint.loss, constraint.gradient.detach()),
            None => mean_gradient(task, &theta, &s),
        };
        let gradient_norm = norm(config.optimizer, &g).double_value(&[]);
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Err(Error::NonFinite {
                what: format!("GradInit: loss {loss}, gradient norm {gradient_norm}"),
                update: iteration + 1,
                block: layout.first_non_finite(&g).map_or("none".into(), |block| block.name.clone()),
                sentences: "those of this iteration".into(),
                next: "lower gradinit.tau or gradinit.gamma".into(),
            });
        }
        constrained = gradient_norm > config.gamma;
        let (branch, scale_gradients, loss_after_step) = if constrained {
            // Line 8: through the gradient, second order.
            let graph = constraint.take().unwrap_or_else(|| Constraint::new(task, theta0, &m, &s, config.optimizer));
            (Branch::Constraint, graph.scale_gradients()?, None)
        } else {
            drop(constraint);
            // Lines 10-12: the step is a constant (section 3.4), so that the loss after it depends on a scale through
            // θ0's block alone.
            let direction = match config.optimizer {
                Target::Adam => g.sign(),
                Target::Sgd if config.direction_times_gamma && config.gamma.is_finite() => {
                    g / (gradient_norm / config.gamma)
                }
                Target::Sgd => g / gradient_norm,
            };
            let stepped = &theta - direction * config.eta;
            let (value, after) = match config.untied_look_ahead {
                true => untied_gradient(task, &stepped, &theta, &s_tilde),
                false => mean_gradient(task, &stepped, &s_tilde),
            };
            let over = if config.objective_over_eta { config.eta } else { 1.0 };
            let products = layout.split(&(after * theta0));
            let gradients = products.iter().map(|block| block.sum(Kind::Double).double_value(&[]) / over).collect();
            (Branch::Objective, gradients, Some(value))
        };
        let skipped: Vec<bool> = norms
            .iter()
            .zip(&scales)
            .map(|(&norm, &scale)| norm == 0.0 || (config.zero_is_final && scale == 0.0))
            .collect();
        adam.step(branch, &mut scales, &scale_gradients, &skipped);
        for (scale, block) in scales.iter_mut().zip(layout.blocks()) {
            // Line 13.
            *scale = scale.max(if block.kind.is_bias() { 0.0 } else { config.min_scale });
            if block.kind == BlockKind::NormScale {
                *scale = scale.min(config.max_norm_scale);
            }
        }
        watch(&Iteration {
            iteration,
            branch,
            loss,
            gradient_norm,
            loss_after_step,
            scale_gradients,
            scales: scales.clone(),
        })?;
    }
    Ok(scales)
}

/// The norm of a gradient that the optimiser's step is bounded by, a differentiable scalar.
fn norm(optimizer: Target, gradient: &Tensor) -> Tensor {
    match optimizer {
        Target::Adam => gradient.abs().sum(Kind::Float),
        Target::Sgd => gradient.norm(),
    }
}

/// The mean loss of `batch` at `theta` and its gradient.
fn mean_gradient<T: Task>(task: &T, theta: &Tensor, batch: &T::Batch) -> (f64, Tensor) {
    let (loss, gradient) = task.gradient(theta, batch, Mode::evaluate(Kind::Float));
    (loss.mean().double_value(&[]), gradient / loss.count as f64)
}

/// The same where a tied block's second reader still sees `before`; the gradient is that of both, because both move
/// with the scales.
fn untied_gradient<T: Task>(task: &T, stepped: &Tensor, before: &Tensor, batch: &T::Batch) -> (f64, Tensor) {
    let [stepped, before] = [stepped, before].map(|theta| theta.detach().set_requires_grad(true));
    let loss = task.loss_with_untied_reader(&stepped, &before, batch, Mode::initialise()).mean();
    let total = &loss + 0.0 * (stepped.sum(Kind::Float) + before.sum(Kind::Float)); // Both are read.
    let gradients = Tensor::run_backward(&[&total], &[&stepped, &before], false, false);
    (loss.double_value(&[]), &gradients[0] + &gradients[1])
}

/// A constraint step's graph: the gradient on S as a function of the scales.
struct Constraint {
    loss: f64,
    m: Tensor,
    gradient: Tensor,
    norm: Tensor,
}

impl Constraint {
    fn new<T: Task>(task: &T, theta0: &Tensor, m: &Tensor, batch: &T::Batch, optimizer: Target) -> Constraint {
        let m = m.detach().set_requires_grad(true);
        let theta = rescale(task.layout(), theta0, &m);
        let loss = task.loss(&theta, batch, Mode::initialise()).mean();
        let gradient = Tensor::run_backward(&[&loss], &[&theta], true, true).remove(0);
        let norm = norm(optimizer, &gradient);
        Constraint { loss: loss.double_value(&[]), m, gradient, norm }
    }

    /// Of the norm, with respect to the scales.
    fn scale_gradients(self) -> Result<Vec<f64>> {
        let gradients = Tensor::run_backward(&[&self.norm], &[&self.m], false, false);
        Ok(Vec::<f64>::try_from(gradients[0].to_kind(Kind::Double))?)
    }
}

/// The Adam that moves the scales, in double precision: there are only as many as blocks.
struct ScaleAdam {
    config: GradInitConfig,
    /// By kind of step where the moments are separate, else only the first is used.
    m: [Vec<f64>; 2],
    v: [Vec<f64>; 2],
    steps: [Vec<i32>; 2],
}

impl ScaleAdam {
    fn new(blocks: usize, config: &GradInitConfig) -> ScaleAdam {
        let zeros = || [vec![0.0; blocks], vec![0.0; blocks]];
        ScaleAdam { config: config.clone(), m: zeros(), v: zeros(), steps: [vec![0; blocks], vec![0; blocks]] }
    }

    fn step(&mut self, branch: Branch, scales: &mut [f64], gradients: &[f64], skipped: &[bool]) {
        let (b1, b2) = (self.config.beta1, self.config.beta2);
        let kind = if self.config.moments != Moments::Shared && branch == Branch::Objective { 1 } else { 0 };
        let second = if self.config.moments == Moments::Separate { kind } else { 0 };
        for i in 0..scales.len() {
            if skipped[i] {
                continue;
            }
            let clip = self.config.clip;
            let gradient = if clip > 0.0 { gradients[i].clamp(-clip, clip) } else { gradients[i] };
            self.steps[kind][i] += 1;
            let (m, v) = (&mut self.m[kind][i], &mut self.v[second][i]);
            *m = b1 * *m + (1.0 - b1) * gradient;
            *v = b2 * *v + (1.0 - b2) * gradient * gradient;
            let own = self.steps[kind][i];
            let all =
                if self.config.moments == Moments::SharedSecond { self.steps[0][i] + self.steps[1][i] } else { own };
            let root = (*v / (1.0 - b2.powi(all))).sqrt();
            scales[i] -= self.config.tau / (1.0 - b1.powi(own)) * *m / (root + 1e-8);
        }
    }
}
