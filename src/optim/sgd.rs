//! SGD with momentum as `torch.optim.SGD` computes it: coupled weight decay, no dampening.

use tch::{Tensor, no_grad};

use super::{Optimizer, OptimizerConfig};

/// SGD with momentum.
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    updates: u64,
    buffer: Tensor,
}

impl Sgd {
    /// No momentum yet.
    pub fn new(theta: &Tensor, config: &OptimizerConfig) -> Sgd {
        Sgd {
            momentum: config.momentum,
            weight_decay: config.weight_decay,
            updates: 0,
            buffer: theta.detach().zeros_like(),
        }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, theta: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        self.updates += 1;
        no_grad(|| {
            // The buffer starts at zero, so the first update takes the gradient as it is.
            self.buffer *= self.momentum;
            self.buffer += gradient + &*theta * self.weight_decay;
            let _ = theta.g_sub_(&(&self.buffer * learning_rate));
        });
    }

    fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("momentum.", &self.buffer)]
    }

    fn restore(&mut self, vectors: Vec<Tensor>, updates: u64) {
        if let Ok([buffer]) = <[Tensor; 1]>::try_from(vectors) {
            (self.buffer, self.updates) = (buffer, updates);
        }
    }
}
