//! Rectified Adam (Liu et al., 2020) as `torch.optim.RAdam` computes it, with coupled weight decay.

use tch::{Tensor, no_grad};

use super::{Optimizer, OptimizerConfig};

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
        no_grad(|| {
            let gradient = gradient + &*theta * self.weight_decay;
            let _ = self.m.lerp_(&gradient, 1.0 - self.beta1);
            self.v *= self.beta2;
            self.v += gradient.square() * (1.0 - self.beta2);
            let corrected = &self.m * (1.0 / (1.0 - self.beta1.powf(s)));
            let decay = self.beta2.powf(s);
            let longest = 2.0 / (1.0 - self.beta2) - 1.0;
            let length = longest - 2.0 * s * decay / (1.0 - decay);
            let step = if length > 5.0 {
                let rectification =
                    ((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)).sqrt();
                corrected * (rectification * (1.0 - decay).sqrt()) / (self.v.sqrt() + self.epsilon)
            } else {
                corrected
            };
            let _ = theta.g_sub_(&(step * learning_rate));
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
