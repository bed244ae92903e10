//! SGD with momentum as `torch.optim.SGD` computes it: coupled weight decay, no dampening.

use tch::{Tensor, no_grad};

use super::{Optimizer, OptimizerConfig};
use crate::params::{BlockKind, Layout};

/// SGD with momentum.
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    /// 1 where weight decay is, 0 where not, `[P]`; none: it is everywhere.
    decayed: Option<Tensor>,
    updates: u64,
    buffer: Tensor,
}

impl Sgd {
    /// No momentum yet.
    pub fn new(theta: &Tensor, layout: &Layout, config: &OptimizerConfig) -> Sgd {
        let decayed = (!config.decay_normalisation).then(|| {
            let mask = theta.detach().ones_like();
            for (block, mut part) in layout.blocks().iter().zip(layout.split(&mask)) {
                if matches!(block.kind, BlockKind::NormScale | BlockKind::NormBias) {
                    let _ = part.zero_();
                }
            }
            mask
        });
        Sgd {
            momentum: config.momentum,
            weight_decay: config.weight_decay,
            decayed,
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
            let decay = match &self.decayed {
                Some(decayed) => &*theta * decayed * self.weight_decay,
                None => &*theta * self.weight_decay,
            };
            self.buffer += gradient + decay;
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
