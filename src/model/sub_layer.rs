//! The blocks of residual sub-layers: an attention or a feed-forward layer with its normalisation, Admin's multiplier of
//! the skip connection, and FixUp's scalars.

use super::attention::Attention;
use super::config::ModelConfig;
use crate::params::{BlockKind, Layout, View};

pub(super) struct Norm {
    pub(super) scale: View,
    pub(super) bias: View,
}

/// FixUp's scalars of a branch, `[1]` each. (The third, before the branch's last linear layer, is the body's.)
#[derive(Clone, Copy)]
pub(super) struct Fixup {
    pub(super) input_bias: View,
    pub(super) multiplier: View,
}

pub(super) struct SubLayer<Body> {
    pub(super) body: Body,
    pub(super) norm: Option<Norm>,
    pub(super) w_skip: Option<View>,
    pub(super) fixup: Option<Fixup>,
}

pub(super) struct FeedForward {
    pub(super) fc1: (View, View),
    /// FixUp's scalar that is added to the hidden units.
    pub(super) hidden_bias: Option<View>,
    pub(super) fc2: (View, View),
}

pub(super) struct EncoderLayer {
    pub(super) self_attention: SubLayer<Attention>,
    pub(super) ffn: SubLayer<FeedForward>,
}

pub(super) struct DecoderLayer {
    pub(super) self_attention: SubLayer<Attention>,
    pub(super) encoder_attention: SubLayer<Attention>,
    pub(super) ffn: SubLayer<FeedForward>,
}

impl<Body> SubLayer<Body> {
    /// What normalises the branch's input, and what the sum.
    pub(super) fn norms(&self, pre_norm: bool) -> (Option<&Norm>, Option<&Norm>) {
        if pre_norm { (self.norm.as_ref(), None) } else { (None, self.norm.as_ref()) }
    }
}

impl EncoderLayer {
    /// Append the blocks of the layer `name`.
    pub(super) fn add(layout: &mut Layout, config: &ModelConfig, name: &str) -> EncoderLayer {
        EncoderLayer { self_attention: self_attention(layout, config, name), ffn: feed_forward(layout, config, name) }
    }
}

impl DecoderLayer {
    /// Append the blocks of the layer `name`.
    pub(super) fn add(layout: &mut Layout, config: &ModelConfig, name: &str) -> DecoderLayer {
        DecoderLayer {
            self_attention: self_attention(layout, config, name),
            encoder_attention: {
                let (part, heads) = (format!("{name}.encoder_attn"), config.attention_heads);
                let mut attention = Attention::over_encoder(layout, &part, config.embed_dim, heads);
                attention.hidden_bias = hidden_bias(layout, config, &part);
                sub_layer(layout, config, name, "encoder_attn", "encoder_attn_layer_norm", attention)
            },
            ffn: feed_forward(layout, config, name),
        }
    }
}

pub(super) fn norm(layout: &mut Layout, name: &str, d: i64) -> Norm {
    Norm {
        scale: layout.add(&format!("{name}.weight"), &[d], BlockKind::NormScale),
        bias: layout.add(&format!("{name}.bias"), &[d], BlockKind::NormBias),
    }
}

fn sub_layer<Body>(
    layout: &mut Layout,
    config: &ModelConfig,
    layer: &str,
    part: &str,
    norm_name: &str,
    body: Body,
) -> SubLayer<Body> {
    let d = config.embed_dim;
    let norm = config.layer_norm.then(|| norm(layout, &format!("{layer}.{norm_name}"), d));
    let w_skip = config.w_skip.then(|| layout.add(&format!("{layer}.{part}.w_skip"), &[d], BlockKind::SkipScale));
    let fixup = config.fixup.then(|| Fixup {
        input_bias: layout.add(&format!("{layer}.{part}.fixup_input_bias"), &[1], BlockKind::BranchBias),
        multiplier: layout.add(&format!("{layer}.{part}.fixup_multiplier"), &[1], BlockKind::BranchScale),
    });
    SubLayer { body, norm, w_skip, fixup }
}

fn hidden_bias(layout: &mut Layout, config: &ModelConfig, part: &str) -> Option<View> {
    config.fixup.then(|| layout.add(&format!("{part}.fixup_hidden_bias"), &[1], BlockKind::BranchBias))
}

fn self_attention(layout: &mut Layout, config: &ModelConfig, layer: &str) -> SubLayer<Attention> {
    let name = format!("{layer}.self_attn");
    let mut attention = Attention::over_itself(layout, &name, config.embed_dim, config.attention_heads);
    attention.hidden_bias = hidden_bias(layout, config, &name);
    sub_layer(layout, config, layer, "self_attn", "self_attn_layer_norm", attention)
}

fn feed_forward(layout: &mut Layout, config: &ModelConfig, layer: &str) -> SubLayer<FeedForward> {
    let (d, ffn) = (config.embed_dim, config.ffn_dim);
    let linear = |layout: &mut Layout, name: &str, shape: [i64; 2]| {
        let weight = layout.add(&format!("{layer}.{name}.weight"), &shape, BlockKind::Weight);
        (weight, layout.add(&format!("{layer}.{name}.bias"), &shape[..1], BlockKind::Bias))
    };
    let body = FeedForward {
        fc1: linear(layout, "fc1", [ffn, d]),
        fc2: linear(layout, "fc2", [d, ffn]),
        hidden_bias: hidden_bias(layout, config, &format!("{layer}.ffn")),
    };
    sub_layer(layout, config, layer, "ffn", "final_layer_norm", body)
}
