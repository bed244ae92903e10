//! The parameters by name, and the same network without Admin's `w_skip`.

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::model::ModelConfig;
use crate::params::Layout;

/// The parameters of a Post-LN or Pre-LN Transformer that other programs have, too.
pub struct Unskipped {
    /// By fairseq's names, each once, fp32, on the CPU.
    tensors: BTreeMap<String, Tensor>,
    /// The table of positions of the encoder, `[positions, d]`, row 0 for the first token.
    pub encoder_positions: Tensor,
    /// The same of the decoder; equal to the encoder's where nothing was folded.
    pub decoder_positions: Tensor,
    /// Whether there was a `w_skip` to fold.
    pub folded: bool,
}

impl Unskipped {
    /// Of θ, with every `w_skip` folded into its neighbours: LN(w·x + f(x)) is LN(x′ + f′(x′)) of x′ = w·x, where the layer
    /// normalisation before (or the embeddings and positions) gives x′ and f′ reads it through weights whose columns are divided
    /// by w. Exact but for rounding.
    ///
    /// # Errors
    /// [`Error::Content`] for networks that other programs do not have: without layer normalisation, FixUp's, Pre-LN with
    /// `w_skip`, and for a `w_skip` with a zero.
    pub fn new(
        place: &str,
        config: &ModelConfig,
        layout: &Layout,
        theta: &Tensor,
        positions: &Tensor,
    ) -> Result<Unskipped> {
        let refuse = |expected: &str, found: &str| {
            let next = "such a network stays here: `--to safetensors` writes it as it is";
            Err(Error::content(place, expected, found, next))
        };
        if !config.layer_norm || config.fixup {
            return refuse(
                "a Transformer with layer normalisation and without FixUp's scalars",
                "one without, or with them",
            );
        }
        if config.pre_norm && config.w_skip {
            return refuse(
                "a Post-LN Transformer where there is a w_skip",
                "a Pre-LN one, whose w_skip nothing can take up",
            );
        }
        let theta = theta.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float);
        let parts = layout.split(&theta);
        let named = layout.blocks().iter().zip(parts);
        let tensors =
            named.map(|(block, part)| (block.name.clone(), part.view(block.shape.as_slice()).copy())).collect();
        let mut network = Unskipped {
            tensors,
            encoder_positions: positions.copy(),
            decoder_positions: positions.copy(),
            folded: config.w_skip,
        };
        if config.w_skip {
            if let Some(name) = network.zero() {
                return refuse("a w_skip without zeros, by which weights can be divided", &name);
            }
            network.fold("encoder", config.encoder_layers, &["self_attn", "ffn"], config);
            network.fold("decoder", config.decoder_layers, &["self_attn", "encoder_attn", "ffn"], config);
        }
        Ok(network)
    }

    /// A tensor by fairseq's name; the output projection and tied embeddings under each of their names.
    ///
    /// # Errors
    /// [`Error::Content`] for one that there is not.
    pub fn get(&self, name: &str) -> Result<&Tensor> {
        const TIED: [(&str, &str); 2] = [
            ("decoder.output_projection.weight", "decoder.embed_tokens.weight"),
            ("decoder.embed_tokens.weight", "encoder.embed_tokens.weight"),
        ];
        let other = TIED.iter().find(|(tied, _)| *tied == name).map(|(_, owner)| *owner);
        match (self.tensors.get(name), other) {
            (Some(tensor), _) => Ok(tensor),
            (None, Some(owner)) => self.get(owner),
            (None, None) => Err(Error::content("the model", format!("a tensor `{name}`"), "none", "")),
        }
    }

    fn zero(&self) -> Option<String> {
        let mut skips = self.tensors.iter().filter(|(name, _)| name.ends_with(".w_skip"));
        skips
            .find(|(_, skip)| (*skip).eq_tensor(&skip.zeros_like()).any().int64_value(&[]) == 1)
            .map(|(name, _)| name.clone())
    }

    /// Fold the multipliers of one side, whose layers have these residual parts.
    fn fold(&mut self, side: &str, layers: i64, parts: &[&str], config: &ModelConfig) {
        // What gives the input of the first part: embeddings and positions.
        let first = format!("{side}.layers.0.{}.w_skip", parts[0]);
        let skip = self.tensors[&first].shallow_clone();
        let embedding = format!("{side}.embed_tokens.weight");
        let table = match self.get(&embedding) {
            Ok(table) => table * &skip,
            Err(_) => return,
        };
        // Tied tables come apart: the output projection reads what it read.
        if side == "encoder" && config.share_all_embeddings {
            let shared = self.tensors[&embedding].shallow_clone();
            self.tensors.insert("decoder.embed_tokens.weight".into(), shared);
        }
        if side == "decoder" && !self.tensors.contains_key("decoder.output_projection.weight") {
            let shared = self.tensors[&embedding].shallow_clone();
            self.tensors.insert("decoder.output_projection.weight".into(), shared);
        }
        self.tensors.insert(embedding, table);
        let positions = if side == "encoder" { &mut self.encoder_positions } else { &mut self.decoder_positions };
        *positions = &*positions * &skip;
        let names: Vec<(String, &str)> = (0..layers)
            .flat_map(|layer| parts.iter().map(move |part| (format!("{side}.layers.{layer}"), *part)))
            .collect();
        for (number, (layer, part)) in names.iter().enumerate() {
            let skip = self.tensors[&format!("{layer}.{part}.w_skip")].shallow_clone();
            let readers: &[&str] = match *part {
                "self_attn" => &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
                // Keys and values read the encoder's output.
                "encoder_attn" => &["encoder_attn.q_proj"],
                _ => &["fc1"],
            };
            for reader in readers {
                let weight = format!("{layer}.{reader}.weight");
                let divided = &self.tensors[&weight] / &skip; // [out, d] by columns
                self.tensors.insert(weight, divided);
            }
            // The normalisation of this sum gives the next part's input.
            let Some((next_layer, next_part)) = names.get(number + 1) else { continue };
            let next = self.tensors[&format!("{next_layer}.{next_part}.w_skip")].shallow_clone();
            let norm = if *part == "ffn" { "final_layer_norm".into() } else { format!("{part}_layer_norm") };
            for name in ["weight", "bias"].map(|which| format!("{layer}.{norm}.{which}")) {
                let multiplied = &self.tensors[&name] * &next;
                self.tensors.insert(name, multiplied);
            }
        }
    }
}
