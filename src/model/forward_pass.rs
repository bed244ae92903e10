//! The Transformer forwards on a processor, without a graph and without padding: what the training pass and the search
//! have in common.
//!
//! The functions of `transformer.rs` say what is computed; here every memory pass does all it can ([`crate::kernels`]).

use std::ops::Range;

use tch::Tensor;

use super::attention::Attention;
use super::config::Activation;
use super::layers::{Dropout, activate};
use super::packed::Sentences;
use super::sub_layer::{FeedForward, Norm, SubLayer};
use super::transformer::Transformer;
use super::weights::Weights;
use crate::kernels::{AttentionShape, Heads, Mask, Normed, Sum, attention, embed, relu_dropout, sum_norm};
use crate::params::View;

/// A pass over one batch.
pub(super) struct Forward<'a> {
    pub(super) model: &'a Transformer,
    pub(super) weights: &'a Weights,
    pub(super) dropout: Dropout,
}

/// What a residual sub-layer leaves for its backward pass.
pub(super) struct Residual<Inner> {
    /// Its input, `[N, d]`.
    pub(super) x: Tensor,
    /// Pre-LN: the normalised input.
    pub(super) before: Option<Normed>,
    /// The branch's output before FixUp's multiplier, `[N, d]`.
    pub(super) branch: Tensor,
    pub(super) mask: Option<Mask>,
    /// The sum and, Post-LN, what normalised it.
    pub(super) after: Normed,
    pub(super) inner: Inner,
}

/// What attention leaves: the projected queries (and, over itself, keys and values), and the context, FixUp's scalar
/// added.
pub(super) struct Attended {
    pub(super) queries: Tensor,
    pub(super) context: Tensor,
    pub(super) mask: Option<Mask>,
}

/// What a feed-forward layer leaves: its hidden units after activation and dropout.
pub(super) struct FedForward {
    pub(super) hidden: Tensor,
    pub(super) mask: Option<Mask>,
}

impl<'a> Forward<'a> {
    /// A pass with these weights.
    pub(super) fn new(model: &'a Transformer, weights: &'a Weights, dropout: Dropout) -> Forward<'a> {
        Forward { model, weights, dropout }
    }

    /// The encoder's output over `source`, `[N, d]`, what normalised it last, and the mask of the embedding. What the
    /// layers leave for the backward pass goes to `keep`.
    pub(super) fn encode(
        &self,
        source: &Sentences,
        mut keep: impl FnMut((Residual<Attended>, Residual<FedForward>)),
    ) -> (Tensor, Option<Normed>, Option<Mask>) {
        let (mut x, mask) = self.embed(self.model.source_embedding, &source.ids, &source.positions);
        for layer in &self.model.encoder {
            let (y, attended) =
                self.residual(&layer.self_attention, x, |layer, x| self.attend_itself(layer, x, source, false));
            let (y, fed) = self.residual(&layer.ffn, y, |ffn, x| self.feed_forward(ffn, x));
            x = y;
            keep((attended, fed));
        }
        let (output, norm) = self.final_norm(x, self.model.encoder_norm.as_ref());
        (output, norm, mask)
    }

    pub(super) fn embed(&self, table: View, ids: &[i64], positions: &[i64]) -> (Tensor, Option<Mask>) {
        let mask = self.dropout.next_mask(self.model.config.dropout);
        let scale = (self.model.config.embed_dim as f32).sqrt();
        let words = &self.weights.views[table];
        (embed(words, &self.model.positions, ids, positions, scale, mask), mask)
    }

    pub(super) fn norm<'b>(&'b self, norm: &Norm) -> (&'b Tensor, &'b Tensor) {
        (&self.weights.vectors[norm.scale], &self.weights.vectors[norm.bias])
    }

    pub(super) fn residual<Body, Inner>(
        &self,
        layer: &SubLayer<Body>,
        x: Tensor,
        branch: impl FnOnce(&Body, &Tensor) -> (Tensor, Inner),
    ) -> (Tensor, Residual<Inner>) {
        let (pre, post) = layer.norms(self.model.config.pre_norm);
        let before = pre.map(|norm| sum_norm(Sum::normalised(&x, self.norm(norm))));
        let shifted = layer.fixup.map(|fixup| &x + self.scalar(fixup.input_bias));
        let input = before.as_ref().map(|normed| &normed.out).or(shifted.as_ref()).unwrap_or(&x);
        let (branch, inner) = branch(&layer.body, input);
        let mask = self.dropout.next_mask(self.model.config.dropout);
        let skip = layer.w_skip.map(|skip| &self.weights.vectors[skip]);
        let scaled = layer.fixup.map(|fixup| &branch * self.scalar(fixup.multiplier));
        let norm = post.map(|norm| self.norm(norm));
        let mut after = sum_norm(Sum { x: &x, skip, branch: scaled.as_ref().or(Some(&branch)), mask, norm });
        let out = std::mem::replace(&mut after.out, Tensor::new());
        (out, Residual { x, before, branch, mask, after, inner })
    }

    /// One of FixUp's scalars.
    pub(super) fn scalar(&self, view: View) -> f64 {
        self.weights.vectors[view].double_value(&[0])
    }

    /// `x` plus one of FixUp's scalars, where there is one.
    pub(super) fn plus(&self, x: Tensor, scalar: Option<View>) -> Tensor {
        match scalar {
            Some(scalar) => x + self.scalar(scalar),
            None => x,
        }
    }

    pub(super) fn final_norm(&self, x: Tensor, norm: Option<&Norm>) -> (Tensor, Option<Normed>) {
        let Some(norm) = norm else { return (x, None) };
        let normed = sum_norm(Sum::normalised(&x, self.norm(norm)));
        (normed.out.shallow_clone(), Some(normed))
    }

    pub(super) fn linear(&self, x: &Tensor, layer: (View, View)) -> Tensor {
        self.weights.linear(x, layer)
    }

    pub(super) fn shape<'b>(
        &self,
        attention: &Attention,
        queries: &'b [Range<usize>],
        keys: &'b Sentences,
        causal: bool,
        mask: Option<Mask>,
    ) -> AttentionShape<'b> {
        let heads = attention.heads as usize;
        AttentionShape {
            heads,
            head_width: self.model.config.embed_dim as usize / heads,
            queries,
            keys: &keys.rows,
            longest: keys.longest,
            causal,
            mask,
        }
    }

    pub(super) fn attend_itself(
        &self,
        layer: &Attention,
        x: &Tensor,
        sentences: &Sentences,
        causal: bool,
    ) -> (Tensor, Attended) {
        let d = self.model.config.embed_dim as usize;
        let queries = self.linear(x, layer.joined); // [N, 3d]
        let mask = self.dropout.next_mask(self.model.config.attention_dropout);
        let shape = self.shape(layer, &sentences.rows, sentences, causal, mask);
        let part = |number| Heads { rows: &queries, offset: number * d };
        let context = self.plus(attention(&shape, &part(0), &part(1), &part(2)), layer.hidden_bias); // [N, d]
        (self.linear(&context, layer.out), Attended { queries, context, mask })
    }

    pub(super) fn attend_encoder(
        &self,
        layer: &Attention,
        x: &Tensor,
        sentences: &Sentences,
        memory: &Tensor,
        source: &Sentences,
    ) -> (Tensor, (Attended, Tensor)) {
        let kv = self.linear(memory, layer.joined); // [S, 2d]
        let (out, attended) = self.attend_memory(layer, x, &sentences.rows, &kv, source);
        (out, (attended, kv))
    }

    /// Attention of sentences, of which these are the rows, over the keys and values `kv` `[S, 2d]` of `source`.
    pub(super) fn attend_memory(
        &self,
        layer: &Attention,
        x: &Tensor,
        sentences: &[Range<usize>],
        kv: &Tensor,
        source: &Sentences,
    ) -> (Tensor, Attended) {
        let d = self.model.config.embed_dim as usize;
        let queries = self.linear(x, layer.query.unwrap_or(layer.joined)); // [N, d]
        let mask = self.dropout.next_mask(self.model.config.attention_dropout);
        let shape = self.shape(layer, sentences, source, false, mask);
        let part = |number| Heads { rows: kv, offset: number * d };
        let context = attention(&shape, &Heads { rows: &queries, offset: 0 }, &part(0), &part(1)); // [N, d]
        let context = self.plus(context, layer.hidden_bias);
        (self.linear(&context, layer.out), Attended { queries, context, mask })
    }

    pub(super) fn feed_forward(&self, layer: &FeedForward, x: &Tensor) -> (Tensor, FedForward) {
        let mut hidden = self.linear(x, layer.fc1); // [N, ffn]
        let mask = self.dropout.next_mask(self.model.config.relu_dropout);
        match self.model.config.activation {
            Activation::Relu => relu_dropout(&mut hidden, mask),
            // Of a search, which drops nothing: training has no such pass.
            other => hidden = activate(other, &hidden),
        }
        let shifted = self.plus(hidden.shallow_clone(), layer.hidden_bias);
        (self.linear(&shifted, layer.fc2), FedForward { hidden, mask })
    }
}
