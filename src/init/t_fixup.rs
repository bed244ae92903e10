//! T-FixUp: the Transformer without layer normalisation that trains without warmup.

use tch::Tensor;

use super::xavier::{count, scaled_xavier};
use crate::params::{BlockKind, Layout};

/// θ of T-FixUp (Huang et al., 2020, section 3.2), `[P]`, fp32: a function of layout and seed.
///
/// | blocks | drawn from | times |
/// |---|---|---|
/// | input embeddings, both | N(0, 1/d), row of the padding 0 | (9 N)^(-1/4) |
/// | `v_proj`, `out_proj`, `fc1`, `fc2` of the decoder, both attentions | uniform Xavier of gain 1 | (9 N)^(-1/4) |
/// | `v_proj`, `out_proj`, `fc1`, `fc2` of the encoder | uniform Xavier of gain 1 | 0.67 M^(-1/4) |
/// | `q_proj`, `k_proj` | uniform Xavier of gain 1/√2 | 1 |
/// | an output projection of its own | N(0, 1/d) | 1 |
/// | biases of `q_proj`, `k_proj`, `v_proj` | uniform in ±1/√d | 1 |
/// | other biases | 0 | |
///
/// for M layers of the encoder and N of the decoder. Where the paper only says Xavier, this is what the authors' code
/// does: there query and key keep fairseq's gain of 1/√2, and value gets rid of it. (The code scales the encoder's table
/// by M, the paper has one N; a table that is also the output projection is scaled in both.)
pub fn t_fixup(layout: &Layout, seed: u64) -> Tensor {
    let layers = |stack: &str| count(layout, |name| name.starts_with(stack) && name.ends_with(".fc2.weight")) as f64;
    let (encoder, decoder) = (0.67 * layers("encoder.").powf(-0.25), (9.0 * layers("decoder.")).powf(-0.25));
    scaled_xavier(layout, seed, |block| {
        let scaled = ["v_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight"];
        let of_encoder = block.name.starts_with("encoder.");
        match block.kind {
            BlockKind::Embedding if block.name.ends_with("embed_tokens.weight") => decoder,
            // fairseq's gain of 1/√2 is undone.
            BlockKind::Weight if scaled.iter().any(|name| block.name.ends_with(name)) => {
                let gain = if block.name.ends_with("v_proj.weight") { 2f64.sqrt() } else { 1.0 };
                gain * if of_encoder { encoder } else { decoder }
            }
            _ => 1.0,
        }
    })
}
