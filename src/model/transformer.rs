//! The encoder-decoder Transformer (Vaswani et al., 2017) as fairseq's `transformer_iwslt_de_en` builds it.

use std::cell::RefCell;
use std::sync::OnceLock;

use tch::{Device, Kind, Tensor};

use super::attention::KeysValues;
use super::batch::{TranslationBatch, positions};
use super::config::{DecoderStart, ModelConfig};
use super::decoding_pass::{PackedDecoder, PlainDecoder, StepDecoder};
use super::layers::{Dropout, activate, layer_norm, plus, sinusoidal_positions};
use super::loss::label_smoothed_cross_entropy;
use super::packed::Sentences;
use super::sub_layer::{DecoderLayer, EncoderLayer, FeedForward, Norm, SubLayer, norm};
use super::training_pass::gradient;
use super::weights::Weights;
use crate::data::{EOS, PAD};
use crate::error::{Error, Result};
use crate::machine;
use crate::params::{BlockKind, Layout, View, Views};
use crate::task::{Loss, Mode, Task, gradient_by_graph};

/// What is shown a residual sum `w_skip · x + f(x)` before it is made: where w_skip lies, x and f(x), `[N, d]` each.
pub(super) type Observe<'a> = &'a dyn Fn(View, &Tensor, &Tensor);

fn unobserved(_: View, _: &Tensor, _: &Tensor) {}

/// An encoder-decoder Transformer: where its blocks lie in θ, and the functions of θ that it computes.
pub struct Transformer {
    pub(super) config: ModelConfig,
    layout: Layout,
    pub(super) source_embedding: View,
    pub(super) target_embedding: View,
    pub(super) output_projection: View,
    pub(super) output_bias: Option<View>,
    pub(super) encoder: Vec<EncoderLayer>,
    pub(super) decoder: Vec<DecoderLayer>,
    /// Pre-LN: the normalisation of the last layer's output.
    pub(super) encoder_norm: Option<Norm>,
    /// The same.
    pub(super) decoder_norm: Option<Norm>,
    pub(super) positions: Tensor,
    /// The same on the GPU, from its first use there on.
    positions_on_gpu: OnceLock<Tensor>,
    source_symbols: i64,
    target_symbols: i64,
    /// ε of the label-smoothed loss.
    pub label_smoothing: f64,
}

/// The encoder's output.
pub struct Encoded {
    /// `[B·S, d]`.
    pub output: Tensor,
    /// Sentences B.
    pub b: i64,
    /// Source length S.
    pub s: i64,
    /// `-inf` at padding, `[B, 1, 1, S]`, to be added to attention scores; none where there is no padding.
    pub mask: Option<Tensor>,
}

/// What the decoder remembers between steps of a search.
pub struct DecoderState {
    /// A layer's own keys and values, `[rows, heads, steps, d/heads]`.
    own: Vec<Option<KeysValues>>,
    /// A layer's keys and values of the encoder's output, `[B, heads, S, d/heads]`.
    memory: Vec<KeysValues>,
    mask: Option<Tensor>,
    step: i64,
}

impl Transformer {
    /// Lay out a Transformer for dictionaries of these sizes (special symbols included).
    ///
    /// # Errors
    /// [`Error::Usage`] for sizes that make no network or one that the memory does not hold, and for
    /// `share_all_embeddings` with dictionaries of two sizes.
    pub fn new(
        config: &ModelConfig,
        source_symbols: i64,
        target_symbols: i64,
        label_smoothing: f64,
    ) -> Result<Transformer> {
        config.check()?;
        if config.share_all_embeddings && source_symbols != target_symbols {
            return Err(Error::usage(
                format!(
                    "model.share_all_embeddings needs one joined dictionary, found {source_symbols} source and \
                     {target_symbols} target symbols"
                ),
                "preprocess with --joined-dictionary, or set model.share_all_embeddings=false",
            ));
        }
        let d = config.embed_dim;
        let mut layout = Layout::default();
        let source_embedding = layout.add("encoder.embed_tokens.weight", &[source_symbols, d], BlockKind::Embedding);
        let target_embedding = if config.share_all_embeddings {
            layout.alias("decoder.embed_tokens.weight", "encoder.embed_tokens.weight");
            layout.alias("decoder.output_projection.weight", "encoder.embed_tokens.weight");
            source_embedding
        } else {
            layout.add("decoder.embed_tokens.weight", &[target_symbols, d], BlockKind::Embedding)
        };
        let output_projection = if config.share_all_embeddings {
            target_embedding
        } else if config.share_decoder_input_output_embed {
            layout.alias("decoder.output_projection.weight", "decoder.embed_tokens.weight");
            target_embedding
        } else {
            layout.add("decoder.output_projection.weight", &[target_symbols, d], BlockKind::Embedding)
        };
        let encoder = (0..config.encoder_layers)
            .map(|i| EncoderLayer::add(&mut layout, config, &format!("encoder.layers.{i}")))
            .collect();
        let encoder_norm = config.pre_norm.then(|| norm(&mut layout, "encoder.layer_norm", d));
        let decoder = (0..config.decoder_layers)
            .map(|i| DecoderLayer::add(&mut layout, config, &format!("decoder.layers.{i}")))
            .collect();
        let decoder_norm = config.pre_norm.then(|| norm(&mut layout, "decoder.layer_norm", d));
        let output_bias = config
            .output_bias
            .then(|| layout.add("decoder.output_projection.bias", &[target_symbols], BlockKind::Bias));
        check_memory(config, layout.total())?;
        Ok(Transformer {
            config: config.clone(),
            layout,
            source_embedding,
            target_embedding,
            output_projection,
            output_bias,
            encoder,
            decoder,
            encoder_norm,
            decoder_norm,
            // Row 1 is padding and the first position reads row 2.
            positions: sinusoidal_positions(config.positions, config.max_positions + 2, d),
            positions_on_gpu: OnceLock::new(),
            source_symbols,
            target_symbols,
            label_smoothing,
        })
    }

    /// The sizes.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Symbols of the source dictionary.
    pub fn source_symbols(&self) -> i64 {
        self.source_symbols
    }

    /// Symbols of the target dictionary.
    pub fn target_symbols(&self) -> i64 {
        self.target_symbols
    }

    /// The tensors of `theta` in `compute` precision: one cast, inside the graph.
    pub fn views(&self, theta: &Tensor, compute: Kind) -> Views {
        if theta.kind() == compute { self.layout.views(theta) } else { self.layout.views(&theta.to_kind(compute)) }
    }

    /// θ as the passes without a graph read it.
    pub fn weights(&self, theta: &Tensor, compute: Kind) -> Weights {
        Weights::new(self.views(theta, compute), self.layout.views(theta))
    }

    /// The table of positions, `[max_positions, d]`, fp32: row 0 is added to a sentence's first token.
    pub fn positions(&self) -> Tensor {
        self.positions.narrow(0, PAD + 1, self.config.max_positions)
    }

    /// Run the encoder over `source` `[B, S]` (left-padded).
    pub fn encode(&self, views: &Views, batch: &TranslationBatch, dropout: &Dropout) -> Encoded {
        let padding = batch.source_padding.as_ref();
        self.encode_ids(views, &batch.source, &batch.source_positions, padding, dropout, &unobserved)
    }

    /// The same, every residual sum with a `w_skip` shown to `observe` before it is made.
    pub(super) fn encode_observed(&self, views: &Views, batch: &TranslationBatch, observe: Observe) -> Encoded {
        let padding = batch.source_padding.as_ref();
        self.encode_ids(views, &batch.source, &batch.source_positions, padding, &Dropout::off(), observe)
    }

    /// Run the encoder over sentences of equal or different length: ids as rows, each ending with `</s>`.
    pub fn encode_sentences(&self, views: &Views, source: &[i64], width: usize, device: Device) -> Encoded {
        let ids = Tensor::from_slice(source).view([-1, width as i64]).to_device(device);
        let rows = Tensor::from_slice(&positions(source, width)).to_device(device);
        let padding = source.contains(&PAD).then(|| ids.eq(PAD));
        self.encode_ids(views, &ids, &rows, padding.as_ref(), &Dropout::off(), &unobserved)
    }

    fn encode_ids(
        &self,
        views: &Views,
        ids: &Tensor,
        rows: &Tensor,
        padding: Option<&Tensor>,
        dropout: &Dropout,
        observe: Observe,
    ) -> Encoded {
        let (b, s) = (ids.size()[0], ids.size()[1]);
        let mut x = self.embed(&views[self.source_embedding], ids, rows, dropout); // [B·S, d]
        let mask = padding.map(|padding| {
            let mask = Tensor::zeros(padding.size(), (x.kind(), x.device()));
            mask.masked_fill(padding, f64::NEG_INFINITY).view([b, 1, 1, s])
        });
        if let Some(padding) = padding {
            // fairseq multiplies the padding by 0 before the first layer.
            x = x.masked_fill(&padding.view([b * s, 1]), 0.0);
        }
        for layer in &self.encoder {
            x = self.residual(views, &layer.self_attention, x, (dropout, observe), |attention, x| {
                let (query, own) = attention.project_self(views, x, b, s);
                attention.attend(views, &query, &own, mask.as_ref(), (dropout, self.config.attention_dropout))
            });
            x = self
                .residual(views, &layer.ffn, x, (dropout, observe), |ffn, x| self.feed_forward(views, ffn, x, dropout));
        }
        if let Some(norm) = &self.encoder_norm {
            x = layer_norm(&x, &views[norm.scale], &views[norm.bias]);
        }
        Encoded { output: x, b, s, mask }
    }

    /// Run the decoder over whole target sentences; the result is the last layer's output, `[B·T, d]`.
    pub fn decode(&self, views: &Views, batch: &TranslationBatch, encoded: &Encoded, dropout: &Dropout) -> Tensor {
        self.decode_watched(views, batch, encoded, dropout, (&unobserved, &|_| ()))
    }

    /// Where the decoder's last layer looks in the source when it makes each token of the target, the mean of its heads:
    /// `[B, T, S]`, each row adding up to 1.
    pub fn attention_over_source(&self, views: &Views, batch: &TranslationBatch, encoded: &Encoded) -> Tensor {
        let last = RefCell::new(Tensor::new());
        let watch = |probabilities: &Tensor| {
            // [B, heads, T, S] -> [B, T, S]
            let _ = last.replace(probabilities.mean_dim([1i64].as_slice(), false, Kind::Float));
        };
        let _ = self.decode_watched(views, batch, encoded, &Dropout::off(), (&unobserved, &watch));
        last.into_inner()
    }

    /// [`Transformer::decode`], every residual sum with a `w_skip` shown to `observe` before it is made, and every layer's
    /// attention over the source, `[B, heads, T, S]`, to `watch`.
    pub(super) fn decode_watched(
        &self,
        views: &Views,
        batch: &TranslationBatch,
        encoded: &Encoded,
        dropout: &Dropout,
        (observe, watch): (Observe, &dyn Fn(&Tensor)),
    ) -> Tensor {
        let (b, t) = (batch.previous_output.size()[0], batch.previous_output.size()[1]);
        let previous = self.with_start(&batch.previous_output);
        let mut x = self.embed(&views[self.target_embedding], &previous, &batch.previous_output_positions, dropout);
        let mut causal = Tensor::full([t, t], f64::NEG_INFINITY, (x.kind(), x.device())).triu(1); // [T, T]
        if let Some(padding) = &batch.target_padding {
            causal = causal.masked_fill(&padding.view([b, 1, 1, t]), f64::NEG_INFINITY); // [B, 1, T, T]
        }
        for layer in &self.decoder {
            x = self.residual(views, &layer.self_attention, x, (dropout, observe), |attention, x| {
                let (query, own) = attention.project_self(views, x, b, t);
                attention.attend(views, &query, &own, Some(&causal), (dropout, self.config.attention_dropout))
            });
            x = self.residual(views, &layer.encoder_attention, x, (dropout, observe), |attention, x| {
                let query = attention.project_query(views, x, b, t);
                let memory = attention.project_memory(views, &encoded.output, encoded.b, encoded.s);
                let probabilities = attention.probabilities(&query, &memory, encoded.mask.as_ref());
                watch(&probabilities);
                let dropout = (dropout, self.config.attention_dropout);
                attention.project_context(views, &probabilities, &memory, dropout)
            });
            x = self
                .residual(views, &layer.ffn, x, (dropout, observe), |ffn, x| self.feed_forward(views, ffn, x, dropout));
        }
        match &self.decoder_norm {
            Some(norm) => layer_norm(&x, &views[norm.scale], &views[norm.bias]),
            None => x,
        }
    }

    /// Hidden states `[N, d]` to logits `[N, V]`.
    pub fn logits(&self, views: &Views, hidden: &Tensor) -> Tensor {
        hidden.linear(&views[self.output_projection], self.output_bias.map(|bias| &views[bias]))
    }

    /// Target ids as the decoder reads them: `</s>`, which stands for what is before the first token, as the configuration says.
    fn with_start(&self, ids: &Tensor) -> Tensor {
        match self.config.decoder_start {
            DecoderStart::Eos => ids.shallow_clone(),
            start @ DecoderStart::Bos => ids.masked_fill(&ids.eq(EOS), start.id()),
        }
    }

    /// Encode `source` (rows of `width` ids, left-padded) for a search; on a processor without padding.
    pub fn start_search<'a>(
        &'a self,
        weights: &'a Weights,
        source: &[i64],
        width: usize,
        device: Device,
    ) -> Box<dyn StepDecoder + 'a> {
        if device == Device::Cpu {
            let source = Sentences::new(source, width, |at| source[at] != PAD);
            return Box::new(PackedDecoder::new(self, weights, source));
        }
        self.start_plain_search(weights, source, width, device)
    }

    /// The same in libtorch's operations on any device.
    pub fn start_plain_search<'a>(
        &'a self,
        weights: &'a Weights,
        source: &[i64],
        width: usize,
        device: Device,
    ) -> Box<dyn StepDecoder + 'a> {
        let encoded = self.encode_sentences(&weights.views, source, width, device);
        let state = self.start_decoding(&weights.views, &encoded);
        Box::new(PlainDecoder { model: self, weights, state })
    }

    /// What the decoder needs to start a search.
    pub fn start_decoding(&self, views: &Views, encoded: &Encoded) -> DecoderState {
        let memory = |layer: &DecoderLayer| {
            let kv = layer.encoder_attention.body.project_memory(views, &encoded.output, encoded.b, encoded.s);
            KeysValues { keys: kv.keys.contiguous(), values: kv.values.contiguous() }
        };
        DecoderState {
            own: self.decoder.iter().map(|_| None).collect(),
            memory: self.decoder.iter().map(memory).collect(),
            mask: encoded.mask.as_ref().map(Tensor::shallow_clone),
            step: 0,
        }
    }

    /// One step of a search: the last ids `[B·beam]` (rows of one sentence together) to logits `[B·beam, V]`.
    pub fn decode_step(&self, views: &Views, state: &mut DecoderState, ids: &Tensor, beam: i64) -> Tensor {
        let rows = ids.size()[0];
        let b = rows / beam.max(1);
        let none = &Dropout::off();
        let position = Tensor::full([rows], PAD + 1 + state.step, (Kind::Int64, ids.device()));
        let mut x = self.embed(&views[self.target_embedding], &self.with_start(ids).view([rows, 1]), &position, none); // [rows, d]
        for (i, layer) in self.decoder.iter().enumerate() {
            let own = &mut state.own[i];
            x = self.residual(views, &layer.self_attention, x, (none, &unobserved), |attention, x| {
                let (query, mut new) = attention.project_self(views, x, rows, 1);
                if let Some(old) = own.as_ref() {
                    new.keys = Tensor::cat(&[&old.keys, &new.keys], 2);
                    new.values = Tensor::cat(&[&old.values, &new.values], 2);
                }
                let attended = attention.attend(views, &query, &new, None, (none, 0.0));
                *own = Some(new);
                attended
            });
            // The beam takes the place of the time dimension: keys and values of the source are never repeated.
            x = self.residual(views, &layer.encoder_attention, x, (none, &unobserved), |attention, x| {
                let query = attention.project_query(views, x, b, beam); // [B, heads, beam, d/heads]
                attention.attend(views, &query, &state.memory[i], state.mask.as_ref(), (none, 0.0))
            });
            x = self
                .residual(views, &layer.ffn, x, (none, &unobserved), |ffn, x| self.feed_forward(views, ffn, x, none));
        }
        if let Some(norm) = &self.decoder_norm {
            x = layer_norm(&x, &views[norm.scale], &views[norm.bias]);
        }
        state.step += 1;
        self.logits(views, &x)
    }

    fn embed(&self, table: &Tensor, ids: &Tensor, rows: &Tensor, dropout: &Dropout) -> Tensor {
        let d = self.config.embed_dim;
        let positions = match table.device() {
            Device::Cpu => &self.positions,
            gpu => self.positions_on_gpu.get_or_init(|| self.positions.to_device(gpu)), // A process computes on one GPU.
        };
        let positions = positions.index_select(0, rows).to_kind(table.kind());
        let x = Tensor::embedding(table, &ids.view([-1]), -1, false, false) * (d as f64).sqrt() + positions; // [N, d]
        dropout.apply(&x, self.config.dropout)
    }

    /// `LN(w_skip · x + f(x))` (Post-LN), `w_skip · x + f(LN(x))` (Pre-LN) or, without layer normalisation,
    /// `w_skip · x + f(x)`; with FixUp's scalars `w_skip · x + multiplier · f(x + bias)`.
    fn residual<Body>(
        &self,
        views: &Views,
        layer: &SubLayer<Body>,
        x: Tensor,
        (dropout, observe): (&Dropout, Observe),
        branch: impl FnOnce(&Body, &Tensor) -> Tensor,
    ) -> Tensor {
        let (pre, post) = layer.norms(self.config.pre_norm);
        let normalised = |norm: &Norm, x: &Tensor| layer_norm(x, &views[norm.scale], &views[norm.bias]);
        let input = pre.map_or_else(|| x.shallow_clone(), |norm| normalised(norm, &x));
        let output = branch(&layer.body, &plus(views, &input, layer.fixup.map(|fixup| fixup.input_bias)));
        let output = dropout.apply(&output, self.config.dropout);
        let output = match layer.fixup {
            Some(fixup) => output * &views[fixup.multiplier],
            None => output,
        };
        if let Some(w_skip) = layer.w_skip {
            observe(w_skip, &x, &output);
        }
        let sum = match layer.w_skip {
            Some(w_skip) => x * &views[w_skip] + output,
            None => x + output,
        };
        match post {
            Some(norm) => normalised(norm, &sum),
            None => sum,
        }
    }

    fn feed_forward(&self, views: &Views, ffn: &FeedForward, x: &Tensor, dropout: &Dropout) -> Tensor {
        let hidden = activate(self.config.activation, &x.linear(&views[ffn.fc1.0], Some(&views[ffn.fc1.1]))); // [N, ffn]
        let hidden = dropout.apply(&hidden, self.config.relu_dropout);
        plus(views, &hidden, ffn.hidden_bias).linear(&views[ffn.fc2.0], Some(&views[ffn.fc2.1]))
    }

    fn loss_with_projection(&self, views: &Views, projection: &Tensor, batch: &TranslationBatch, mode: Mode) -> Loss {
        let dropout = &Dropout::seeded(mode.dropout());
        let encoded = self.encode(views, batch, dropout);
        let hidden = self.decode(views, batch, &encoded, dropout);
        let hidden = hidden.index_select(0, &batch.target_rows); // [tokens, d]
        let projection = (projection, self.output_bias.map(|bias| &views[bias]));
        let (sum, nll) =
            label_smoothed_cross_entropy(&hidden, projection, &batch.target, self.label_smoothing, mode.second_order);
        Loss { sum, nll, count: batch.tokens() }
    }
}

impl DecoderState {
    /// Keep the sentences `sentences` (`[B']`) and, of all rows, `rows` (`[B'·beam]`), in these orders.
    /// `sentences` is none where all stay.
    pub fn reorder(&mut self, rows: &Tensor, sentences: Option<&Tensor>) {
        for own in self.own.iter_mut().flatten() {
            own.keys = own.keys.index_select(0, rows);
            own.values = own.values.index_select(0, rows);
        }
        let Some(sentences) = sentences else { return };
        for memory in &mut self.memory {
            memory.keys = memory.keys.index_select(0, sentences);
            memory.values = memory.values.index_select(0, sentences);
        }
        self.mask = self.mask.as_ref().map(|mask| mask.index_select(0, sentences));
    }
}

impl Task for Transformer {
    type Batch = TranslationBatch;

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn loss(&self, theta: &Tensor, batch: &TranslationBatch, mode: Mode) -> Loss {
        let views = self.views(theta, mode.compute);
        self.loss_with_projection(&views, &views[self.output_projection], batch, mode)
    }

    fn gradient(&self, theta: &Tensor, batch: &TranslationBatch, mode: Mode) -> (Loss, Tensor) {
        if theta.device() == Device::Cpu && !mode.second_order && self.config.has_training_pass() {
            return gradient(self, theta, batch, mode);
        }
        gradient_by_graph(self, theta, batch, mode)
    }

    fn loss_with_untied_reader(&self, theta: &Tensor, before: &Tensor, batch: &TranslationBatch, mode: Mode) -> Loss {
        let views = self.views(theta, mode.compute);
        let old = self.views(before, mode.compute);
        let tied = self.output_projection == self.target_embedding;
        let projection = if tied { &old[self.output_projection] } else { &views[self.output_projection] };
        self.loss_with_projection(&views, projection, batch, mode)
    }
}

/// Refuse a network that is larger than the memory; libtorch would end the program.
fn check_memory(config: &ModelConfig, parameters: i64) -> Result<()> {
    let table = (config.max_positions + 2).saturating_mul(config.embed_dim);
    // While the table of positions is made, it is there three times.
    let needed = parameters.saturating_add(table.saturating_mul(3)).saturating_mul(4);
    let Some(available) = machine::available_memory().filter(|&available| needed as u64 > available) else {
        return Ok(());
    };
    let gib = |bytes: f64| bytes / f64::from(1 << 30);
    Err(Error::usage(
        format!(
            "a model of {parameters} parameters and {} positions needs {:.1} GiB of memory, found {:.1} GiB free",
            config.max_positions,
            gib(needed as f64),
            gib(available as f64)
        ),
        "lower model.embed_dim, model.ffn_dim, the numbers of layers or model.max_positions",
    ))
}
