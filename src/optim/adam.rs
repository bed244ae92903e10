//! Adam as fairseq writes it: ε is added to the uncorrected root, weight decay is decoupled.

use tch::{Device, Tensor, no_grad};

use super::{Optimizer, OptimizerConfig};
use crate::kernels::{AdamStep, adam};

/// Adam (Kingma & Ba, 2015), matching `fairseq.optim.adam.Adam`.
pub struct Adam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    updates: u64,
    m: Tensor,
    v: Tensor,
}

impl Adam {
    /// Zero moments.
    pub fn new(theta: &Tensor, config: &OptimizerConfig) -> Adam {
        Adam {
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: config.epsilon,
            weight_decay: config.weight_decay,
            updates: 0,
            m: theta.detach().zeros_like(),
            v: theta.detach().zeros_like(),
        }
    }
}

impl Optimizer for Adam {
    fn step(&mut self, theta: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        self.updates += 1;
        let s = self.updates as i32;
        let size = learning_rate * (1.0 - self.beta2.powi(s)).sqrt() / (1.0 - self.beta1.powi(s));
        if theta.device() == Device::Cpu {
            let step = AdamStep {
                beta1: self.beta1 as f32,
                beta2: self.beta2 as f32,
                epsilon: self.epsilon as f32,
                keep: (1.0 - self.weight_decay * learning_rate) as f32,
                coupled_decay: 0.0,
                size: size as f32,
                divide: true,
            };
            return adam(step, theta, gradient, &mut self.m, &mut self.v);
        }
        no_grad(|| {
            if self.weight_decay != 0.0 {
                *theta *= 1.0 - self.weight_decay * learning_rate;
            }
            let _ = self.m.lerp_(gradient, 1.0 - self.beta1);
            self.v *= self.beta2;
            self.v += gradient.square() * (1.0 - self.beta2);
            let mut root = self.v.sqrt();
            root += self.epsilon;
            let _ = theta.g_sub_(&(&self.m / root * size));
        });
    }

    fn state(&self) -> Vec<(&'static str, &Tensor)> {
        vec![("m.", &self.m), ("v.", &self.v)]
    }

    fn restore(&mut self, vectors: Vec<Tensor>, updates: u64) {
        if let Ok([m, v]) = <[Tensor; 2]>::try_from(vectors) {
            (self.m, self.v, self.updates) = (m, v, updates);
        }
    }
}
