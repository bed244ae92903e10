//! Adam and RAdam in one pass over memory.

use tch::Tensor;

use super::element::{elements, elements_mut};
use super::threads::{Disjoint, parallel, part_of};
use super::vector::vectorised;

/// The numbers of one step.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// ε, added to the root.
    pub epsilon: f32,
    /// θ is multiplied by this first: decoupled weight decay.
    pub keep: f32,
    /// This times θ is added to the gradient: coupled weight decay.
    pub coupled_decay: f32,
    /// The learning rate with the bias corrections.
    pub size: f32,
    /// Divide by the root of the second moment; RAdam's first steps do not.
    pub divide: bool,
}

/// `g ← g + coupled_decay·θ`, `m ← β₁m + (1-β₁)g`, `v ← β₂v + (1-β₂)g²`, `θ ← keep·θ - size·m/(√v + ε)`, or without
/// the division; all `[P]`, fp32.
pub fn adam(step: AdamStep, theta: &mut Tensor, gradient: &Tensor, m: &mut Tensor, v: &mut Tensor) {
    let gradient = elements::<f32>(gradient);
    let n = gradient.len();
    let (theta, m, v) = (elements_mut::<f32>(theta), elements_mut::<f32>(m), elements_mut::<f32>(v));
    assert!(theta.len() == n && m.len() == n && v.len() == n);
    let (theta, m, v) = (Disjoint::new(theta), Disjoint::new(m), Disjoint::new(v));
    let parts = n.div_ceil(1 << 16).max(1);
    parallel(parts, |part| {
        let here = part_of(n, parts, part);
        // SAFETY: every part has elements of its own.
        let (theta, m, v) = unsafe { (theta.range(here.clone()), m.range(here.clone()), v.range(here.clone())) };
        update::<f32>(step, theta, &gradient[here], m, v);
    });
}

vectorised! {
    fn update<E>(step: AdamStep, theta: &mut [f32], gradient: &[E], m: &mut [f32], v: &mut [f32]) {
        for (((theta, gradient), m), v) in theta.iter_mut().zip(gradient).zip(m).zip(v) {
            let g = step.coupled_decay.mul_add(*theta, gradient.to_f32());
            *m = (1.0 - step.beta1).mul_add(g - *m, *m);
            *v = step.beta2.mul_add(*v, (1.0 - step.beta2) * g * g);
            let below = if step.divide { v.sqrt() + step.epsilon } else { 1.0 };
            *theta = step.keep.mul_add(*theta, -step.size * *m / below);
        }
    }
}
