//! Which pieces is a text made of? SentencePiece's unigram model, by the `tokenizers` crate.

use std::collections::HashSet;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::{AddedToken, Tokenizer};

use super::SUBWORD_FILE;
use super::charsmap::is_whole;
use crate::error::{Error, Result};
use crate::files;

/// What stands for a blank, and before the first word.
const BLANK: char = '▁';
/// The name of the piece for what is no piece. It holds a blank, so that it is never found in a text.
const UNKNOWN: &str = "<unknown piece>";

/// A unigram model with its normalisation of characters.
///
/// ```
/// use nmt::text::{SentencePiece, join_pieces};
/// let pieces = [("<unk>", 0.0), ("▁", -3.0), ("▁gut", -2.0), ("en", -2.5), ("▁Tag", -2.0), (".", -2.0)];
/// let model = SentencePiece::new(pieces.map(|(piece, score)| (piece.to_string(), score)).to_vec(), 0, &[])?;
/// assert_eq!(model.pieces(" guten   Tag. "), ["▁gut", "en", "▁Tag", "."]);
/// assert_eq!(model.pieces(">>fr<< Tag 日"), [">>fr<<", "▁Tag", "▁", "日"]);
/// assert!(model.pieces("  ").is_empty());
/// assert_eq!(join_pieces(["▁gut", "en", "▁Tag", "."]), "guten Tag.");
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug)]
pub struct SentencePiece {
    tokenizer: Tokenizer,
}

/// What is needed of SentencePiece's `ModelProto` (sentencepiece_model.proto).
#[derive(Clone, PartialEq, prost::Message)]
struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Trainer {
    /// 1 unigram, 2 BPE, 3 word, 4 char; unigram where it is left out.
    #[prost(int32, optional, tag = "3")]
    model: Option<i32>,
    #[prost(bool, optional, tag = "22")]
    split_by_whitespace: Option<bool>,
    #[prost(bool, optional, tag = "24")]
    whitespace_as_suffix: Option<bool>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Normalizer {
    #[prost(bytes = "vec", optional, tag = "2")]
    charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

impl SentencePiece {
    /// A model of `pieces` with their logarithms of probabilities, of which `unknown` is the number of the one for what is no
    /// piece, over text that `charsmap`, SentencePiece's compiled rules, normalises; empty: not at all.
    ///
    /// # Errors
    /// [`Error::Content`] for pieces and rules that make no model.
    pub fn new(mut pieces: Vec<(String, f64)>, unknown: usize, charsmap: &[u8]) -> Result<SentencePiece> {
        if let Some((name, _)) = pieces.get_mut(unknown) {
            *name = UNKNOWN.to_string();
        }
        let refuse = |expected: &str, found: String| Err(Error::content("the pieces", expected, found, ""));
        let mut seen = HashSet::new();
        for (piece, score) in &pieces {
            if piece.is_empty() || !score.is_finite() || !seen.insert(piece) {
                return refuse("different pieces with a score each", format!("{piece:?} with {score}"));
            }
        }
        let (count, crates) = (pieces.len(), |error: tokenizers::Error| error.to_string());
        let model = match Unigram::from(pieces, Some(unknown), false).map_err(crates) {
            Ok(model) => model,
            Err(error) => return refuse("a unigram model", format!("{error} (piece {unknown} of {count})")),
        };
        let mut steps = Vec::new();
        if !charsmap.is_empty() {
            // The crate believes the length that they begin with: look at them first.
            match is_whole(charsmap).then(|| Precompiled::from(charsmap)) {
                Some(Ok(rules)) => steps.push(NormalizerWrapper::Precompiled(rules)),
                _ => return refuse("rules that normalise characters", format!("{} damaged bytes", charsmap.len())),
            }
        }
        // SentencePiece's remove_extra_whitespaces.
        steps.push(NormalizerWrapper::StripNormalizer(Strip::new(true, true)));
        match Replace::new(ReplacePattern::Regex(" {2,}".to_string()), " ") {
            Ok(replace) => steps.push(NormalizerWrapper::Replace(replace)),
            Err(error) => return refuse("a pattern", error.to_string()),
        }
        let mut tokenizer = Tokenizer::new(model);
        let metaspace = Metaspace::new(BLANK, PrependScheme::Always, true);
        tokenizer.with_normalizer(Some(Sequence::new(steps)));
        tokenizer.with_pre_tokenizer(Some(metaspace.clone()));
        tokenizer.with_decoder(Some(metaspace));
        Ok(SentencePiece { tokenizer })
    }

    /// Read a model of SentencePiece, such as `source.spm`.
    ///
    /// # Errors
    /// [`Error::Content`] for a damaged file and for models that are not unigram ones with the usual treatment of blanks.
    pub fn read_model(path: &Path) -> Result<SentencePiece> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let refuse = |expected: &str, found: String| {
            Err(Error::content(path.display().to_string(), expected, found, "such models cannot be imported"))
        };
        let model = match ModelProto::decode(bytes.as_slice()) {
            Ok(model) => model,
            Err(error) => return refuse("a model of SentencePiece", error.to_string()),
        };
        // They are behind the pieces: a file that was cut between two of these has none.
        let (Some(trainer), Some(normalizer)) = (model.trainer, model.normalizer) else {
            return refuse("a model of SentencePiece with its settings", "pieces alone".to_string());
        };
        let kind = trainer.model.unwrap_or(1);
        if kind != 1 {
            let name = ["unigram", "BPE", "word", "char"].get(kind.max(1) as usize - 1).unwrap_or(&"another kind");
            return refuse("a unigram model", format!("one of {name}"));
        }
        let usual = [normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces, normalizer.escape_whitespaces];
        let blanks_in_front = trainer.split_by_whitespace != Some(false) && trainer.whitespace_as_suffix != Some(true);
        if usual.contains(&Some(false)) || !blanks_in_front {
            return refuse("the usual treatment of blanks: one in front of every word", "another one".to_string());
        }
        let (mut pieces, mut unknown) = (Vec::new(), None);
        for piece in model.pieces {
            let (text, score) = (piece.piece.unwrap_or_default(), f64::from(piece.score.unwrap_or(0.0)));
            match piece.kind.unwrap_or(1) {
                2 => {
                    unknown = Some(pieces.len());
                    pieces.push((text, score));
                }
                // Control symbols and unused pieces are not found in text.
                3 | 5 => {}
                6 => return refuse("pieces of characters", format!("one of a byte, {text}")),
                _ => pieces.push((text, score)),
            }
        }
        let Some(unknown) = unknown else { return refuse("a piece for what is unknown", "none".to_string()) };
        SentencePiece::new(pieces, unknown, &normalizer.charsmap.unwrap_or_default()).map_err(|error| match error {
            Error::Content { expected, found, next, .. } => {
                Error::Content { place: path.display().to_string(), expected, found, next }
            }
            other => other,
        })
    }

    /// The model of a folder's source text, its `tokenizer.json`; none where there is no such file, or where it is another kind
    /// of model.
    ///
    /// # Errors
    /// [`Error::Content`] for a damaged file.
    pub fn load(dir: &Path) -> Result<Option<SentencePiece>> {
        SentencePiece::load_file(&dir.join(SUBWORD_FILE))
    }

    /// The model that [`SentencePiece::save`] wrote to `path`; none where there is no such file, or where it is another kind of
    /// model.
    ///
    /// # Errors
    /// [`Error::Content`] for a damaged file.
    pub fn load_file(path: &Path) -> Result<Option<SentencePiece>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = files::read_text(path)?;
        // Of every other run the file is read once more, as what it is.
        if !text.contains("\"Unigram\"") {
            return Ok(None);
        }
        // What is no JSON is a `codes` file of subword-nmt, or damaged: `Subword` says so.
        let Ok(file) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
        let model = &file["model"];
        if model["type"] != "Unigram" {
            return Ok(None);
        }
        let damaged = |found: &str| {
            let place = path.display().to_string();
            Error::content(place, "a unigram model of the tokenizers crate", found, "import the model again")
        };
        let piece = |entry: &Value| Some((entry[0].as_str()?.to_string(), entry[1].as_f64()?));
        let pieces: Option<Vec<_>> = model["vocab"].as_array().and_then(|all| all.iter().map(piece).collect());
        let pieces = pieces.ok_or_else(|| damaged("no list of pieces with their scores"))?;
        let unknown = model["unk_id"].as_u64().ok_or_else(|| damaged("no unk_id"))?;
        let steps = file["normalizer"]["normalizers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let known = |step: &Value| ["Precompiled", "Strip", "Replace"].iter().any(|name| step["type"] == *name);
        if !steps.iter().all(known) || steps.is_empty() || file["pre_tokenizer"]["type"] != "Metaspace" {
            return Err(damaged("another normalizer or pre_tokenizer than `nmt import` writes"));
        }
        let rules = steps.iter().find_map(|step| step["precompiled_charsmap"].as_str()).unwrap_or_default();
        let charsmap = BASE64_STANDARD.decode(rules).map_err(|_| damaged("rules that are no base64"))?;
        let unknown = usize::try_from(unknown).unwrap_or(usize::MAX);
        SentencePiece::new(pieces, unknown, &charsmap).map(Some).map_err(|error| damaged(&error.to_string()))
    }

    /// Write a `tokenizer.json`. Other programs that read it keep `codes`, such as `>>fr<<`, whole; here they are where a line begins.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path, codes: &[&str]) -> Result<()> {
        let mut tokenizer = self.tokenizer.clone();
        let codes: Vec<AddedToken> =
            codes.iter().map(|&code| AddedToken::from(code, false).normalized(false)).collect();
        tokenizer.add_tokens(&codes);
        let text = tokenizer
            .to_string(false)
            .map_err(|error| Error::content(path.display().to_string(), "a unigram model", error.to_string(), ""))?;
        files::write_whole(path, text.as_bytes())
    }

    /// A line in pieces. A language code in front, `>>fr<<`, is a piece of its own, as in Marian's models of several languages; what
    /// no piece is made of stays as it is.
    pub fn pieces(&self, line: &str) -> Vec<String> {
        let line = line.trim_end_matches(['\r', '\n']);
        let (code, text) = line.split_at(language_code(line).len());
        // The crate fails only without a piece for what is unknown, which it was given.
        let found = self.tokenizer.encode(text, false).ok();
        let found = found.iter().flat_map(|encoding| encoding.get_tokens()).map(String::as_str);
        // Of nothing but blanks the crate leaves the one in front of the first word, SentencePiece nothing.
        let all: Vec<&str> = found.collect();
        let all = if all == [BLANK.to_string().as_str()] { Vec::new() } else { all };
        Some(code).filter(|code| !code.is_empty()).into_iter().chain(all).map(str::to_string).collect()
    }
}

/// The language code that a text begins with, such as `>>fr<<`; empty where there is none.
pub fn language_code(text: &str) -> &str {
    let length = text.strip_prefix(">>").and_then(|rest| rest.rfind("<<")).filter(|&length| length > 0);
    &text[..length.map_or(0, |length| length + 4)]
}

/// Put pieces together again: the text that they are of.
pub fn join_pieces<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
    pieces.into_iter().collect::<String>().replace(BLANK, " ").trim().to_string()
}
