//! What initialisers, optimisers and the training loop know of a network: a layout and a loss.

use tch::{Kind, Tensor};

use crate::params::Layout;

/// What a loss is computed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training: dropout masks from this seed, statistics of the batch, which the running ones follow.
    Train {
        /// Of the masks.
        seed: u64,
    },
    /// An initialiser's look at the untrained network: no dropout, statistics of the batch, nothing moves.
    Initialise,
    /// Evaluation: no dropout, running statistics.
    Evaluate,
}

/// How a loss is computed.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// What for.
    pub purpose: Purpose,
    /// What activations are computed in; θ itself stays fp32.
    pub compute: Kind,
    /// The gradient will be differentiated again: keep to operations with a second derivative.
    pub second_order: bool,
}

impl Mode {
    /// Training in `compute` precision, with dropout from this seed.
    pub fn train(compute: Kind, seed: u64) -> Mode {
        Mode { purpose: Purpose::Train { seed }, compute, second_order: false }
    }

    /// Evaluation, first derivatives only.
    pub fn evaluate(compute: Kind) -> Mode {
        Mode { purpose: Purpose::Evaluate, compute, second_order: false }
    }

    /// What GradInit, MetaInit and their pictures look at: fp32, first derivatives only.
    pub fn initialise() -> Mode {
        Mode { purpose: Purpose::Initialise, compute: Kind::Float, second_order: false }
    }

    /// The same, twice differentiable.
    pub fn initialise_twice() -> Mode {
        Mode { second_order: true, ..Mode::initialise() }
    }

    /// The seed of the dropout masks; none: no dropout.
    pub fn dropout(&self) -> Option<u64> {
        match self.purpose {
            Purpose::Train { seed } => Some(seed),
            Purpose::Initialise | Purpose::Evaluate => None,
        }
    }
}

/// The loss of one batch.
pub struct Loss {
    /// The summed training loss (label-smoothed cross-entropy, natural logarithm), a differentiable scalar.
    pub sum: Tensor,
    /// The summed negative log-likelihood, a scalar without gradient.
    pub nll: Tensor,
    /// What the sums are averaged over: target tokens, or images.
    pub count: i64,
}

impl Loss {
    /// The mean loss, a differentiable scalar.
    pub fn mean(&self) -> Tensor {
        &self.sum / self.count as f64
    }
}

/// A network and its loss as functions of θ. Translation and image classification implement it.
pub trait Task {
    /// What one loss is computed on.
    type Batch;

    /// Where the blocks of θ lie.
    fn layout(&self) -> &Layout;

    /// What training moves beside θ: running statistics, a vector that shares its memory with the network's own, and where
    /// its blocks lie. A checkpoint holds it. None where there is nothing.
    fn running(&self) -> Option<(&Layout, Tensor)> {
        None
    }

    /// The loss of `batch` at `theta` (`[P]`, fp32), differentiable with respect to `theta`.
    fn loss(&self, theta: &Tensor, batch: &Self::Batch, mode: Mode) -> Loss;

    /// The loss of `batch` at `theta`, without a graph, and its gradient, `[P]`, fp32. What training takes its steps
    /// by: a network that knows a faster way than automatic differentiation has it here.
    fn gradient(&self, theta: &Tensor, batch: &Self::Batch, mode: Mode) -> (Loss, Tensor) {
        gradient_by_graph(self, theta, batch, mode)
    }

    /// The loss at `theta` where a tied block's second reader still sees `before`: what GradInit's published code
    /// computes in its look-ahead. Networks without tied blocks need nothing of their own here.
    fn loss_with_untied_reader(&self, theta: &Tensor, before: &Tensor, batch: &Self::Batch, mode: Mode) -> Loss {
        let _ = before;
        self.loss(theta, batch, mode)
    }
}

/// [`Task::gradient`] by automatic differentiation of [`Task::loss`].
pub fn gradient_by_graph<T: Task + ?Sized>(task: &T, theta: &Tensor, batch: &T::Batch, mode: Mode) -> (Loss, Tensor) {
    let leaf = theta.detach().set_requires_grad(true);
    let loss = task.loss(&leaf, batch, mode);
    let gradient = Tensor::run_backward(&[&loss.sum], &[&leaf], false, false).remove(0).to_kind(Kind::Float);
    (Loss { sum: loss.sum.detach(), nll: loss.nll, count: loss.count }, gradient)
}
