//! A folder for `transformers`: `FSMTForConditionalGeneration`, which is fairseq's Transformer there.

use std::path::Path;

use serde_json::{Map, Value, json};
use tch::Tensor;

use super::plain::{Precision, blocks};
use crate::config::Config;
use crate::data::{BOS, Dictionary, EOS, PAD, UNK};
use crate::decode::SearchConfig;
use crate::error::{Error, Result};
use crate::files;
use crate::model::{DecoderStart, ModelConfig, Positions};
use crate::params::{Layout, save_tensors};
use crate::text::Merge;

/// The file that makes a folder one of FSMT's.
pub const SOURCE_VOCABULARY: &str = "vocab-src.json";
/// The longest translation where none is asked for, as fairseq's default.
const LONGEST: i64 = 200;

/// How raw text becomes what the model reads, as far as `FSMTTokenizer` knows it.
pub struct HuggingFaceText<'a> {
    /// The languages, source and target.
    pub languages: [&'a str; 2],
    /// The dictionaries of source and target.
    pub dictionaries: [&'a Dictionary; 2],
    /// The merges of its byte-pair encoding, in their order.
    pub merges: &'a [Merge],
    /// Text is lower-cased.
    pub lowercase: bool,
}

/// Write the folder `output`: `config.json`, `generation_config.json`, `model.safetensors`, vocabularies, merges.
///
/// # Errors
/// [`Error::Content`] for a network that FSMT is not; [`Error::Io`].
pub fn hugging_face(
    output: &Path,
    place: &str,
    config: &Config,
    (layout, theta): (&Layout, &Tensor),
    text: &HuggingFaceText,
    precision: Precision,
) -> Result<()> {
    check(place, &config.model)?;
    std::fs::create_dir_all(output).map_err(Error::io("create the folder", output))?;
    let write = |name: &str, value: &Value| files::write_json(&output.join(name), value);
    write("config.json", &settings(&config.model, text, precision))?;
    write("generation_config.json", &generation(&config.search, &config.model))?;
    let [source, target] = text.dictionaries.map(|dictionary| vocabulary(place, dictionary, !text.merges.is_empty()));
    write(SOURCE_VOCABULARY, &source?)?;
    write("vocab-tgt.json", &target?)?;
    let merges: String = text.merges.iter().map(|(first, second)| format!("{first} {second}\n")).collect();
    files::write_whole(&output.join("merges.txt"), merges.as_bytes())?;
    write(
        "tokenizer_config.json",
        &json!({
            "do_lower_case": text.lowercase,
            "langs": text.languages,
            "model_max_length": config.model.max_positions,
            "tokenizer_class": "FSMTTokenizer",
        }),
    )?;
    save_tensors(&output.join("model.safetensors"), &tensors(layout, theta, precision))
}

/// Refuse what FSMT does not compute.
fn check(place: &str, model: &ModelConfig) -> Result<()> {
    let plain = model.layer_norm && !model.pre_norm && !model.w_skip;
    let of_fairseq =
        model.positions == Positions::Fairseq && model.decoder_start == DecoderStart::Eos && !model.output_bias;
    let tied = model.share_all_embeddings || model.share_decoder_input_output_embed;
    let (expected, found) = match (plain, of_fairseq, tied) {
        (true, true, true) => return Ok(()),
        (false, ..) => (
            "a Post-LN Transformer without w_skip",
            format!("layer_norm {}, pre_norm {}, w_skip {}", model.layer_norm, model.pre_norm, model.w_skip),
        ),
        (_, false, _) => ("fairseq's positions and output", "Marian's".to_string()),
        _ => ("an output projection that is the decoder's embedding", "one of its own".to_string()),
    };
    Err(Error::content(place, format!("{expected}, as FSMT is"), found, "export to safetensors"))
}

/// Every block under FSMT's name, which is fairseq's behind `model.`; tied tables under each of theirs.
fn tensors(layout: &Layout, theta: &Tensor, precision: Precision) -> Vec<(String, Tensor)> {
    let blocks = blocks(layout, theta, precision);
    let others = layout.aliases().filter_map(|(alias, its)| {
        let (_, tensor) = blocks.iter().find(|(name, _)| name == its)?;
        Some((alias.to_string(), tensor.shallow_clone()))
    });
    let all = others.collect::<Vec<_>>().into_iter().chain(blocks);
    all.map(|(name, tensor)| (format!("model.{name}"), tensor)).collect()
}

fn settings(model: &ModelConfig, text: &HuggingFaceText, precision: Precision) -> Value {
    let [source, target] = text.dictionaries.map(Dictionary::len);
    let dtype = match precision {
        Precision::Fp32 => "float32",
        Precision::Fp16 => "float16",
        Precision::Bf16 => "bfloat16",
    };
    json!({
        "activation_dropout": model.relu_dropout,
        "activation_function": model.activation,
        "architectures": ["FSMTForConditionalGeneration"],
        "attention_dropout": model.attention_dropout,
        "bos_token_id": BOS,
        "d_model": model.embed_dim,
        "decoder_attention_heads": model.attention_heads,
        "decoder_ffn_dim": model.ffn_dim,
        "decoder_layers": model.decoder_layers,
        "decoder_start_token_id": EOS,
        "dropout": model.dropout,
        "encoder_attention_heads": model.attention_heads,
        "encoder_ffn_dim": model.ffn_dim,
        "encoder_layers": model.encoder_layers,
        "eos_token_id": EOS,
        "is_encoder_decoder": true,
        "langs": text.languages,
        "max_position_embeddings": model.max_positions,
        "model_type": "fsmt",
        "pad_token_id": PAD,
        "scale_embedding": true,
        "src_vocab_size": source,
        "tgt_vocab_size": target,
        // Every table is there under each of its names.
        "tie_word_embeddings": false,
        "torch_dtype": dtype,
    })
}

fn generation(search: &SearchConfig, model: &ModelConfig) -> Value {
    json!({
        "bad_words_ids": [[PAD]],
        "bos_token_id": BOS,
        "decoder_start_token_id": EOS,
        "early_stopping": search.early_stopping,
        "eos_token_id": EOS,
        "length_penalty": search.length_penalty,
        "max_length": LONGEST.min(model.max_positions),
        // It counts what is read before the first token.
        "min_length": search.min_length + 1,
        "num_beams": search.beam,
        "pad_token_id": PAD,
    })
}

/// Pieces as FSMT's tokenizer makes them: the last of a word ends with `</w>`, the others, where words are `cut`, with nothing.
fn vocabulary(place: &str, dictionary: &Dictionary, cut: bool) -> Result<Value> {
    let mut vocabulary = Map::new();
    for (id, (word, _)) in dictionary.iter().enumerate() {
        let piece = match word.strip_suffix("@@") {
            _ if id as i64 <= UNK => word.to_string(),
            Some(piece) if cut => piece.to_string(),
            _ => format!("{word}</w>"),
        };
        if vocabulary.insert(piece, Value::from(id)).is_some() {
            let expected = "words that stay different as pieces of FSMT's tokenizer";
            return Err(Error::content(place, expected, format!("{word:?}"), "export to safetensors"));
        }
    }
    Ok(Value::Object(vocabulary))
}
