//! Models of Marian in the form of Hugging Face's `MarianMTModel`: a folder with `config.json`, `vocab.json`, `source.spm` and the
//! weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Kind, Tensor};

use super::torch_file::TorchFile;
use crate::config::Config;
use crate::data::Dictionary;
use crate::error::{Error, Result};
use crate::files;
use crate::model::{Activation, DecoderStart, Positions};
use crate::params::{tensor_from_view, with_safetensors};
use crate::progress::note;
use crate::text::SentencePiece;

/// The bias of `<s>`, which Marian does not have: a probability of 0 in single precision, a number in half precision, and no more
/// than some hundredths of the loss that label smoothing adds up over all symbols.
const NEVER: f64 = -1e4;
/// What `generate` can be told that a search here has no form of, with the value that changes nothing.
const NEUTRAL: [(&str, f64); 5] = [
    ("no_repeat_ngram_size", 0.0),
    ("repetition_penalty", 1.0),
    ("encoder_no_repeat_ngram_size", 0.0),
    ("num_beam_groups", 1.0),
    ("diversity_penalty", 0.0),
];

/// A model of Marian.
pub struct MarianModel {
    folder: PathBuf,
    config: Value,
    /// How it is searched: `generation_config.json`, or of older models `config.json`.
    generation: Value,
    tokenizer: Value,
    vocabulary: Vocabulary,
    /// Of the target, where it is another one.
    target: Option<Vocabulary>,
}

/// Pieces by their numbers, and the three special ones among them.
struct Vocabulary {
    pieces: Vec<String>,
    eos: usize,
    unknown: usize,
    pad: usize,
}

impl MarianModel {
    /// Open a folder of `save_pretrained`.
    ///
    /// # Errors
    /// [`Error::Content`] for a folder of another model, and for files that are missing or damaged.
    pub fn open(folder: &Path) -> Result<MarianModel> {
        if !folder.is_dir() {
            let next = "give a folder on this machine: models are not fetched from the hub (`hf download` does that)";
            return Err(Error::content(folder.display().to_string(), "a folder", "none", next));
        }
        let config = read(&folder.join("config.json"))?;
        let place = folder.join("config.json").display().to_string();
        if config["model_type"] != "marian" {
            let found = format!("model_type {}", config["model_type"]);
            let next = "give the folder of a MarianMTModel, such as one of Helsinki-NLP's opus-mt models";
            return Err(Error::content(place, "model_type \"marian\"", found, next));
        }
        let there =
            |name: &str| Some(folder.join(name)).filter(|path| path.exists()).map(|path| read(&path)).transpose();
        let generation = there("generation_config.json")?.unwrap_or_else(|| config.clone());
        let tokenizer = there("tokenizer_config.json")?.unwrap_or_default();
        let eos = number(&config, &place, "eos_token_id")?;
        let pad = number(&config, &place, "pad_token_id")?;
        let vocabulary = Vocabulary::read(&folder.join("vocab.json"), eos, pad)?;
        let target = match folder.join("target_vocab.json") {
            path if path.exists() => Some(Vocabulary::read(&path, eos, pad)?),
            _ => None,
        };
        Ok(MarianModel { folder: folder.to_path_buf(), config, generation, tokenizer, vocabulary, target })
    }

    /// Source and target language, where the folder says them.
    pub fn languages(&self) -> [Option<&str>; 2] {
        ["source_lang", "target_lang"].map(|key| self.tokenizer[key].as_str())
    }

    /// How raw text becomes pieces.
    ///
    /// # Errors
    /// As [`SentencePiece::read_model`].
    pub fn pieces(&self) -> Result<SentencePiece> {
        SentencePiece::read_model(&self.folder.join("source.spm"))
    }

    /// How raw text of the target becomes pieces, which a translation is not made with: what the model is to be trained on. None
    /// where the folder does not say it.
    ///
    /// # Errors
    /// As [`SentencePiece::read_model`].
    pub fn target_pieces(&self) -> Result<Option<SentencePiece>> {
        let path = self.folder.join("target.spm");
        path.exists().then(|| SentencePiece::read_model(&path)).transpose()
    }

    /// The dictionaries of source and target, with the special symbols of here in front.
    pub fn dictionaries(&self) -> [Dictionary; 2] {
        let of = |vocabulary: &Vocabulary| Dictionary::in_order(vocabulary.words().map(|id| &*vocabulary.pieces[id]));
        [of(&self.vocabulary), of(self.target.as_ref().unwrap_or(&self.vocabulary))]
    }

    /// The same network and search as a configuration here.
    ///
    /// # Errors
    /// [`Error::Content`] for a network that there is not here, with the key that makes it one.
    pub fn config(&self) -> Result<Config> {
        let place = self.folder.join("config.json").display().to_string();
        let refuse = |key: &str, expected: String| {
            let next = "such networks cannot be imported";
            Err(Error::content(&place, format!("{key}: {expected}"), self.config[key].to_string(), next))
        };
        for key in ["normalize_before", "normalize_embedding", "add_final_layer_norm"] {
            if self.config[key] == true {
                return refuse(key, "false".to_string());
            }
        }
        // Where they are left out the library's class has these, and Marian's models the others.
        for key in ["scale_embedding", "static_position_embeddings"] {
            if self.config[key] == false || (key == "scale_embedding" && self.config[key].is_null()) {
                return refuse(key, "true".to_string());
            }
        }
        let int = |key: &str| number(&self.config, &place, key);
        for (one, other) in [
            ("encoder_attention_heads", "decoder_attention_heads"),
            ("encoder_ffn_dim", "decoder_ffn_dim"),
            ("pad_token_id", "decoder_start_token_id"),
        ] {
            if int(one)? != int(other)? {
                return refuse(other, format!("{one}, {}", int(one)?));
            }
        }
        let mut config = Config::default();
        let model = &mut config.model;
        model.embed_dim = int("d_model")? as i64;
        model.ffn_dim = int("encoder_ffn_dim")? as i64;
        model.attention_heads = int("encoder_attention_heads")? as i64;
        model.encoder_layers = int("encoder_layers")? as i64;
        model.decoder_layers = int("decoder_layers")? as i64;
        model.max_positions = int("max_position_embeddings")? as i64;
        for (rate, key) in [
            (&mut model.dropout, "dropout"),
            (&mut model.attention_dropout, "attention_dropout"),
            (&mut model.relu_dropout, "activation_dropout"),
        ] {
            *rate = self.config[key].as_f64().unwrap_or(0.0);
        }
        model.activation = match self.config["activation_function"].as_str() {
            Some("relu") => Activation::Relu,
            Some("swish" | "silu") => Activation::Swish,
            Some("gelu") => Activation::Gelu,
            _ => return refuse("activation_function", "relu, swish or gelu".to_string()),
        };
        model.share_all_embeddings = self.config["share_encoder_decoder_embeddings"] != false;
        model.share_decoder_input_output_embed = self.config["tie_word_embeddings"] != false;
        if model.share_all_embeddings && !model.share_decoder_input_output_embed {
            return refuse("tie_word_embeddings", "true, where encoder and decoder share their embeddings".to_string());
        }
        (model.output_bias, model.positions, model.decoder_start) = (true, Positions::Marian, DecoderStart::Bos);
        let search = &mut config.search;
        let generation = &self.generation;
        search.beam = generation["num_beams"].as_u64().unwrap_or(1).clamp(1, u64::from(u16::MAX)) as usize;
        search.length_penalty = generation["length_penalty"].as_f64().unwrap_or(1.0);
        search.early_stopping = generation["early_stopping"] == true;
        // They count what is read before the first token; the longest counts `</s>`, too.
        search.min_length = generation["min_length"].as_u64().unwrap_or(0).saturating_sub(1).min(1 << 20) as usize;
        let longest = match generation["max_new_tokens"].as_u64() {
            Some(tokens) => tokens.saturating_sub(1),
            None => generation["max_length"].as_u64().unwrap_or(20).saturating_sub(2),
        };
        for (key, neutral) in NEUTRAL {
            if generation[key].as_f64().is_some_and(|value| value != neutral) {
                note(format!("warning: {key} = {} is left out: a search here has no such setting", generation[key]));
            }
        }
        (search.max_length_a, search.max_length_b) = (0.0, longest.max(1) as f64);
        config.validation.beam = config.search.beam;
        Ok(config)
    }

    /// The weights by the names that they have here, rows of embeddings in the order of [`MarianModel::dictionaries`].
    ///
    /// # Errors
    /// [`Error::Content`] for files that are damaged, and for tables of other sizes than the vocabularies.
    pub fn weights(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut weights = BTreeMap::new();
        let source = &self.vocabulary;
        let target = self.target.as_ref().unwrap_or(source);
        for (name, tensor) in self.tensors()? {
            let name = name.strip_prefix("model.").unwrap_or(&name);
            if name.ends_with("embed_positions.weight") {
                continue; // Sinusoids.
            }
            let (name, vocabulary) = match name {
                "shared.weight" | "encoder.embed_tokens.weight" => ("encoder.embed_tokens.weight", Some(source)),
                "decoder.embed_tokens.weight" => (name, Some(target)),
                "lm_head.weight" => ("decoder.output_projection.weight", Some(target)),
                "final_logits_bias" => ("decoder.output_projection.bias", Some(target)),
                _ => (name, None),
            };
            let tensor = match vocabulary {
                Some(vocabulary) => self.reordered(name, &tensor, vocabulary)?,
                None => tensor,
            };
            weights.insert(name.to_string(), tensor);
        }
        Ok(weights)
    }

    /// The rows of a table, or the elements of a bias, in the order of the dictionary.
    fn reordered(&self, name: &str, tensor: &Tensor, vocabulary: &Vocabulary) -> Result<Tensor> {
        let bias = name.ends_with("bias");
        let rows = if bias { tensor.reshape([-1]) } else { tensor.shallow_clone() };
        let count = rows.size().first().copied().unwrap_or(0);
        if count != vocabulary.pieces.len() as i64 {
            let (expected, found) = (format!("{} entries, as vocab.json", vocabulary.pieces.len()), count.to_string());
            let next = "the files of the folder are of several models";
            return Err(Error::content(format!("{}, {name}", self.folder.display()), expected, found, next));
        }
        // `<s>` is what the decoder reads before the first token: the row of `<pad>`.
        let specials = [vocabulary.pad, vocabulary.pad, vocabulary.eos, vocabulary.unknown];
        let order: Vec<i64> = specials.into_iter().chain(vocabulary.words()).map(|id| id as i64).collect();
        let rows = rows.to_kind(Kind::Float).index_select(0, &Tensor::from_slice(&order));
        if bias {
            let _ = rows.narrow(0, 0, 1).fill_(NEVER);
        }
        Ok(rows)
    }

    /// Everything that the file of weights holds.
    fn tensors(&self) -> Result<Vec<(String, Tensor)>> {
        let path = self.folder.join("model.safetensors");
        if path.exists() {
            let place = path.display().to_string();
            return with_safetensors(&path, |file| {
                file.iter().map(|(name, view)| Ok((name.to_string(), tensor_from_view(&place, &view)?))).collect()
            });
        }
        let path = self.folder.join("pytorch_model.bin");
        if !path.exists() {
            let place = self.folder.display().to_string();
            let next = "give a folder that holds the weights";
            return Err(Error::content(place, "model.safetensors or pytorch_model.bin", "neither", next));
        }
        let file = TorchFile::open(&path)?;
        let mut tensors = Vec::new();
        for &(name, value) in file.pickle.items(file.pickle.root()) {
            if let (Some(name), Some(tensor)) = (file.pickle.text(name), file.tensor(value)?) {
                tensors.push((name.to_string(), tensor));
            }
        }
        Ok(tensors)
    }
}

impl Vocabulary {
    fn read(path: &Path, eos: usize, pad: usize) -> Result<Vocabulary> {
        let refuse = |expected: &str, found: String| {
            Err(Error::content(path.display().to_string(), expected, found, "the folder is damaged: get it again"))
        };
        let json = read(path)?;
        let Some(entries) = json.as_object() else { return refuse("pieces with their numbers", "none".to_string()) };
        let mut pieces = vec![None; entries.len()];
        for (piece, id) in entries {
            let place = id.as_u64().and_then(|id| pieces.get_mut(usize::try_from(id).ok()?));
            match place {
                Some(place) if place.is_none() && !piece.is_empty() => *place = Some(piece.clone()),
                _ => return refuse("pieces with numbers from 0 on, each once", format!("{piece:?}: {id}")),
            }
        }
        let pieces: Vec<String> = pieces.into_iter().flatten().collect();
        let Some(unknown) = pieces.iter().position(|piece| piece == "<unk>") else {
            return refuse("a piece <unk>", "none".to_string());
        };
        if eos >= pieces.len() || pad >= pieces.len() || [pad, unknown].contains(&eos) || pad == unknown {
            return refuse("</s>, <unk> and <pad>, as config.json numbers them", format!("{eos}, {unknown} and {pad}"));
        }
        Ok(Vocabulary { pieces, eos, unknown, pad })
    }

    /// The numbers of all but the three special pieces.
    fn words(&self) -> impl Iterator<Item = usize> {
        (0..self.pieces.len()).filter(|&id| ![self.eos, self.unknown, self.pad].contains(&id))
    }
}

fn read(path: &Path) -> Result<Value> {
    serde_json::from_str(&files::read_text(path)?).map_err(|error| {
        Error::content(path.display().to_string(), "JSON", error.to_string(), "the folder is damaged: get it again")
    })
}

fn number(config: &Value, place: &str, key: &str) -> Result<usize> {
    let value = config[key].as_u64().filter(|&value| value <= 1 << 30);
    value.and_then(|value| usize::try_from(value).ok()).ok_or_else(|| {
        let next = "give the folder of a MarianMTModel";
        Error::content(place, format!("{key}, a whole number"), config[key].to_string(), next)
    })
}
