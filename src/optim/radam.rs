//! Rectified Adam (Liu et al., 2020) as `torch.optim.RAdam` computes it, with coupled weight decay.

use tch::{Device, Tensor, no_grad};

use super::{Optimizer, OptimizerConfig};
use crate::kernels::{AdamStep, adam};

/// Rectified Adam.
pub struct RAdam {
    beta1: f64,
    beta2: f64,
    epsilon: f64,
    weight_decay: f64,
    updates: u64,
    m: Tensor,
    v: Tensor,
}

impl RAdam {
    /// Zero moments.
    pub fn new(theta: &Tensor, config: &OptimizerConfig) -> RAdam {
        RAdam {
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

impl Optimizer for RAdam {
    fn step(&mut self, theta: &mut Tensor, gradient: &Tensor, learning_rate: f64) {
        self.updates += 1;
        let s = self.updates as f64;
        let decay = self.beta2.powf(s);
        let longest = 2.0 / (1.0 - self.beta2) - 1.0;
        let length = longest - 2.0 * s * decay / (1.0 - decay);
        let corrected = learning_rate / (1.0 - self.beta1.powf(s));
        let rectification = (length > 5.0).then(|| {
            let ratio = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length);
            (ratio * (1.0 - decay)).sqrt()
        });
        if theta.device() == Device::Cpu {
            let step = AdamStep {
                beta1: self.beta1 as f32,
                beta2: self.beta2 as f32,
                epsilon: self.epsilon as f32,
                keep: 1.0,
                coupled_decay: self.weight_decay as f32,
                size: (corrected * rectification.unwrap_or(1.0)) as f32,
                divide: rectification.is_some(),
            };
            return adam(step, theta, gradient, &mut self.m, &mut self.v);
        }
        no_grad(|| {
            let gradient = gradient + &*theta * self.weight_decay;
            let _ = self.m.lerp_(&gradient, 1.0 - self.beta1);
            self.v *= self.beta2;
            self.v += gradient.square() * (1.0 - self.beta2);
            let step = &self.m * (corrected * rectification.unwrap_or(1.0));
            let step = if rectification.is_some() { step / (self.v.sqrt() + self.epsilon) } else { step };
            let _ = theta.g_sub_(&step);
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
