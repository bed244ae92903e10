//! Admin (Liu et al., 2020): the multipliers of skip connections from the variances of one forward pass.

use std::cell::{Cell, RefCell};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::batch::TranslationBatch;
use super::layers::Dropout;
use super::transformer::Transformer;
use crate::params::{View, Views};

/// How Admin's multipliers follow from the variances. Encoder and decoder are profiled separately; every element of a
/// multiplier begins with one value, 1 in a stack's first sub-layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WSkipRule {
    /// As the authors' code profiles: within one pass, each multiplier in place before the next sub-layer is seen,
    /// w²ᵢ₊₁ = Var\[wᵢ·xᵢ\] + Var\[fᵢ(xᵢ)\], padding included.
    Sequential,
    /// As the GradInit paper prints it: w²ᵢ = Σ over j < i of Var\[fⱼ(xⱼ)\] of a pass with all multipliers 1, over the
    /// tokens that are no padding.
    Cumulative,
}

/// What one stack has shown so far.
struct Profile<'a> {
    rule: WSkipRule,
    views: &'a Views,
    /// Rows that are no padding.
    rows: Tensor,
    /// The variance that the next multiplier is the root of; none before the first.
    variance: Cell<Option<f64>>,
    /// Multipliers that wait for the end of the pass.
    later: RefCell<Vec<(View, f64)>>,
}

impl<'a> Profile<'a> {
    fn new(rule: WSkipRule, views: &'a Views, rows: Tensor) -> Profile<'a> {
        Profile { rule, views, rows, variance: Cell::new(None), later: RefCell::new(Vec::new()) }
    }

    fn observe(&self, w_skip: View, x: &Tensor, output: &Tensor) {
        let w = self.variance.get().map_or(1.0, f64::sqrt);
        match self.rule {
            WSkipRule::Sequential => {
                set(self.views, w_skip, w);
                self.variance.set(Some(w * w * variance(x) + variance(output)));
            }
            WSkipRule::Cumulative => {
                self.later.borrow_mut().push((w_skip, w));
                let own = variance(&output.index_select(0, &self.rows));
                self.variance.set(Some(self.variance.get().unwrap_or(0.0) + own));
            }
        }
    }

    fn finish(self) {
        for (w_skip, w) in self.later.into_inner() {
            set(self.views, w_skip, w);
        }
    }
}

fn set(views: &Views, w_skip: View, w: f64) {
    let _ = views[w_skip].shallow_clone().fill_(w);
}

/// Of all elements, as of a population.
fn variance(x: &Tensor) -> f64 {
    x.to_kind(Kind::Double).var(false).double_value(&[])
}

impl Transformer {
    /// `theta` (`[P]`, fp32) with the multipliers of skip connections (`model.w_skip`) as Admin sets them from one pass over
    /// `batch`, without dropout.
    pub fn profile_w_skip(&self, theta: &Tensor, batch: &TranslationBatch, rule: WSkipRule) -> Tensor {
        no_grad(|| {
            let theta = theta.detach().copy();
            let views = self.views(&theta, Kind::Float);
            for w_skip in self.w_skips() {
                set(&views, w_skip, 1.0);
            }
            let (source, target) = batch.rows();
            let encoder = Profile::new(rule, &views, source);
            let encoded = self.encode_observed(&views, batch, &|w_skip, x, output| encoder.observe(w_skip, x, output));
            let decoder = Profile::new(rule, &views, target);
            let none = Dropout::off();
            let observe = |w_skip, x: &Tensor, output: &Tensor| decoder.observe(w_skip, x, output);
            let _ = self.decode_watched(&views, batch, &encoded, &none, (&observe, &|_| ()));
            encoder.finish();
            decoder.finish();
            theta
        })
    }

    fn w_skips(&self) -> impl Iterator<Item = View> {
        let encoder = self.encoder.iter().flat_map(|layer| [layer.self_attention.w_skip, layer.ffn.w_skip]);
        let decoder = self
            .decoder
            .iter()
            .flat_map(|layer| [layer.self_attention.w_skip, layer.encoder_attention.w_skip, layer.ffn.w_skip]);
        encoder.chain(decoder).flatten()
    }
}
