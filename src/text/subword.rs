//! Which pieces is a word made of? Byte-pair encoding by the `tokenizers` crate, shown as subword-nmt shows it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{Model, SplitDelimiterBehavior, Tokenizer};

use super::SUBWORD_FILE;
use crate::error::{Error, Result};
use crate::files;

/// What the last symbol of a word ends with in the merges.
pub(super) const END_OF_WORD: &str = "</w>";
/// What every piece but the last of a word ends with in the text.
const CONTINUED: &str = "@@";
/// The name that characters which are not in the vocabulary have in `tokenizer.json`. Words have no blanks, so that it is never made
/// from the characters of a word.
const UNKNOWN: &str = "<unknown character>";

/// Two neighbouring symbols that become one.
pub type Merge = (String, String);

/// A byte-pair encoding, with merges from [`learn_merges`](super::learn_merges) or from a file.
///
/// ```
/// use nmt::text::{Subword, join_subwords};
/// let merges = [("l", "o"), ("lo", "w</w>")].map(|(a, b)| (a.to_string(), b.to_string()));
/// let subword = Subword::from_merges(&merges, [])?;
/// assert_eq!(subword.segment("low lower łow"), "low lo@@ w@@ e@@ r ł@@ o@@ w");
/// assert_eq!(join_subwords("low lo@@ w@@ e@@ r ł@@ o@@ w"), "low lower łow");
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug)]
pub struct Subword {
    tokenizer: Tokenizer,
    merges: Vec<Merge>,
}

impl Subword {
    /// The encoding that carries out `merges` in this order; of a merge that comes twice the first counts.
    ///
    /// Characters without a merge make no difference here, but other programs that read the `tokenizer.json` know only
    /// those of the merges and of `alphabet`.
    ///
    /// # Errors
    /// [`Error::Content`] when the crate does not take them.
    pub fn from_merges(merges: &[Merge], alphabet: impl IntoIterator<Item = char>) -> Result<Subword> {
        let mut vocabulary = Vocab::from_iter([(UNKNOWN.to_string(), 0)]);
        let mut add = |symbol: String| {
            let next = vocabulary.len() as u32;
            vocabulary.entry(symbol).or_insert(next);
        };
        let merged = merges.iter().flat_map(|(first, second)| [first, second]);
        let characters = merged.flat_map(|symbol| symbol.strip_suffix(END_OF_WORD).unwrap_or(symbol).chars());
        for character in characters.chain(alphabet).collect::<BTreeSet<char>>() {
            add(character.to_string());
            add(format!("{character}{END_OF_WORD}"));
        }
        let mut seen = HashSet::new();
        let merges: Vec<Merge> = merges.iter().filter(|merge| seen.insert(*merge)).cloned().collect();
        for (first, second) in &merges {
            [first.clone(), second.clone(), format!("{first}{second}")].into_iter().for_each(&mut add);
        }
        let model = BPE::builder()
            .vocab_and_merges(vocabulary, merges.clone())
            .unk_token(UNKNOWN.to_string())
            .end_of_word_suffix(END_OF_WORD.to_string())
            // `nmt preprocess` cuts every distinct word once, and in a translation this is not what takes time.
            .cache_capacity(0)
            .build()
            .map_err(|error| Error::content("the merges", "a byte-pair encoding", error.to_string(), ""))?;
        Ok(Subword { tokenizer: Tokenizer::new(model), merges })
    }

    /// Read a `tokenizer.json` (a BPE model whose words end with `</w>`) or a `codes` file of subword-nmt.
    ///
    /// # Errors
    /// [`Error::Content`] with the line, or with what the model would have to be.
    pub fn read(path: &Path) -> Result<Subword> {
        let text = files::read_text(path)?;
        if text.trim_start().starts_with('{') {
            let (merges, alphabet) = parts_of_tokenizer(path, &text)?;
            Subword::from_merges(&merges, alphabet)
        } else {
            Subword::from_merges(&merges_of_codes(path, &text)?, [])
        }
    }

    /// The encoding of a data or model folder, its `tokenizer.json`; none when there is no such file.
    pub fn load(dir: &Path) -> Result<Option<Subword>> {
        let path = dir.join(SUBWORD_FILE);
        if path.exists() { Subword::read(&path).map(Some) } else { Ok(None) }
    }

    /// Write a `tokenizer.json`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let refused = |error: tokenizers::Error| {
            Error::content(path.display().to_string(), "a byte-pair encoding", error.to_string(), "")
        };
        let mut tokenizer = self.tokenizer.clone();
        // For other programs that read the file: words are what stands between blanks.
        let split = tokenizers::pre_tokenizers::split::Split::new(" ", SplitDelimiterBehavior::Removed, false);
        tokenizer.with_pre_tokenizer(Some(split.map_err(refused)?));
        tokenizer.with_decoder(Some(tokenizers::decoders::bpe::BPEDecoder::new(END_OF_WORD.to_string())));
        files::write_whole(path, tokenizer.to_string(true).map_err(refused)?.as_bytes())
    }

    /// The merges in their order, each once.
    pub fn merges(&self) -> &[Merge] {
        &self.merges
    }

    /// The [`blank_separated`] words of a line in pieces, as subword-nmt's `apply-bpe` shows them: a piece that is not
    /// the last of its word ends with `@@`. Characters that no merge has are pieces of their own.
    pub fn segment(&self, line: &str) -> String {
        show_pieces(line, |word| self.ends(word))
    }

    /// One word in pieces, as [`Subword::segment`] shows it in a line. Alone, a word that begins or ends with `\r` would
    /// lose it as a line does.
    pub fn segment_word(&self, word: &str) -> String {
        let mut segmented = String::with_capacity(2 * word.len());
        add_pieces(word, &self.ends(word), &mut segmented);
        segmented
    }

    /// Where the pieces of a word end.
    fn ends(&self, word: &str) -> Vec<usize> {
        // The model fails only without a name for unknown characters, which it was given.
        let tokens = self.tokenizer.get_model().tokenize(word).unwrap_or_default();
        tokens.iter().map(|token| token.offsets.1).collect()
    }
}

/// The words of a line in pieces that end where `ends` says, the last at the end of the word.
pub(super) fn show_pieces(line: &str, mut ends: impl FnMut(&str) -> Vec<usize>) -> String {
    let mut segmented = String::with_capacity(2 * line.len());
    for word in blank_separated(line) {
        add_pieces(word, &ends(word), &mut segmented);
        segmented.push(' ');
    }
    segmented.pop();
    segmented
}

fn add_pieces(word: &str, ends: &[usize], segmented: &mut String) {
    let mut start = 0;
    for &end in ends.iter().take(ends.len().saturating_sub(1)) {
        segmented.push_str(word.get(start..end).unwrap_or_default());
        segmented.push_str(CONTINUED);
        segmented.push(' ');
        start = end;
    }
    segmented.push_str(word.get(start..).unwrap_or_default());
}

/// The words of a line as subword-nmt sees them: what stands between blanks, and between the ends of the line without
/// `\r`. Other white space belongs to a word.
pub fn blank_separated(line: &str) -> impl Iterator<Item = &str> {
    line.trim_matches(['\r', '\n', ' ']).split(' ').filter(|word| !word.is_empty())
}

/// Put the pieces of words together again, as fairseq's `--remove-bpe` does.
pub fn join_subwords(line: &str) -> String {
    format!("{line} ").replace("@@ ", "").trim_end().to_string()
}

/// What is needed of a `tokenizer.json`.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    normalizer: Option<serde_json::Value>,
    #[serde(default)]
    pre_tokenizer: Option<serde_json::Value>,
    model: ModelPart,
}

#[derive(Deserialize)]
struct ModelPart {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    vocab: Option<HashMap<String, IgnoredAny>>,
    #[serde(default)]
    merges: Option<Vec<MergePart>>,
}

/// A merge as newer and as older releases of the crate write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum MergePart {
    Pair(String, String),
    Text(String),
}

/// The merges and the characters of the vocabulary.
fn parts_of_tokenizer(path: &Path, text: &str) -> Result<(Vec<Merge>, Vec<char>)> {
    let refused = |found: String| {
        Error::content(
            path.display().to_string(),
            format!("a tokenizer.json with a BPE model whose words end with {END_OF_WORD}"),
            found,
            "give the tokenizer.json of `nmt preprocess` or a codes file of subword-nmt",
        )
    };
    let file = serde_json::from_str::<TokenizerFile>(text).map_err(|error| refused(error.to_string()))?;
    let model = file.model;
    if model.r#type.as_deref().unwrap_or("BPE") != "BPE" {
        return Err(refused(format!("a model of type {}", model.r#type.unwrap_or_default())));
    }
    if model.end_of_word_suffix.as_deref() != Some(END_OF_WORD) {
        return Err(refused(format!("end_of_word_suffix {:?}", model.end_of_word_suffix.unwrap_or_default())));
    }
    if model.byte_fallback || model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Err(refused("byte_fallback or a continuing_subword_prefix".to_string()));
    }
    // What these do to a text is not done here.
    if file.normalizer.is_some() {
        return Err(refused("a normalizer".to_string()));
    }
    if file.pre_tokenizer.is_some_and(|splits| splits.to_string().contains("\"ByteLevel\"")) {
        return Err(refused("a pre-tokenizer that writes bytes as characters".to_string()));
    }
    let (Some(vocabulary), Some(merges)) = (model.vocab, model.merges) else {
        return Err(refused("no vocab or no merges".to_string()));
    };
    let known = |(first, second): &Merge| {
        [first, second, &format!("{first}{second}")].into_iter().all(|symbol| vocabulary.contains_key(symbol))
    };
    let pair = |(i, merge): (usize, MergePart)| {
        let pair = match merge {
            MergePart::Pair(first, second) => (first, second),
            MergePart::Text(text) => {
                two_symbols(&text).ok_or_else(|| refused(format!("{text:?} as merge {}", i + 1)))?
            }
        };
        if known(&pair) {
            return Ok(pair);
        }
        Err(refused(format!("{:?} and {:?} as merge {}, which its vocabulary does not have", pair.0, pair.1, i + 1)))
    };
    let merges = merges.into_iter().enumerate().map(pair).collect::<Result<_>>()?;
    let only_character = |symbol: &String| {
        let mut characters = symbol.strip_suffix(END_OF_WORD).unwrap_or(symbol).chars();
        characters.next().filter(|_| characters.next().is_none())
    };
    Ok((merges, vocabulary.keys().filter_map(only_character).collect()))
}

fn merges_of_codes(path: &Path, text: &str) -> Result<Vec<Merge>> {
    let mut lines = text.trim_end_matches('\n').split('\n').enumerate();
    let refused = |line: usize, expected: &str, found: &str| {
        Error::content(
            format!("{}:{line}", path.display()),
            expected,
            format!("{:?}", found.chars().take(80).collect::<String>()),
            "give a codes file made by subword-nmt 0.2 or later, or a tokenizer.json",
        )
    };
    let version = lines.next().map(|(_, line)| line.trim_end()).unwrap_or_default();
    if version != "#version: 0.2" {
        return Err(refused(1, "the line \"#version: 0.2\"", version));
    }
    let pair = |(i, line): (usize, &str)| {
        two_symbols(line.trim_matches(['\r', '\n', ' ']))
            .ok_or_else(|| refused(i + 1, "two symbols with a blank between", line))
    };
    lines.map(pair).collect()
}

fn two_symbols(text: &str) -> Option<Merge> {
    let (first, second) = text.split_once(' ')?;
    (!first.is_empty() && !second.is_empty() && !second.contains(' ')).then(|| (first.to_string(), second.to_string()))
}
