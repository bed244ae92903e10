//! The Transformer's training pass on a processor: loss and gradient without a graph, without padding.
//!
//! The functions of `transformer.rs` say what is computed; here the same is computed forwards and backwards by hand, so
//! that every memory pass does all it can ([`crate::kernels`]), sentences lie one after the other, and no mask is
//! stored. Tests hold the two against each other, dropout included.

use tch::{Device, Kind, Tensor, no_grad};

use super::attention::Attention;
use super::batch::TranslationBatch;
use super::forward_pass::{Attended, FedForward, Forward, Residual};
use super::layers::Dropout;
use super::packed::{PackedBatch, Sentences};
use super::sub_layer::{FeedForward, Norm, SubLayer};
use super::transformer::Transformer;
use crate::kernels::{
    Heads, Mask, NormSums, Normed, Sum, attention_backward, column_sums, cross_entropy, embed_backward,
    relu_dropout_backward, sum_norm_backward,
};
use crate::params::{View, Views};
use crate::task::{Loss, Mode, Task};

/// Logits that are worked on at a time.
const CHUNK_ELEMENTS: usize = 1 << 25;

/// A pass over one batch: the forward pass, and the sums of the parameters' gradients, fp32.
struct Pass<'a> {
    forward: Forward<'a>,
    sums: Views,
}

/// Loss and gradient of `batch` at `theta`.
pub fn gradient(model: &Transformer, theta: &Tensor, batch: &TranslationBatch, mode: Mode) -> (Loss, Tensor) {
    no_grad(|| {
        let layout = model.layout();
        let theta = theta.detach();
        let gradient = Tensor::zeros([layout.total()], (Kind::Float, Device::Cpu));
        let weights = model.weights(&theta, mode.compute);
        let forward = Forward::new(model, &weights, Dropout::seeded(mode.dropout()));
        let pass = Pass { forward, sums: layout.views(&gradient) };
        let (sum, nll) = pass.run(&batch.packed);
        let scalar = |value: f64| Tensor::from(value).to_kind(Kind::Float);
        (Loss { sum: scalar(sum), nll: scalar(nll), count: batch.tokens() }, gradient)
    })
}

impl Pass<'_> {
    fn run(&self, batch: &PackedBatch) -> (f64, f64) {
        let model = self.forward.model;
        let (source, previous) = (&batch.source, &batch.previous_output);

        // Forwards.
        let mut encoder = Vec::with_capacity(model.encoder.len());
        let (memory, encoder_norm, source_mask) = self.forward.encode(source, |layer| encoder.push(layer));

        let (mut x, target_mask) = self.forward.embed(model.target_embedding, &previous.ids, &previous.positions);
        let mut decoder = Vec::with_capacity(model.decoder.len());
        for layer in &model.decoder {
            let (y, attended) = self.forward.residual(&layer.self_attention, x, |attention, x| {
                self.forward.attend_itself(attention, x, previous, true)
            });
            let (y, read) = self.forward.residual(&layer.encoder_attention, y, |attention, x| {
                self.forward.attend_encoder(attention, x, previous, &memory, source)
            });
            let (y, fed) = self.forward.residual(&layer.ffn, y, |ffn, x| self.forward.feed_forward(ffn, x));
            x = y;
            decoder.push((attended, read, fed));
        }
        let (hidden, decoder_norm) = self.forward.final_norm(x, model.decoder_norm.as_ref());

        // The loss, and backwards.
        let (mut dx, loss, nll) = self.loss(&hidden, &batch.target);
        drop(hidden);
        dx = self.final_norm_backward(dx, decoder_norm, model.decoder_norm.as_ref());
        let mut d_memory = memory.zeros_like();
        for (layer, (attended, read, fed)) in model.decoder.iter().zip(decoder).rev() {
            dx = self.residual_backward(&layer.ffn, fed, dx, |ffn, fed, x, dy, dx| {
                self.feed_forward_backward(ffn, fed, x, dy, dx);
            });
            dx = self.residual_backward(&layer.encoder_attention, read, dx, |attention, (read, kv), x, dy, dx| {
                let over = (previous, source);
                self.attend_encoder_backward(attention, (read, kv), x, &memory, over, dy, (dx, &mut d_memory));
            });
            dx = self.residual_backward(&layer.self_attention, attended, dx, |attention, attended, x, dy, dx| {
                self.attend_itself_backward(attention, attended, x, previous, true, dy, dx);
            });
        }
        self.embed_backward(model.target_embedding, previous, target_mask, &dx);
        dx = self.final_norm_backward(d_memory, encoder_norm, model.encoder_norm.as_ref());
        for (layer, (attended, fed)) in model.encoder.iter().zip(encoder).rev() {
            dx = self.residual_backward(&layer.ffn, fed, dx, |ffn, fed, x, dy, dx| {
                self.feed_forward_backward(ffn, fed, x, dy, dx);
            });
            dx = self.residual_backward(&layer.self_attention, attended, dx, |attention, attended, x, dy, dx| {
                self.attend_itself_backward(attention, attended, x, source, false, dy, dx);
            });
        }
        self.embed_backward(model.source_embedding, source, source_mask, &dx);
        (loss, nll)
    }

    // Embeddings.

    fn embed_backward(&self, table: View, sentences: &Sentences, mask: Option<Mask>, dx: &Tensor) {
        let scale = (self.forward.model.config.embed_dim as f32).sqrt();
        embed_backward(dx, &sentences.ids, scale, mask, &mut self.sums[table].shallow_clone());
    }

    // Residual sub-layers: LN(w_skip · x + f(x)) (Post-LN), w_skip · x + f(LN(x)) (Pre-LN), w_skip · x + f(x), or FixUp's
    // w_skip · x + multiplier · f(x + bias).

    /// The gradient of a sub-layer's input. `branch` is given what the branch left, the branch's input, the gradient of
    /// its output, and the gradient of its input to add to.
    fn residual_backward<Body, Inner>(
        &self,
        layer: &SubLayer<Body>,
        saved: Residual<Inner>,
        d_out: Tensor,
        branch: impl FnOnce(&Body, Inner, &Tensor, &Tensor, &mut Tensor),
    ) -> Tensor {
        let Residual { x, before, branch: output, mask, after, inner } = saved;
        let skip = layer.w_skip.map(|skip| &self.forward.weights.vectors[skip]);
        let mut d_skip = layer.w_skip.map(|skip| self.sums[skip].shallow_clone());
        let (pre, post) = layer.norms(self.forward.model.config.pre_norm);
        let mut d_norm = layer.norm.as_ref().map(|norm| self.norm_sums(norm));
        let norm = post.map(|norm| self.forward.norm(norm));
        let d_post = d_norm.as_mut().filter(|_| post.is_some()).map(|sums| (&mut sums.0, &mut sums.1));
        let sums = NormSums { norm: d_post, skip: d_skip.as_mut() };
        let sum = Sum { x: &x, skip, branch: Some(&output), mask, norm };
        let (mut dx, d_branch) = sum_norm_backward(sum, &after, &d_out, sums);
        let Some(mut d_branch) = d_branch else { return dx };
        drop((after, d_out));
        if let Some(fixup) = layer.fixup {
            self.add_sum(fixup.multiplier, &(&d_branch * &output));
            d_branch *= self.forward.scalar(fixup.multiplier);
        }
        drop(output);
        if let (Some(before), Some(norm)) = (before, pre) {
            let mut d_normed = x.zeros_like();
            branch(&layer.body, inner, &before.out, &d_branch, &mut d_normed);
            let sum = Sum::normalised(&x, self.forward.norm(norm));
            let sums = NormSums { norm: d_norm.as_mut().map(|sums| (&mut sums.0, &mut sums.1)), skip: None };
            dx += sum_norm_backward(sum, &before, &d_normed, sums).0;
        } else if let Some(fixup) = layer.fixup {
            let mut d_input = x.zeros_like();
            let input = &x + self.forward.scalar(fixup.input_bias);
            branch(&layer.body, inner, &input, &d_branch, &mut d_input);
            self.add_sum(fixup.input_bias, &d_input);
            dx += d_input;
        } else {
            branch(&layer.body, inner, &x, &d_branch, &mut dx);
        }
        dx
    }

    /// Where the gradients of a normalisation are added to.
    fn norm_sums(&self, norm: &Norm) -> (Tensor, Tensor) {
        (self.sums[norm.scale].shallow_clone(), self.sums[norm.bias].shallow_clone())
    }

    /// Add the sum of all elements of `d` `[N, width]` to the gradient of one of FixUp's scalars.
    fn add_sum(&self, scalar: View, d: &Tensor) {
        let mut columns = Tensor::zeros([d.size()[1]], (Kind::Float, Device::Cpu));
        column_sums(d, &mut columns);
        let mut gradient = self.sums[scalar].shallow_clone();
        gradient += columns.sum(Kind::Double);
    }

    fn final_norm_backward(&self, d_out: Tensor, normed: Option<Normed>, norm: Option<&Norm>) -> Tensor {
        let (Some(normed), Some(norm)) = (normed, norm) else { return d_out };
        let mut sums = self.norm_sums(norm);
        let sum = Sum::normalised(&normed.sum, self.forward.norm(norm));
        sum_norm_backward(sum, &normed, &d_out, NormSums { norm: Some((&mut sums.0, &mut sums.1)), skip: None }).0
    }

    // Linear layers.

    /// Adds to the gradients of weight and bias, and to that of the input, `dx`.
    fn linear_backward(&self, x: &Tensor, dy: &Tensor, (weight, bias): (View, View), dx: Option<&mut Tensor>) {
        let mut d_weight = self.sums[weight].shallow_clone();
        d_weight += dy.tr().mm(x); // [out, N] · [N, in]
        column_sums(dy, &mut self.sums[bias].shallow_clone());
        if let Some(dx) = dx {
            let _ = dx.addmm_(dy, &self.forward.weights.views[weight]); // [N, out] · [out, in]
        }
    }

    // Attention.

    #[allow(clippy::too_many_arguments)] // The forward pass's, and two gradients.
    fn attend_itself_backward(
        &self,
        layer: &Attention,
        saved: Attended,
        x: &Tensor,
        sentences: &Sentences,
        causal: bool,
        dy: &Tensor,
        dx: &mut Tensor,
    ) {
        let d = self.forward.model.config.embed_dim as usize;
        let d_context = dy.mm(&self.forward.weights.views[layer.out.0]); // [N, d]
        if let Some(bias) = layer.hidden_bias {
            self.add_sum(bias, &d_context);
        }
        self.linear_backward(&saved.context, dy, layer.out, None);
        let shape = self.forward.shape(layer, &sentences.rows, sentences, causal, saved.mask);
        let part = |number| Heads { rows: &saved.queries, offset: number * d };
        let mut d_queries = saved.queries.empty_like(); // [N, 3d]
        attention_backward(&shape, &part(0), &part(1), &part(2), &d_context, &mut d_queries, None);
        self.linear_backward(x, &d_queries, layer.joined, Some(dx));
    }

    #[allow(clippy::too_many_arguments)] // The forward pass's, and three gradients.
    fn attend_encoder_backward(
        &self,
        layer: &Attention,
        (saved, kv): (Attended, Tensor),
        x: &Tensor,
        memory: &Tensor,
        (sentences, source): (&Sentences, &Sentences),
        dy: &Tensor,
        (dx, d_memory): (&mut Tensor, &mut Tensor),
    ) {
        let d = self.forward.model.config.embed_dim as usize;
        let d_context = dy.mm(&self.forward.weights.views[layer.out.0]); // [N, d]
        if let Some(bias) = layer.hidden_bias {
            self.add_sum(bias, &d_context);
        }
        self.linear_backward(&saved.context, dy, layer.out, None);
        let shape = self.forward.shape(layer, &sentences.rows, source, false, saved.mask);
        let part = |number| Heads { rows: &kv, offset: number * d };
        let (mut d_queries, mut d_kv) = (saved.queries.empty_like(), kv.empty_like());
        let query = Heads { rows: &saved.queries, offset: 0 };
        attention_backward(&shape, &query, &part(0), &part(1), &d_context, &mut d_queries, Some(&mut d_kv));
        self.linear_backward(x, &d_queries, layer.query.unwrap_or(layer.joined), Some(dx));
        self.linear_backward(memory, &d_kv, layer.joined, Some(d_memory));
    }

    // Feed-forward layers.

    fn feed_forward_backward(&self, layer: &FeedForward, saved: FedForward, x: &Tensor, dy: &Tensor, dx: &mut Tensor) {
        let mut d_hidden = dy.mm(&self.forward.weights.views[layer.fc2.0]); // [N, ffn]
        if let Some(bias) = layer.hidden_bias {
            self.add_sum(bias, &d_hidden);
        }
        let shifted = self.forward.plus(saved.hidden.shallow_clone(), layer.hidden_bias);
        self.linear_backward(&shifted, dy, layer.fc2, None);
        drop(shifted);
        relu_dropout_backward(&saved.hidden, &mut d_hidden, saved.mask);
        self.linear_backward(x, &d_hidden, layer.fc1, Some(dx));
    }

    /// The gradient of the last hidden states, the loss and the negative log-likelihood.
    fn loss(&self, hidden: &Tensor, target: &[i64]) -> (Tensor, f64, f64) {
        let table = &self.forward.weights.views[self.forward.model.output_projection]; // [V, d]
        let mut d_table = self.sums[self.forward.model.output_projection].shallow_clone();
        let d_hidden = hidden.empty_like();
        let (rows, symbols) = (target.len(), table.size()[0] as usize);
        let chunks = (rows * symbols).div_ceil(CHUNK_ELEMENTS).max(1);
        let (mut loss, mut nll) = (0.0, 0.0);
        for chunk in 0..chunks {
            let here = rows * chunk / chunks..rows * (chunk + 1) / chunks;
            let (start, length) = (here.start as i64, here.len() as i64);
            let part = hidden.narrow(0, start, length); // [c, d]
            let mut logits = part.mm(&table.tr()); // [c, V]
            let found = cross_entropy(&mut logits, &target[here], self.forward.model.label_smoothing, true);
            (loss, nll) = (loss + found.0, nll + found.1);
            d_hidden.narrow(0, start, length).copy_(&logits.mm(table));
            d_table += logits.tr().mm(&part); // [V, c] · [c, d]
        }
        (d_hidden, loss, nll)
    }
}
