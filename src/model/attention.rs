//! Multi-head attention.

use tch::{Kind, Tensor};

use super::layers::{Dropout, plus};
use crate::params::{BlockKind, Layout, View, Views};

/// The blocks of one attention layer. Self-attention reads query, key and value as one matrix `[3d, d]`; attention
/// over the encoder reads the query `[d, d]` alone and key and value as one matrix `[2d, d]`.
#[derive(Debug, Clone)]
pub struct Attention {
    pub(super) query: Option<(View, View)>,
    pub(super) joined: (View, View),
    /// FixUp's scalar that is added to the context.
    pub(super) hidden_bias: Option<View>,
    pub(super) out: (View, View),
    pub(super) heads: i64,
    d: i64,
}

/// Keys and values, each `[B, heads, S, d/heads]`.
pub struct KeysValues {
    /// Keys.
    pub keys: Tensor,
    /// Values.
    pub values: Tensor,
}

impl Attention {
    /// Self-attention: blocks `{name}.{q,k,v,out}_proj.{weight,bias}`.
    pub fn over_itself(layout: &mut Layout, name: &str, d: i64, heads: i64) -> Attention {
        let joined = linear_blocks(layout, name, &["q_proj", "k_proj", "v_proj"], d);
        let out = linear_blocks(layout, name, &["out_proj"], d);
        Attention { query: None, joined, hidden_bias: None, out, heads, d }
    }

    /// Attention over the encoder's output, blocks named likewise.
    pub fn over_encoder(layout: &mut Layout, name: &str, d: i64, heads: i64) -> Attention {
        let query = Some(linear_blocks(layout, name, &["q_proj"], d));
        let joined = linear_blocks(layout, name, &["k_proj", "v_proj"], d);
        let out = linear_blocks(layout, name, &["out_proj"], d);
        Attention { query, joined, hidden_bias: None, out, heads, d }
    }

    /// `[B·T, d]` to query `[B, heads, T, d/heads]`, scaled, and with it, for self-attention, its keys and values.
    pub fn project_self(&self, views: &Views, x: &Tensor, b: i64, t: i64) -> (Tensor, KeysValues) {
        let qkv = x.linear(&views[self.joined.0], Some(&views[self.joined.1])); // [B·T, 3d]
        let parts = self.heads_of(&qkv, b, t, 3);
        (&parts[0] * self.scale(), KeysValues { keys: parts[1].shallow_clone(), values: parts[2].shallow_clone() })
    }

    /// The query of attention over the encoder, `[B, heads, T, d/heads]`, scaled.
    pub fn project_query(&self, views: &Views, x: &Tensor, b: i64, t: i64) -> Tensor {
        let (weight, bias) = self.query.unwrap_or(self.joined);
        let q = x.linear(&views[weight], Some(&views[bias])); // [B·T, d]
        &self.heads_of(&q, b, t, 1)[0] * self.scale()
    }

    /// Keys and values of the encoder's output `[B·S, d]`.
    pub fn project_memory(&self, views: &Views, memory: &Tensor, b: i64, s: i64) -> KeysValues {
        let kv = memory.linear(&views[self.joined.0], Some(&views[self.joined.1])); // [B·S, 2d]
        let parts = self.heads_of(&kv, b, s, 2);
        KeysValues { keys: parts[0].shallow_clone(), values: parts[1].shallow_clone() }
    }

    /// Attend and project: query `[B, heads, T, d/heads]` to `[B·T, d]`. `mask` is added to the scores
    /// (`-inf` where it is forbidden to look) and broadcasts to `[B, heads, T, S]`.
    pub fn attend(
        &self,
        views: &Views,
        query: &Tensor,
        memory: &KeysValues,
        mask: Option<&Tensor>,
        dropout: (&Dropout, f64),
    ) -> Tensor {
        self.project_context(views, &self.probabilities(query, memory, mask), memory, dropout)
    }

    /// Where each head looks: query `[B, heads, T, d/heads]` to `[B, heads, T, S]`, each row adding up to 1; `mask` as in
    /// [`Attention::attend`].
    pub fn probabilities(&self, query: &Tensor, memory: &KeysValues, mask: Option<&Tensor>) -> Tensor {
        let mut scores = query.matmul(&memory.keys.transpose(-2, -1)); // [B, heads, T, S]
        if let Some(mask) = mask {
            scores += mask;
        }
        scores.softmax(-1, Kind::Float).to_kind(query.kind())
    }

    /// What is found there, projected: probabilities `[B, heads, T, S]` to `[B·T, d]`.
    pub fn project_context(
        &self,
        views: &Views,
        probabilities: &Tensor,
        memory: &KeysValues,
        dropout: (&Dropout, f64),
    ) -> Tensor {
        let probabilities = dropout.0.apply(probabilities, dropout.1);
        let context = probabilities.matmul(&memory.values); // [B, heads, T, d/heads]
        let context = context.transpose(1, 2).reshape([-1, self.d]); // [B·T, d]
        plus(views, &context, self.hidden_bias).linear(&views[self.out.0], Some(&views[self.out.1]))
    }

    fn scale(&self) -> f64 {
        ((self.d / self.heads) as f64).powf(-0.5)
    }

    /// `[B·T, parts·d]` to `parts` tensors `[B, heads, T, d/heads]`.
    fn heads_of(&self, x: &Tensor, b: i64, t: i64, parts: i64) -> Vec<Tensor> {
        let x = x.view([b, t, parts, self.heads, self.d / self.heads]);
        x.unbind(2).iter().map(|part| part.transpose(1, 2)).collect()
    }
}

/// The weights (joined) and biases (joined) of linear layers `[d, d]`.
fn linear_blocks(layout: &mut Layout, name: &str, parts: &[&str], d: i64) -> (View, View) {
    let names = |suffix: &str| parts.iter().map(|part| format!("{name}.{part}.{suffix}")).collect::<Vec<_>>();
    let (weights, biases) = (names("weight"), names("bias"));
    let weights: Vec<&str> = weights.iter().map(String::as_str).collect();
    let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
    (layout.add_joined(&weights, &[d, d], BlockKind::Weight), layout.add_joined(&biases, &[d], BlockKind::Bias))
}
