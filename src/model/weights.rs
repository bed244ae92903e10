//! θ as a pass without a graph reads it.

use std::sync::OnceLock;

use tch::{Kind, Tensor};

use crate::kernels::{PackedWeights, few_rows_linear, packed_linear};
use crate::params::{View, Views};

/// θ for a pass without a graph.
pub struct Weights {
    /// In the precision of the activations.
    pub views: Views,
    /// In fp32, for what is not a matrix.
    pub vectors: Views,
    /// For a search: matrices as [`packed_linear`] wants them, by the number of their view, each arranged when it is first
    /// read; `None` where libtorch's product is taken.
    packed: Vec<OnceLock<Option<PackedWeights>>>,
}

impl Weights {
    /// Of views in the precision of the activations, and in fp32.
    pub(super) fn new(views: Views, vectors: Views) -> Weights {
        Weights { views, vectors, packed: Vec::new() }
    }

    /// Take the matrices in the arrangement for many products of few rows, where the processor has one.
    #[must_use]
    pub fn for_search(mut self) -> Weights {
        self.packed = (0..self.views.count()).map(|_| OnceLock::new()).collect();
        self
    }

    fn packed(&self, weight: View) -> Option<&PackedWeights> {
        self.packed.get(weight.number())?.get_or_init(|| PackedWeights::new(&self.views[weight])).as_ref()
    }

    /// `x` `[N, k]` times the transpose of `weight` `[n, k]`, plus `bias` `[n]`: `[N, n]` of x's kind.
    pub(super) fn linear(&self, x: &Tensor, (weight, bias): (View, View)) -> Tensor {
        self.product(x, weight, Some(&self.views[bias]), x.kind())
    }

    /// Hidden states `[N, d]` times the transpose of `weight` `[V, d]`, plus `bias` `[V]`: logits `[N, V]`, in fp32 where that costs
    /// nothing.
    /// (Rounded to bf16, continuations of a beam that differ become equal.)
    pub(super) fn logits(&self, hidden: &Tensor, weight: View, bias: Option<View>) -> Tensor {
        self.product(hidden, weight, bias.map(|bias| &self.views[bias]), Kind::Float)
    }

    /// The product, of this kind where the weights are arranged for it and else of x's.
    fn product(&self, x: &Tensor, weight: View, bias: Option<&Tensor>, kind: Kind) -> Tensor {
        if let Some(packed) = self.packed(weight) {
            return packed_linear(x, packed, bias, kind);
        }
        let weight = &self.views[weight];
        few_rows_linear(x, weight, bias).unwrap_or_else(|| x.linear(weight, bias))
    }
}
