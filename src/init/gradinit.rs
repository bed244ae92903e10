//! GradInit (Zhu et al., 2021, Algorithm 1): learn one scale a block so that the first step of the optimiser lowers
//! the loss most while the gradient's norm stays bounded. It knows layouts and losses, not Transformers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

pub use super::halves::{Halves, halves};
use super::scales::{Moments, ScaleAdam, ScaleMemory, check_adam, rescale};
use crate::error::{Error, Result};
use crate::memory::within;
use crate::params::BlockKind;
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

/// What γ is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GammaUnit {
    /// γ is the bound itself, as in the paper.
    Absolute,
    /// γ times the gradient norm of the first iteration is the bound.
    InitialNorm,
}

/// Whose behaviour the defaults are, where the paper and its published code differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Algorithm 1 as it is printed.
    Paper,
    /// The released Transformer code (commit 777c407) and its launch script.
    PublishedCode,
    /// The released code for image networks (the same commit) and its launch scripts.
    PublishedImageCode,
}

/// GradInit's settings. The defaults are the paper's Algorithm 1 for Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GradInitConfig {
    /// Whose behaviour the keys have that are not given: `paper`, or the published code's: `published-code` for Transformers,
    /// `published-image-code` for image networks.
    pub preset: Preset,
    /// The optimiser that will train: `adam` or `sgd`.
    pub optimizer: Target,
    /// Iterations T.
    pub iterations: u64,
    /// The optimiser's learning rate η in the look-ahead.
    pub eta: f64,
    /// The learning rate τ of the scales.
    pub tau: f64,
    /// The bound γ of the gradient norm; inf: none.
    pub gamma: f64,
    /// What γ is counted in.
    pub gamma_unit: GammaUnit,
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
    /// Pictures of S, and as many of S̃; 0: `training.batch_size`.
    pub batch_size: usize,
    /// How much of S̃ is in S, r = |S̃ ∩ S|/|S|, from 0 to 1 (appendix B).
    pub overlap: f64,
    /// S takes the longer sentences of the batch, S̃ the shorter ones (published code), instead of a random choice.
    pub longer_first: bool,
    /// How Adam's moments are kept.
    pub moments: Moments,
    /// Divide the objective by η before differentiating (published code; the paper does not).
    pub objective_over_eta: bool,
    /// SGD's step has the length η·γ whatever the gradient's (section 3.5); else it is η·g.
    pub normalised_direction: bool,
    /// Multiply SGD's normalised direction by γ (section 3.5; the published code does not).
    pub direction_times_gamma: bool,
    /// Differentiate through the look-ahead's step, too, instead of taking it for a constant (section 3.4). For Adam,
    /// whose sign(g) has no derivative, it is the same.
    pub second_order: bool,
    /// In the look-ahead the output projection still reads the tied embedding of before the step (published code).
    pub untied_look_ahead: bool,
    /// A scale that reached 0 stays there (published code).
    pub zero_is_final: bool,
}

impl Default for GradInitConfig {
    fn default() -> GradInitConfig {
        GradInitConfig {
            preset: Preset::Paper,
            optimizer: Target::Adam,
            iterations: 780,
            eta: 5e-4,
            tau: 2.5e-3,
            gamma: 1000.0,
            gamma_unit: GammaUnit::Absolute,
            min_scale: 0.01,
            max_norm_scale: f64::INFINITY,
            clip: 1.0,
            beta1: 0.9,
            beta2: 0.999,
            max_tokens: 6000,
            batch_size: 0,
            overlap: 0.5,
            longer_first: false,
            moments: Moments::Shared,
            objective_over_eta: false,
            normalised_direction: true,
            direction_times_gamma: true,
            second_order: false,
            untied_look_ahead: false,
            zero_is_final: false,
        }
    }
}

impl GradInitConfig {
    /// The settings of a preset.
    pub fn of(preset: Preset) -> GradInitConfig {
        let paper = GradInitConfig::default();
        match preset {
            Preset::Paper => paper,
            Preset::PublishedCode => GradInitConfig {
                preset,
                eta: 1e-3,
                max_norm_scale: 100.0,
                clip: 0.0,
                beta2: 0.98,
                longer_first: true,
                moments: Moments::Separate,
                objective_over_eta: true,
                direction_times_gamma: false,
                untied_look_ahead: true,
                zero_is_final: true,
                ..paper
            },
            Preset::PublishedImageCode => GradInitConfig {
                preset,
                optimizer: Target::Sgd,
                iterations: 390,
                eta: 0.1,
                tau: 1e-2,
                gamma: 1.0,
                moments: Moments::SharedSecond,
                objective_over_eta: true,
                direction_times_gamma: false,
                zero_is_final: true,
                ..paper
            },
        }
    }

    /// Refuse what makes no run.
    pub(crate) fn check(&self) -> Result<()> {
        for (key, value) in [("eta", self.eta), ("tau", self.tau), ("gamma", self.gamma)] {
            if value.is_nan() || value <= 0.0 || (key != "gamma" && value.is_infinite()) {
                return Err(Error::usage(format!("gradinit.{key} has to be above 0, found {value}"), ""));
            }
        }
        check_adam("gradinit", self.beta1, self.beta2, self.min_scale, self.clip)?;
        if self.max_norm_scale.is_nan() || self.max_norm_scale < self.min_scale {
            let found = self.max_norm_scale;
            let message = format!("gradinit.max_norm_scale has to be gradinit.min_scale or more, found {found}");
            return Err(Error::usage(message, ""));
        }
        if !(0.0..=1.0).contains(&self.overlap) {
            let message = format!("gradinit.overlap has to be from 0 to 1, found {}", self.overlap);
            return Err(Error::usage(message, "the paper's runs use 0.5"));
        }
        if self.max_tokens < 3 {
            return Err(Error::usage(
                format!("gradinit.max_tokens has to be 3 or more, found {}", self.max_tokens),
                "S and S̃ are cut from one batch: the paper's runs use 6000",
            ));
        }
        Ok(())
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
    /// The bound of it, whatever γ was counted in; not written, since it is that of all iterations.
    #[serde(skip)]
    pub gamma: f64,
    /// The mean loss on S̃ after the optimiser's step.
    pub loss_after_step: Option<f64>,
    /// The gradient of every scale before clamping, in the layout's order.
    #[serde(skip)]
    pub scale_gradients: Vec<f64>,
    /// Every scale after the iteration, in the layout's order.
    pub scales: Vec<f64>,
}

/// Where a run of Algorithm 1 stands between two iterations: all that the next one needs beside its batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradInitState {
    /// Iterations done.
    pub iteration: u64,
    /// Every scale, in the layout's order.
    pub scales: Vec<f64>,
    memory: ScaleMemory,
    /// ‖g‖ of the first iteration.
    initial_norm: f64,
    /// Whether the last iteration lowered the norm.
    constrained: bool,
}

impl GradInitState {
    /// Before the first iteration: every scale is 1.
    pub fn start(blocks: usize) -> GradInitState {
        let memory = ScaleMemory::new(blocks);
        GradInitState { iteration: 0, scales: vec![1.0; blocks], memory, initial_norm: 0.0, constrained: false }
    }

    /// Whether it is of a layout of so many blocks.
    pub fn is_of(&self, blocks: usize) -> bool {
        self.scales.len() == blocks && self.memory.is_of(blocks)
    }
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
    draw: impl FnMut(u64) -> Result<(T::Batch, T::Batch)>,
    mut watch: impl FnMut(&Iteration) -> Result<()>,
) -> Result<Vec<f64>> {
    let state = GradInitState::start(task.layout().blocks().len());
    gradinit_from(task, theta0, config, state, draw, |iteration, _| watch(iteration))
}

/// [`gradinit`] from `state` on: whoever keeps the state that `watch` was shown, and gives each iteration the batches it
/// would have had, gets the bits of a run that was never stopped.
///
/// # Errors
/// As [`gradinit`].
pub fn gradinit_from<T: Task>(
    task: &T,
    theta0: &Tensor,
    config: &GradInitConfig,
    mut state: GradInitState,
    mut draw: impl FnMut(u64) -> Result<(T::Batch, T::Batch)>,
    mut watch: impl FnMut(&Iteration, &GradInitState) -> Result<()>,
) -> Result<Vec<f64>> {
    let layout = task.layout();
    let norms: Vec<f64> = layout.split(theta0).iter().map(|block| block.norm().double_value(&[])).collect();
    let GradInitConfig { tau, beta1, beta2, clip, moments, .. } = *config;
    let adam = ScaleAdam { tau, beta1, beta2, clip, moments };
    for iteration in state.iteration..config.iterations {
        let batches = draw(iteration)?;
        let lower = "lower gradinit.max_tokens, or of image networks gradinit.batch_size";
        let step = within("S and S̃ of GradInit", lower, || {
            compute_step(task, theta0, config, &mut state, iteration, (&batches.0, &batches.1))
        })??;
        let GradInitState { scales, memory, .. } = &mut state;
        let skipped: Vec<bool> = norms
            .iter()
            .zip(&*scales)
            .map(|(&norm, &scale)| norm == 0.0 || (config.zero_is_final && scale == 0.0))
            .collect();
        let objective = usize::from(step.branch == Branch::Objective);
        adam.step(memory, objective, scales, &step.scale_gradients, &skipped);
        for (scale, block) in scales.iter_mut().zip(layout.blocks()) {
            // Line 13.
            *scale = scale.max(if block.kind.is_bias() { 0.0 } else { config.min_scale });
            if block.kind == BlockKind::NormScale {
                *scale = scale.min(config.max_norm_scale);
            }
        }
        let done = Iteration { scales: scales.clone(), ..step };
        state.iteration += 1;
        watch(&done, &state)?;
    }
    Ok(state.scales)
}

/// What an iteration's step of the scales goes by (Algorithm 1, lines 5 to 12): [`Iteration`] without the scales that it ends with.
/// `state` gets to know whether the norm is bounded.
///
/// # Errors
/// [`Error::NonFinite`] when the loss or the norm stops being a number.
fn compute_step<T: Task>(
    task: &T,
    theta0: &Tensor,
    config: &GradInitConfig,
    state: &mut GradInitState,
    iteration: u64,
    (s, s_tilde): (&T::Batch, &T::Batch),
) -> Result<Iteration> {
    let layout = task.layout();
    let m = Tensor::from_slice(&state.scales).to_kind(Kind::Float).to_device(theta0.device());
    let theta = rescale(layout, theta0, &m);
    // Lines 5 and 6. Only a constraint step differentiates the gradient again, so its graph, which costs more
    // than the gradient, is made at once where the last step was one and else when the norm asks for it.
    let mut constraint = state.constrained.then(|| Constraint::new(task, theta0, &m, s, config.optimizer));
    let (loss, g) = match &constraint {
        Some(constraint) => (constraint.loss, constraint.gradient.detach()),
        None => mean_gradient(task, &theta, s),
    };
    let gradient_norm = norm(config.optimizer, &g).double_value(&[]);
    if !loss.is_finite() || !gradient_norm.is_finite() {
        let block = layout.first_non_finite(&g).map_or("none", |block| block.name.as_str());
        let what = format!("loss {loss}, gradient norm {gradient_norm}, first in the block {block}");
        return Err(not_finite(what, iteration));
    }
    if iteration == 0 {
        state.initial_norm = gradient_norm;
    }
    let gamma = match config.gamma_unit {
        GammaUnit::Absolute => config.gamma,
        GammaUnit::InitialNorm => config.gamma * state.initial_norm,
    };
    state.constrained = gradient_norm > gamma;
    let (branch, scale_gradients, loss_after_step) = if state.constrained {
        // Line 8: through the gradient, second order.
        let graph = constraint.take().unwrap_or_else(|| Constraint::new(task, theta0, &m, s, config.optimizer));
        (Branch::Constraint, graph.scale_gradients()?, None)
    } else {
        drop(constraint);
        // Lines 10-12.
        let over = if config.objective_over_eta { config.eta } else { 1.0 };
        let (value, gradients) = if config.second_order && config.optimizer == Target::Sgd {
            look_ahead_exactly(task, config, gamma, theta0, &m, (s, s_tilde))?
        } else {
            // The step is a constant (section 3.4), so that the loss after it depends on a scale through θ0's
            // block alone.
            let stepped = &theta - direction(config, gamma, &g) * config.eta;
            let (value, after) = match config.untied_look_ahead {
                true => untied_gradient(task, &stepped, &theta, s_tilde),
                false => mean_gradient(task, &stepped, s_tilde),
            };
            let products = layout.split(&(after * theta0));
            (value, products.iter().map(|block| block.sum(Kind::Double).double_value(&[])).collect())
        };
        (Branch::Objective, gradients.into_iter().map(|gradient| gradient / over).collect(), Some(value))
    };
    if loss_after_step.is_some_and(|loss| !loss.is_finite()) || scale_gradients.iter().any(|g| !g.is_finite()) {
        let what = format!("loss after the step {loss_after_step:?}, or a scale's gradient");
        return Err(not_finite(what, iteration));
    }
    let scales = Vec::new();
    Ok(Iteration { iteration, branch, loss, gradient_norm, gamma, loss_after_step, scale_gradients, scales })
}

fn not_finite(what: String, iteration: u64) -> Error {
    Error::NonFinite {
        what: format!("GradInit: {what}"),
        update: iteration + 1,
        block: "none".into(),
        examples: "those of this iteration".into(),
        next: "lower gradinit.eta, gradinit.tau or gradinit.gamma".into(),
    }
}

/// The norm of a gradient that the optimiser's step is bounded by, a differentiable scalar.
fn norm(optimizer: Target, gradient: &Tensor) -> Tensor {
    match optimizer {
        Target::Adam => gradient.abs().sum(Kind::Float),
        Target::Sgd => gradient.norm(),
    }
}

/// 𝒜[g]: what the optimiser's first step is η times of.
fn direction(config: &GradInitConfig, gamma: f64, gradient: &Tensor) -> Tensor {
    match config.optimizer {
        Target::Adam => gradient.sign(),
        Target::Sgd if !config.normalised_direction => gradient.shallow_clone(),
        Target::Sgd if config.direction_times_gamma && gamma.is_finite() => gradient * gamma / gradient.norm(),
        Target::Sgd => gradient / gradient.norm(),
    }
}

/// The loss after the optimiser's step and its derivatives with respect to the scales, those through the step included.
fn look_ahead_exactly<T: Task>(
    task: &T,
    config: &GradInitConfig,
    gamma: f64,
    theta0: &Tensor,
    m: &Tensor,
    (s, s_tilde): (&T::Batch, &T::Batch),
) -> Result<(f64, Vec<f64>)> {
    let m = m.detach().set_requires_grad(true);
    let theta = rescale(task.layout(), theta0, &m);
    let loss = task.loss(&theta, s, Mode::initialise_twice()).mean();
    let gradient = Tensor::run_backward(&[&loss], &[&theta], true, true).remove(0);
    let stepped = &theta - direction(config, gamma, &gradient) * config.eta;
    let before = if config.untied_look_ahead { &theta } else { &stepped };
    let after = task.loss_with_untied_reader(&stepped, before, s_tilde, Mode::initialise_twice()).mean();
    let gradients = Tensor::run_backward(&[&after], &[&m], false, false);
    Ok((after.double_value(&[]), Vec::<f64>::try_from(gradients[0].to_kind(Kind::Double))?))
}

/// The mean loss of `batch` at `theta` and its gradient.
fn mean_gradient<T: Task>(task: &T, theta: &Tensor, batch: &T::Batch) -> (f64, Tensor) {
    let (loss, gradient) = task.gradient(theta, batch, Mode::initialise());
    (loss.mean().double_value(&[]), gradient / loss.count as f64)
}

/// The same where a tied block's second reader still sees `before`; the gradient is that of both, because both move
/// with the scales.
fn untied_gradient<T: Task>(task: &T, stepped: &Tensor, before: &Tensor, batch: &T::Batch) -> (f64, Tensor) {
    let [stepped, before] = [stepped, before].map(|theta| theta.detach().set_requires_grad(true));
    let loss = task.loss_with_untied_reader(&stepped, &before, batch, Mode::initialise_twice()).mean();
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
        let loss = task.loss(&theta, batch, Mode::initialise_twice()).mean();
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
