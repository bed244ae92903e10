//! The Transformer's training pass on a processor: loss and gradient without a graph, without padding.
//!
//! The functions of `transformer.rs` say what is computed; here the same is computed forwards and backwards by hand, so
//! that every memory pass does all it can ([`crate::kernels`]), sentences lie one after the other, and no mask is
//! stored. Tests hold the two against each other, dropout included.

use tch::{Device, Kind, Tensor, no_grad};

use super::attention::Attention;
use super::layers::Dropout;
use super::transformer::{FeedForward, Norm, SubLayer, Transformer, TranslationBatch};
use crate::data::{Batch, PAD};
use crate::kernels::{
    AttentionShape, Heads, Mask, NormSums, Normed, Sum, attention, attention_backward, column_sums, cross_entropy,
    embed, embed_backward, relu_dropout, relu_dropout_backward, sum_norm, sum_norm_backward,
};
use crate::params::{View, Views};
use crate::task::{Loss, Mode, Task};

/// Logits that are worked on at a time.
const CHUNK_ELEMENTS: usize = 1 << 25;

/// Sentences one after the other.
struct Sentences {
    ids: Vec<i64>,
    /// Rows of the position table.
    positions: Vec<i64>,
    /// Where every sentence begins, and the end of the last.
    starts: Vec<usize>,
    longest: usize,
}

impl Sentences {
    /// The rows of a rectangle of `width` columns without its padding, which `real` says is none.
    fn new(rectangle: &[i64], width: usize, real: impl Fn(usize) -> bool) -> Sentences {
        let mut sentences = Sentences { ids: Vec::new(), positions: Vec::new(), starts: vec![0], longest: 0 };
        for row in 0..rectangle.len() / width.max(1) {
            let mut position = PAD;
            for at in (row * width..(row + 1) * width).filter(|&at| real(at)) {
                position += 1;
                sentences.ids.push(rectangle[at]);
                sentences.positions.push(position);
            }
            sentences.longest = sentences.longest.max((position - PAD) as usize);
            sentences.starts.push(sentences.ids.len());
        }
        sentences
    }
}

/// A batch without padding.
pub struct PackedBatch {
    source: Sentences,
    previous_output: Sentences,
    target: Vec<i64>,
}

impl PackedBatch {
    /// The sentences of `batch`.
    pub fn new(batch: &Batch) -> PackedBatch {
        PackedBatch {
            source: Sentences::new(&batch.source, batch.s, |at| batch.source[at] != PAD),
            previous_output: Sentences::new(&batch.previous_output, batch.t, |at| batch.target[at] != PAD),
            target: batch.target.iter().copied().filter(|&id| id != PAD).collect(),
        }
    }
}

/// A pass over one batch: parameters, and the sums of their gradients.
struct Pass<'a> {
    model: &'a Transformer,
    /// θ in the precision of the activations.
    views: Views,
    /// θ in fp32, for what is not a matrix.
    vectors: Views,
    /// The gradient, fp32.
    sums: Views,
    dropout: Dropout,
}

/// What a residual sub-layer leaves for its backward pass.
struct Residual<Inner> {
    /// Its input, `[N, d]`.
    x: Tensor,
    /// Pre-LN: the normalised input.
    before: Option<Normed>,
    /// The branch's output, `[N, d]`.
    branch: Tensor,
    mask: Option<Mask>,
    /// The sum and, Post-LN, what normalised it.
    after: Normed,
    inner: Inner,
}

/// What attention leaves: the projected queries (and, over itself, keys and values), and the context.
struct Attended {
    queries: Tensor,
    context: Tensor,
    mask: Option<Mask>,
}

/// What a feed-forward layer leaves: its hidden units after ReLU and dropout.
struct FedForward {
    hidden: Tensor,
    mask: Option<Mask>,
}

/// Loss and gradient of `batch` at `theta`.
pub fn gradient(model: &Transformer, theta: &Tensor, batch: &TranslationBatch, mode: Mode) -> (Loss, Tensor) {
    no_grad(|| {
        let layout = model.layout();
        let theta = theta.detach();
        let gradient = Tensor::zeros([layout.total()], (Kind::Float, Device::Cpu));
        let pass = Pass {
            model,
            views: model.views(&theta, mode.compute),
            vectors: layout.views(&theta),
            sums: layout.views(&gradient),
            dropout: Dropout::seeded(mode.dropout),
        };
        let (sum, nll) = pass.run(&batch.packed);
        let scalar = |value: f64| Tensor::from(value).to_kind(Kind::Float);
        (Loss { sum: scalar(sum), nll: scalar(nll), count: batch.tokens() }, gradient)
    })
}

impl Pass<'_> {
    fn run(&self, batch: &PackedBatch) -> (f64, f64) {
        let model = self.model;
        let (source, previous) = (&batch.source, &batch.previous_output);

        // Forwards.
        let (mut x, source_mask) = self.embed(model.source_embedding, source);
        let mut encoder = Vec::with_capacity(model.encoder.len());
        for layer in &model.encoder {
            let (y, attended) =
                self.residual(&layer.self_attention, x, |attention, x| self.attend_itself(attention, x, source, false));
            let (y, fed) = self.residual(&layer.ffn, y, |ffn, x| self.feed_forward(ffn, x));
            x = y;
            encoder.push((attended, fed));
        }
        let (memory, encoder_norm) = self.final_norm(x, model.final_norms.as_ref().map(|norms| &norms.0));

        let (mut x, target_mask) = self.embed(model.target_embedding, previous);
        let mut decoder = Vec::with_capacity(model.decoder.len());
        for layer in &model.decoder {
            let (y, attended) = self
                .residual(&layer.self_attention, x, |attention, x| self.attend_itself(attention, x, previous, true));
            let (y, read) = self.residual(&layer.encoder_attention, y, |attention, x| {
                self.attend_encoder(attention, x, previous, &memory, source)
            });
            let (y, fed) = self.residual(&layer.ffn, y, |ffn, x| self.feed_forward(ffn, x));
            x = y;
            decoder.push((attended, read, fed));
        }
        let (hidden, decoder_norm) = self.final_norm(x, model.final_norms.as_ref().map(|norms| &norms.1));

        // The loss, and backwards.
        let (mut dx, loss, nll) = self.loss(&hidden, &batch.target);
        drop(hidden);
        dx = self.final_norm_backward(dx, decoder_norm, model.final_norms.as_ref().map(|norms| &norms.1));
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
        dx = self.final_norm_backward(d_memory, encoder_norm, model.final_norms.as_ref().map(|norms| &norms.0));
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

    fn embed(&self, table: View, sentences: &Sentences) -> (Tensor, Option<Mask>) {
        let mask = self.dropout.next_mask(self.model.config.dropout);
        let scale = (self.model.config.embed_dim as f32).sqrt();
        let positions = &self.model.positions;
        (embed(&self.views[table], positions, &sentences.ids, &sentences.positions, scale, mask), mask)
    }

    fn embed_backward(&self, table: View, sentences: &Sentences, mask: Option<Mask>, dx: &Tensor) {
        let scale = (self.model.config.embed_dim as f32).sqrt();
        embed_backward(dx, &sentences.ids, scale, mask, &mut self.sums[table].shallow_clone());
    }

    // Residual sub-layers: LN(w_skip · x + f(x)) (Post-LN) or w_skip · x + f(LN(x)) (Pre-LN).

    fn norm<'b>(&'b self, norm: &Norm) -> (&'b Tensor, &'b Tensor) {
        (&self.vectors[norm.scale], &self.vectors[norm.bias])
    }

    fn residual<Body, Inner>(
        &self,
        layer: &SubLayer<Body>,
        x: Tensor,
        branch: impl FnOnce(&Body, &Tensor) -> (Tensor, Inner),
    ) -> (Tensor, Residual<Inner>) {
        let pre_norm = self.model.config.pre_norm;
        let norm = Some(self.norm(&layer.norm));
        let before = pre_norm.then(|| sum_norm(Sum { x: &x, skip: None, branch: None, mask: None, norm }));
        let (branch, inner) = branch(&layer.body, before.as_ref().map_or(&x, |normed| &normed.out));
        let mask = self.dropout.next_mask(self.model.config.dropout);
        let skip = layer.w_skip.map(|skip| &self.vectors[skip]);
        let norm = norm.filter(|_| !pre_norm);
        let mut after = sum_norm(Sum { x: &x, skip, branch: Some(&branch), mask, norm });
        let out = std::mem::replace(&mut after.out, Tensor::new());
        (out, Residual { x, before, branch, mask, after, inner })
    }

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
        let skip = layer.w_skip.map(|skip| &self.vectors[skip]);
        let mut d_skip = layer.w_skip.map(|skip| self.sums[skip].shallow_clone());
        let mut d_norm = (self.sums[layer.norm.scale].shallow_clone(), self.sums[layer.norm.bias].shallow_clone());
        let norm = Some(self.norm(&layer.norm));
        let post = before.is_none();
        let sums = NormSums { norm: post.then_some((&mut d_norm.0, &mut d_norm.1)), skip: d_skip.as_mut() };
        let sum = Sum { x: &x, skip, branch: Some(&output), mask, norm: norm.filter(|_| post) };
        let (mut dx, d_branch) = sum_norm_backward(sum, &after, &d_out, sums);
        let Some(d_branch) = d_branch else { return dx };
        drop((output, after, d_out));
        match before {
            None => branch(&layer.body, inner, &x, &d_branch, &mut dx),
            Some(before) => {
                let mut d_normed = x.zeros_like();
                branch(&layer.body, inner, &before.out, &d_branch, &mut d_normed);
                let sum = Sum { x: &x, skip: None, branch: None, mask: None, norm };
                let sums = NormSums { norm: Some((&mut d_norm.0, &mut d_norm.1)), skip: None };
                dx += sum_norm_backward(sum, &before, &d_normed, sums).0;
            }
        }
        dx
    }

    fn final_norm(&self, x: Tensor, norm: Option<&Norm>) -> (Tensor, Option<Normed>) {
        let Some(norm) = norm else { return (x, None) };
        let normed = sum_norm(Sum { x: &x, skip: None, branch: None, mask: None, norm: Some(self.norm(norm)) });
        (normed.out.shallow_clone(), Some(normed))
    }

    fn final_norm_backward(&self, d_out: Tensor, normed: Option<Normed>, norm: Option<&Norm>) -> Tensor {
        let (Some(normed), Some(norm)) = (normed, norm) else { return d_out };
        let mut sums = (self.sums[norm.scale].shallow_clone(), self.sums[norm.bias].shallow_clone());
        let sum = Sum { x: &normed.sum, skip: None, branch: None, mask: None, norm: Some(self.norm(norm)) };
        sum_norm_backward(sum, &normed, &d_out, NormSums { norm: Some((&mut sums.0, &mut sums.1)), skip: None }).0
    }

    // Linear layers.

    fn linear(&self, x: &Tensor, (weight, bias): (View, View)) -> Tensor {
        x.linear(&self.views[weight], Some(&self.views[bias]))
    }

    /// Adds to the gradients of weight and bias, and to that of the input, `dx`.
    fn linear_backward(&self, x: &Tensor, dy: &Tensor, (weight, bias): (View, View), dx: Option<&mut Tensor>) {
        let mut d_weight = self.sums[weight].shallow_clone();
        d_weight += dy.tr().mm(x); // [out, N] · [N, in]
        column_sums(dy, &mut self.sums[bias].shallow_clone());
        if let Some(dx) = dx {
            let _ = dx.addmm_(dy, &self.views[weight]); // [N, out] · [out, in]
        }
    }

    // Attention.

    fn shape<'b>(
        &self,
        attention: &Attention,
        queries: &'b Sentences,
        keys: &'b Sentences,
        causal: bool,
        mask: Option<Mask>,
    ) -> AttentionShape<'b> {
        let heads = attention.heads as usize;
        AttentionShape {
            heads,
            head_width: self.model.config.embed_dim as usize / heads,
            queries: &queries.starts,
            keys: &keys.starts,
            longest: keys.longest,
            causal,
            mask,
        }
    }

    fn attend_itself(&self, layer: &Attention, x: &Tensor, sentences: &Sentences, causal: bool) -> (Tensor, Attended) {
        let d = self.model.config.embed_dim as usize;
        let queries = self.linear(x, layer.joined); // [N, 3d]
        let mask = self.dropout.next_mask(self.model.config.attention_dropout);
        let shape = self.shape(layer, sentences, sentences, causal, mask);
        let part = |number| Heads { rows: &queries, offset: number * d };
        let context = attention(&shape, &part(0), &part(1), &part(2)); // [N, d]
        (self.linear(&context, layer.out), Attended { queries, context, mask })
    }

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
        let d = self.model.config.embed_dim as usize;
        let d_context = dy.mm(&self.views[layer.out.0]); // [N, d]
        self.linear_backward(&saved.context, dy, layer.out, None);
        let shape = self.shape(layer, sentences, sentences, causal, saved.mask);
        let part = |number| Heads { rows: &saved.queries, offset: number * d };
        let mut d_queries = saved.queries.empty_like(); // [N, 3d]
        attention_backward(&shape, &part(0), &part(1), &part(2), &d_context, &mut d_queries, None);
        self.linear_backward(x, &d_queries, layer.joined, Some(dx));
    }

    fn attend_encoder(
        &self,
        layer: &Attention,
        x: &Tensor,
        sentences: &Sentences,
        memory: &Tensor,
        source: &Sentences,
    ) -> (Tensor, (Attended, Tensor)) {
        let d = self.model.config.embed_dim as usize;
        let queries = self.linear(x, layer.query.unwrap_or(layer.joined)); // [N, d]
        let kv = self.linear(memory, layer.joined); // [S, 2d]
        let mask = self.dropout.next_mask(self.model.config.attention_dropout);
        let shape = self.shape(layer, sentences, source, false, mask);
        let part = |number| Heads { rows: &kv, offset: number * d };
        let context = attention(&shape, &Heads { rows: &queries, offset: 0 }, &part(0), &part(1)); // [N, d]
        (self.linear(&context, layer.out), (Attended { queries, context, mask }, kv))
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
        let d = self.model.config.embed_dim as usize;
        let d_context = dy.mm(&self.views[layer.out.0]); // [N, d]
        self.linear_backward(&saved.context, dy, layer.out, None);
        let shape = self.shape(layer, sentences, source, false, saved.mask);
        let part = |number| Heads { rows: &kv, offset: number * d };
        let (mut d_queries, mut d_kv) = (saved.queries.empty_like(), kv.empty_like());
        let query = Heads { rows: &saved.queries, offset: 0 };
        attention_backward(&shape, &query, &part(0), &part(1), &d_context, &mut d_queries, Some(&mut d_kv));
        self.linear_backward(x, &d_queries, layer.query.unwrap_or(layer.joined), Some(dx));
        self.linear_backward(memory, &d_kv, layer.joined, Some(d_memory));
    }

    // Feed-forward layers.

    fn feed_forward(&self, layer: &FeedForward, x: &Tensor) -> (Tensor, FedForward) {
        let mut hidden = self.linear(x, layer.fc1); // [N, ffn]
        let mask = self.dropout.next_mask(self.model.config.relu_dropout);
        relu_dropout(&mut hidden, mask);
        (self.linear(&hidden, layer.fc2), FedForward { hidden, mask })
    }

    fn feed_forward_backward(&self, layer: &FeedForward, saved: FedForward, x: &Tensor, dy: &Tensor, dx: &mut Tensor) {
        let mut d_hidden = dy.mm(&self.views[layer.fc2.0]); // [N, ffn]
        self.linear_backward(&saved.hidden, dy, layer.fc2, None);
        relu_dropout_backward(&saved.hidden, &mut d_hidden, saved.mask);
        self.linear_backward(x, &d_hidden, layer.fc1, Some(dx));
    }

    /// The gradient of the last hidden states, the loss and the negative log-likelihood.
    fn loss(&self, hidden: &Tensor, target: &[i64]) -> (Tensor, f64, f64) {
        let table = &self.views[self.model.output_projection]; // [V, d]
        let mut d_table = self.sums[self.model.output_projection].shallow_clone();
        let d_hidden = hidden.empty_like();
        let (rows, symbols) = (target.len(), table.size()[0] as usize);
        let chunks = (rows * symbols).div_ceil(CHUNK_ELEMENTS).max(1);
        let (mut loss, mut nll) = (0.0, 0.0);
        for chunk in 0..chunks {
            let here = rows * chunk / chunks..rows * (chunk + 1) / chunks;
            let (start, length) = (here.start as i64, here.len() as i64);
            let part = hidden.narrow(0, start, length); // [c, d]
            let mut logits = part.mm(&table.tr()); // [c, V]
            let found = cross_entropy(&mut logits, &target[here], self.model.label_smoothing, true);
            (loss, nll) = (loss + found.0, nll + found.1);
            d_hidden.narrow(0, start, length).copy_(&logits.mm(table));
            d_table += logits.tr().mm(&part); // [V, c] · [c, d]
        }
        (d_hidden, loss, nll)
    }
}
