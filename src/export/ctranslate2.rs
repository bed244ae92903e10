//! A folder that CTranslate2 (from version 3.16 on) loads: `model.bin` in its binary format 6, revision 7 of its
//! `TransformerSpec`, and vocabularies.

use std::io::Write;
use std::path::Path;

use serde_json::json;
use tch::Tensor;

use super::plain::Precision;
use super::unskipped::Unskipped;
use crate::data::Dictionary;
use crate::error::{Error, Result};
use crate::files;
use crate::model::{Activation, ModelConfig};
use crate::params::raw_bytes;

const BINARY_VERSION: u32 = 6;
const SPECIFICATION: &str = "TransformerSpec";
const REVISION: u32 = 7;

/// The file that makes a folder one of CTranslate2's.
pub const MODEL_FILE: &str = "model.bin";

/// A variable of `model.bin`.
struct Variable {
    name: String,
    shape: Vec<u32>,
    /// CTranslate2's number of the type.
    kind: u8,
    bytes: Vec<u8>,
}

/// Variables and their second names.
struct Model {
    variables: Vec<Variable>,
    aliases: Vec<(String, String)>,
    precision: Precision,
}

impl Model {
    /// A matrix or a vector, in the precision of the model.
    fn tensor(&mut self, name: &str, tensor: &Tensor) {
        let kind = match self.precision {
            Precision::Fp32 => 0,
            Precision::Fp16 => 4,
            Precision::Bf16 => 5,
        };
        let bytes = raw_bytes(&tensor.to_kind(self.precision.kind()));
        let shape = tensor.size().iter().map(|&size| size as u32).collect();
        self.variables.push(Variable { name: name.to_string(), shape, kind, bytes });
    }

    /// A number that stays fp32 whatever the others are.
    fn float32(&mut self, name: &str, value: f32) {
        let bytes = value.to_le_bytes().to_vec();
        self.variables.push(Variable { name: name.to_string(), shape: Vec::new(), kind: 0, bytes });
    }

    fn int8(&mut self, name: &str, value: i8) {
        let bytes = value.to_le_bytes().to_vec();
        self.variables.push(Variable { name: name.to_string(), shape: Vec::new(), kind: 1, bytes });
    }

    fn int16(&mut self, name: &str, value: i16) {
        let bytes = value.to_le_bytes().to_vec();
        self.variables.push(Variable { name: name.to_string(), shape: Vec::new(), kind: 2, bytes });
    }

    /// A linear layer: its weight `[out, in]` and bias `[out]`, of several of fairseq's layers one above the other.
    fn linear(&mut self, name: &str, network: &Unskipped, parts: &[String]) -> Result<()> {
        for (suffix, its) in [("weight", "weight"), ("bias", "bias")] {
            let tensors: Vec<&Tensor> =
                parts.iter().map(|part| network.get(&format!("{part}.{its}"))).collect::<Result<_>>()?;
            self.tensor(&format!("{name}/{suffix}"), &Tensor::cat(&tensors, 0));
        }
        Ok(())
    }

    fn layer_norm(&mut self, name: &str, network: &Unskipped, its: &str) -> Result<()> {
        self.tensor(&format!("{name}/gamma"), network.get(&format!("{its}.weight"))?);
        self.tensor(&format!("{name}/beta"), network.get(&format!("{its}.bias"))?);
        Ok(())
    }

    /// What encoder and decoder layers have alike.
    fn layer(&mut self, name: &str, network: &Unskipped, its: &str, over_encoder: bool) -> Result<()> {
        let of = |attention: &str, parts: &[&str]| -> Vec<String> {
            parts.iter().map(|part| format!("{its}.{attention}.{part}_proj")).collect()
        };
        let own = format!("{name}/self_attention");
        self.layer_norm(&format!("{own}/layer_norm"), network, &format!("{its}.self_attn_layer_norm"))?;
        self.linear(&format!("{own}/linear_0"), network, &of("self_attn", &["q", "k", "v"]))?;
        self.linear(&format!("{own}/linear_1"), network, &of("self_attn", &["out"]))?;
        if over_encoder {
            let attention = format!("{name}/attention");
            self.layer_norm(&format!("{attention}/layer_norm"), network, &format!("{its}.encoder_attn_layer_norm"))?;
            self.linear(&format!("{attention}/linear_0"), network, &of("encoder_attn", &["q"]))?;
            self.linear(&format!("{attention}/linear_1"), network, &of("encoder_attn", &["k", "v"]))?;
            self.linear(&format!("{attention}/linear_2"), network, &of("encoder_attn", &["out"]))?;
        }
        self.layer_norm(&format!("{name}/ffn/layer_norm"), network, &format!("{its}.final_layer_norm"))?;
        self.linear(&format!("{name}/ffn/linear_0"), network, &[format!("{its}.fc1")])?;
        self.linear(&format!("{name}/ffn/linear_1"), network, &[format!("{its}.fc2")])
    }

    fn write(&self, mut to: impl Write) -> std::io::Result<()> {
        // A length that counts the zero at the end, the text, the zero.
        let text = |to: &mut dyn Write, text: &str| {
            to.write_all(&(text.len() as u16 + 1).to_le_bytes())?;
            to.write_all(text.as_bytes())?;
            to.write_all(&[0])
        };
        to.write_all(&BINARY_VERSION.to_le_bytes())?;
        text(&mut to, SPECIFICATION)?;
        to.write_all(&REVISION.to_le_bytes())?;
        to.write_all(&(self.variables.len() as u32).to_le_bytes())?;
        for variable in &self.variables {
            text(&mut to, &variable.name)?;
            to.write_all(&[variable.shape.len() as u8])?;
            for size in &variable.shape {
                to.write_all(&size.to_le_bytes())?;
            }
            to.write_all(&[variable.kind])?;
            to.write_all(&(variable.bytes.len() as u32).to_le_bytes())?;
            to.write_all(&variable.bytes)?;
        }
        to.write_all(&(self.aliases.len() as u32).to_le_bytes())?;
        for (alias, name) in &self.aliases {
            text(&mut to, alias)?;
            text(&mut to, name)?;
        }
        Ok(())
    }
}

/// Write the folder `output`, which there is not yet: `model.bin`, `config.json`, vocabularies. A `w_skip` is folded into its
/// neighbours.
///
/// `positions` is the table `[positions, d]` of the network, row 0 for the first token.
///
/// # Errors
/// [`Error::Content`] for a network that CTranslate2 does not have; [`Error::Io`].
pub fn ctranslate2(
    output: &Path,
    config: &ModelConfig,
    network: &Unskipped,
    [source, target]: [&Dictionary; 2],
    precision: Precision,
) -> Result<()> {
    let model = variables(config, network, precision)?;
    std::fs::create_dir_all(output).map_err(Error::io("create the folder", output))?;
    let path = output.join(MODEL_FILE);
    files::write_atomically(&path, |writer| model.write(writer).map_err(Error::io("write", &path)))?;
    let settings = json!({
        "add_source_bos": false,
        "add_source_eos": true,
        "bos_token": "<s>",
        "decoder_start_token": config.decoder_start,
        "eos_token": "</s>",
        "layer_norm_epsilon": null,
        "multi_query_attention": false,
        "unk_token": "<unk>",
    });
    let write = |name: &str, value: &serde_json::Value| files::write_json(&output.join(name), value);
    write("config.json", &settings)?;
    // CTranslate2 calls the padding so.
    let words = |dictionary: &Dictionary| -> serde_json::Value {
        dictionary.iter().map(|(word, _)| if word == "<pad>" { "<blank>" } else { word }).collect::<Vec<_>>().into()
    };
    if source.hash() == target.hash() {
        return write("shared_vocabulary.json", &words(source));
    }
    write("source_vocabulary.json", &words(source))?;
    write("target_vocabulary.json", &words(target))
}

/// CTranslate2's number of an activation.
fn activation(activation: Activation) -> i8 {
    match activation {
        Activation::Relu => 0,
        Activation::Swish => 2,
        Activation::Gelu => 3,
    }
}

fn variables(config: &ModelConfig, network: &Unskipped, precision: Precision) -> Result<Model> {
    let mut model = Model { variables: Vec::new(), aliases: Vec::new(), precision };
    let heads = i16::try_from(config.attention_heads).map_err(|_| {
        Error::content("the model", "at most 32767 heads", config.attention_heads.to_string(), "export to safetensors")
    })?;
    for side in ["encoder", "decoder"] {
        let decoder = side == "decoder";
        model.int8(&format!("{side}/pre_norm"), i8::from(config.pre_norm));
        model.int8(&format!("{side}/activation"), activation(config.activation));
        model.int16(&format!("{side}/num_heads"), heads);
        model.float32(&format!("{side}/scale_embeddings"), (config.embed_dim as f32).sqrt());
        let positions = if decoder { &network.decoder_positions } else { &network.encoder_positions };
        model.tensor(&format!("{side}/position_encodings/encodings"), positions);
        let layers = if decoder { config.decoder_layers } else { config.encoder_layers };
        for layer in 0..layers {
            model.layer(&format!("{side}/layer_{layer}"), network, &format!("{side}.layers.{layer}"), decoder)?;
        }
        if config.pre_norm {
            model.layer_norm(&format!("{side}/layer_norm"), network, &format!("{side}.layer_norm"))?;
        }
    }
    model.int8("encoder/embeddings_merge", 0);
    model.int8("encoder/multi_query_attention", 0);
    model.int8("decoder/alibi", 0);
    model.int8("decoder/alibi_use_positive_positions", 0);
    model.int8("decoder/scale_alibi", 0);
    model.int8("decoder/start_from_zero_embedding", 0);
    model.int16("decoder/alignment_heads", 0);
    model.int16("decoder/alignment_layer", -1);
    // Tables that are one are written once.
    let tables = [
        ("decoder/embeddings/weight", "decoder.embed_tokens.weight"),
        ("decoder/projection/weight", "decoder.output_projection.weight"),
        ("encoder/embeddings_0/weight", "encoder.embed_tokens.weight"),
    ];
    if config.output_bias {
        model.tensor("decoder/projection/bias", network.get("decoder.output_projection.bias")?);
    }
    let mut written: Vec<(&str, &Tensor)> = Vec::new();
    for (name, its) in tables {
        let table = network.get(its)?;
        match written.iter().find(|(_, other)| other.data_ptr() == table.data_ptr()) {
            Some((other, _)) => model.aliases.push((name.to_string(), other.to_string())),
            None => {
                model.tensor(name, table);
                written.push((name, table));
            }
        }
    }
    model.variables.sort_by(|a, b| a.name.cmp(&b.name));
    model.aliases.sort();
    Ok(model)
}
