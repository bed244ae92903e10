//! The decoder of a search on a processor: a step without a graph and without padding, and no copy of what is
//! remembered.

use tch::{Kind, Tensor};

use super::forward_pass::Forward;
use super::layers::Dropout;
use super::packed::Sentences;
use super::transformer::Transformer;
use super::weights::Weights;
use crate::data::{EOS, PAD};
use crate::kernels::attention_over_steps;

/// What a search asks of a network.
pub trait StepDecoder {
    /// One step: the last ids `[sentences · beam]` (rows of one sentence together) to logits
    /// `[sentences · beam, V]`.
    fn step(&mut self, ids: &[i64], beam: usize) -> Tensor;

    /// Keep the sentences `sentences` and, of all rows, `rows`, in these orders; no `sentences`: all stay.
    fn reorder(&mut self, rows: &[i64], sentences: Option<&[i64]>);
}

/// The decoder over encoded sentences.
pub(super) struct PackedDecoder<'a> {
    forward: Forward<'a>,
    /// A layer's keys and values of the encoder's output, `[N, 2d]`.
    memory: Vec<Tensor>,
    /// The sentences that are still searched, and their rows in it.
    source: Sentences,
    /// What a layer's self-attention projected at every step, `[rows, 3d]`.
    steps: Vec<Vec<Tensor>>,
    /// For every row of the step to come, the row of the last step that it goes on from; empty: the same.
    origins: Vec<i64>,
    /// For every row of the last step, one after the other, its row at each step so far.
    pasts: Vec<u32>,
}

impl<'a> PackedDecoder<'a> {
    /// Encode `source` and get ready for the first step.
    pub(super) fn new(model: &'a Transformer, weights: &'a Weights, source: Sentences) -> PackedDecoder<'a> {
        let forward = Forward::new(model, weights, Dropout::off());
        let (encoded, ..) = forward.encode(&source, drop);
        let memory =
            model.decoder.iter().map(|layer| forward.linear(&encoded, layer.encoder_attention.body.joined)).collect();
        PackedDecoder {
            forward,
            memory,
            source,
            steps: model.decoder.iter().map(|_| Vec::new()).collect(),
            origins: Vec::new(),
            pasts: Vec::new(),
        }
    }
}

impl StepDecoder for PackedDecoder<'_> {
    fn step(&mut self, ids: &[i64], beam: usize) -> Tensor {
        let (forward, model) = (&self.forward, self.forward.model);
        let heads = model.config.attention_heads as usize;
        let step = self.steps.first().map_or(0, Vec::len);
        let mut pasts = Vec::with_capacity(ids.len() * (step + 1));
        for row in 0..ids.len() {
            let origin = self.origins.get(row).map_or(row, |&origin| origin as usize);
            pasts.extend_from_slice(&self.pasts[origin * step..][..step]);
            pasts.push(row as u32);
        }
        self.pasts = pasts;
        self.origins.clear();
        let queries: Vec<_> =
            (0..self.source.rows.len()).map(|sentence| sentence * beam..(sentence + 1) * beam).collect();
        let positions = vec![PAD + 1 + step as i64; ids.len()];
        let start = model.config.decoder_start.id();
        let ids: Vec<i64> = ids.iter().map(|&id| if id == EOS { start } else { id }).collect();
        let mut x = forward.embed(model.target_embedding, &ids, &positions).0; // [rows, d]
        for ((layer, steps), memory) in model.decoder.iter().zip(&mut self.steps).zip(&self.memory) {
            x = forward
                .residual(&layer.self_attention, x, |attention, x| {
                    steps.push(forward.linear(x, attention.joined)); // [rows, 3d]
                    let context = attention_over_steps(steps, &self.pasts, heads); // [rows, d]
                    let context = forward.plus(context, attention.hidden_bias);
                    (forward.linear(&context, attention.out), ())
                })
                .0;
            x = forward
                .residual(&layer.encoder_attention, x, |attention, x| {
                    (forward.attend_memory(attention, x, &queries, memory, &self.source).0, ())
                })
                .0;
            x = forward.residual(&layer.ffn, x, |ffn, x| forward.feed_forward(ffn, x)).0;
        }
        let (hidden, _) = forward.final_norm(x, model.decoder_norm.as_ref());
        forward.weights.logits(&hidden, model.output_projection, model.output_bias)
    }

    fn reorder(&mut self, rows: &[i64], sentences: Option<&[i64]>) {
        self.origins = rows.to_vec();
        if let Some(sentences) = sentences {
            self.source.rows = sentences.iter().map(|&sentence| self.source.rows[sentence as usize].clone()).collect();
        }
    }
}

/// The decoder in libtorch's operations: a GPU takes it, and tests hold the other against it.
pub(super) struct PlainDecoder<'a> {
    pub(super) model: &'a Transformer,
    pub(super) weights: &'a Weights,
    pub(super) state: super::DecoderState,
}

impl StepDecoder for PlainDecoder<'_> {
    fn step(&mut self, ids: &[i64], beam: usize) -> Tensor {
        let views = &self.weights.views;
        let device = views[self.model.target_embedding].device();
        self.model.decode_step(views, &mut self.state, &Tensor::from_slice(ids).to_device(device), beam as i64)
    }

    fn reorder(&mut self, rows: &[i64], sentences: Option<&[i64]>) {
        let device = self.weights.views[self.model.target_embedding].device();
        let tensor = |ids: &[i64]| Tensor::from_slice(ids).to_kind(Kind::Int64).to_device(device);
        self.state.reorder(&tensor(rows), sentences.map(tensor).as_ref());
    }
}
