//! FixUp: residual branches that begin at zero.

use tch::Tensor;

use super::xavier::{count, scaled_xavier};
use crate::params::{BlockKind, Layout};

/// θ of FixUp (Zhang, Dauphin, Ma, 2019), `[P]`, fp32: a function of layout and seed. With L residual branches and m
/// weight layers in a branch, the last layer of a branch is 0 and the others are drawn as without FixUp times
/// L^(-1/(2m-2)).
///
/// | blocks | drawn from | times |
/// |---|---|---|
/// | `out_proj`, `fc2`, an output projection of its own | | 0 |
/// | `fc1` | uniform Xavier of gain 1 | L^(-1/2), m = 2 |
/// | `q_proj`, `k_proj`, `v_proj` | uniform Xavier of gain 1/√2 | L^(-1/6), m = 4 |
/// | embeddings, and output projections tied to them | N(0, 1/d), row of the padding 0 | 1 |
/// | biases, FixUp's scalar ones too | | 0 |
/// | FixUp's multipliers | | 1 |
///
/// Attention is read as the authors' code for fairseq reads it: query, key, value and output are four layers, of which the
/// first three are scaled alike. (That code has no bias vectors, and takes L to be 12 for attention over the encoder
/// whatever the model is; here L is every branch. It has three more kinds of scalars: before the ReLU, where here the bias
/// vector of `fc1` is, and on the outputs of encoder and decoder.)
pub fn fixup(layout: &Layout, seed: u64) -> Tensor {
    let last = |name: &str| name.ends_with("out_proj.weight") || name.ends_with(".fc2.weight");
    let branches = count(layout, last) as f64;
    scaled_xavier(layout, seed, |block| match block.kind {
        BlockKind::Bias => 0.0,
        BlockKind::Weight if last(&block.name) => 0.0,
        BlockKind::Weight if block.name.ends_with(".fc1.weight") => branches.powf(-1.0 / 2.0),
        BlockKind::Weight => branches.powf(-1.0 / 6.0),
        BlockKind::Embedding if block.name.ends_with("output_projection.weight") => 0.0,
        _ => 1.0,
    })
}
