//! The sizes of a Transformer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{BOS, EOS};
use crate::error::{Error, Result};

/// What feed-forward layers do between their two linear layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x · sigmoid(x), also called SiLU.
    Swish,
    /// x · Φ(x) with the normal distribution's Φ.
    Gelu,
}

/// The sinusoids that are added to embeddings, d/2 sines and then d/2 cosines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Positions {
    /// fairseq's and tensor2tensor's: frequencies 10000^(-k/(d/2 - 1)), the first position is 2.
    Fairseq,
    /// Marian's and those of "Attention is all you need": frequencies 10000^(-k/(d/2)), the first position is 0.
    Marian,
}

/// What the decoder reads before the first token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DecoderStart {
    /// As fairseq.
    #[serde(rename = "</s>")]
    Eos,
    /// A symbol of its own.
    #[serde(rename = "<s>")]
    Bos,
}

impl DecoderStart {
    /// The symbol's id.
    pub fn id(self) -> i64 {
        match self {
            DecoderStart::Eos => EOS,
            DecoderStart::Bos => BOS,
        }
    }
}

/// The sizes and options of a Transformer. The defaults are fairseq's `transformer_iwslt_de_en`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Width d of embeddings and layers.
    pub embed_dim: i64,
    /// Width of the feed-forward layers' hidden units.
    pub ffn_dim: i64,
    /// Heads of every attention layer.
    pub attention_heads: i64,
    /// Layers of the encoder.
    pub encoder_layers: i64,
    /// Layers of the decoder.
    pub decoder_layers: i64,
    /// Dropout after embeddings and every sub-layer.
    pub dropout: f64,
    /// Dropout of attention probabilities.
    pub attention_dropout: f64,
    /// Dropout after the ReLU of feed-forward layers.
    pub relu_dropout: f64,
    /// The decoder's input embedding is its output projection.
    pub share_decoder_input_output_embed: bool,
    /// Encoder input, decoder input and output projection are one table; needs a joined dictionary.
    pub share_all_embeddings: bool,
    /// Admin's element-wise multiplier of every skip connection.
    pub w_skip: bool,
    /// Layer normalisation before each sub-layer (Pre-LN) instead of after the sum (Post-LN).
    pub pre_norm: bool,
    /// Whether there is layer normalisation at all; without it see `init.method`.
    pub layer_norm: bool,
    /// FixUp's scalars in every residual branch: a multiplier of its output, and one added to its input and one before its
    /// last linear layer; needs `layer_norm = false`.
    pub fixup: bool,
    /// The longest source or target, `</s>` included.
    pub max_positions: i64,
    /// What feed-forward layers do between their linear layers.
    pub activation: Activation,
    /// A bias of the output projection.
    pub output_bias: bool,
    /// The sinusoids.
    pub positions: Positions,
    /// What the decoder reads before the first token.
    pub decoder_start: DecoderStart,
}

impl Default for ModelConfig {
    fn default() -> ModelConfig {
        ModelConfig {
            embed_dim: 512,
            ffn_dim: 1024,
            attention_heads: 4,
            encoder_layers: 6,
            decoder_layers: 6,
            dropout: 0.3,
            attention_dropout: 0.0,
            relu_dropout: 0.0,
            share_decoder_input_output_embed: true,
            share_all_embeddings: false,
            w_skip: false,
            pre_norm: false,
            layer_norm: true,
            fixup: false,
            max_positions: 1024,
            activation: Activation::Relu,
            output_bias: false,
            positions: Positions::Fairseq,
            decoder_start: DecoderStart::Eos,
        }
    }
}

impl ModelConfig {
    /// Whether the hand-written pass of training computes it; what comes from other programs has parts that it does not know.
    pub(super) fn has_training_pass(&self) -> bool {
        self.activation == Activation::Relu && !self.output_bias && self.decoder_start == DecoderStart::Eos
    }

    /// Refuse sizes that make no network.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("embed_dim", self.embed_dim, 1..=1 << 20),
            ("ffn_dim", self.ffn_dim, 1..=1 << 20),
            ("attention_heads", self.attention_heads, 1..=1 << 20),
            ("encoder_layers", self.encoder_layers, 1..=1024),
            ("decoder_layers", self.decoder_layers, 1..=1024),
            // A word and `</s>`.
            ("max_positions", self.max_positions, 2..=1 << 20),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                let (least, most) = range.into_inner();
                return Err(Error::usage(format!("model.{key} has to be from {least} to {most}, found {value}"), ""));
            }
        }
        if self.embed_dim % self.attention_heads != 0 || self.embed_dim % 2 != 0 || self.embed_dim < 4 {
            return Err(Error::usage(
                format!(
                    "model.embed_dim has to be even, at least 4 and a multiple of model.attention_heads, found {} and {}",
                    self.embed_dim, self.attention_heads
                ),
                "",
            ));
        }
        if self.pre_norm && !self.layer_norm {
            return Err(Error::usage(
                "model.pre_norm = true says where layer normalisation is, but model.layer_norm = false leaves it out",
                "set model.pre_norm=false or model.layer_norm=true",
            ));
        }
        if self.fixup && self.layer_norm {
            return Err(Error::usage(
                "model.fixup = true needs a model without layer normalisation, found model.layer_norm = true",
                "set model.layer_norm=false",
            ));
        }
        let rates = [
            ("dropout", self.dropout),
            ("attention_dropout", self.attention_dropout),
            ("relu_dropout", self.relu_dropout),
        ];
        for (key, value) in rates {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::usage(format!("model.{key} has to be at least 0 and below 1, found {value}"), ""));
            }
        }
        Ok(())
    }
}
