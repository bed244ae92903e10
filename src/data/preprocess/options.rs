//! What to make a dataset from, and how.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::data::folder::is_name;
use crate::error::{Error, Result};
use crate::progress;
use crate::text::{BpeDropout, LengthFilter, TextSettings, find_text, wit3};

/// Larger ones would fill a dictionary with made-up words.
const GREATEST_PADDING_FACTOR: usize = 1 << 16;

/// What [`preprocess`](super::preprocess) is asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct PreprocessOptions {
    /// The language translated from, a code such as `de`.
    pub source_language: String,
    /// The language translated into.
    pub target_language: String,
    /// Take the texts out of the archive of a corpus instead of `train`, `valid` and `tests`.
    pub recipe: Option<Recipe>,
    /// The training text: a path without `.LANG` and `.gz`. Not needed when both dictionaries are given.
    pub train: Option<PathBuf>,
    /// The validation text.
    pub valid: Option<PathBuf>,
    /// The test texts, each with the name of its split (`test`, `test1` …).
    pub tests: Vec<(String, PathBuf)>,
    /// How raw text becomes words.
    pub text: TextSettings,
    /// How words become pieces.
    pub bpe: Bpe,
    /// Leave merges out at random in the training text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpe_dropout: Option<DropoutOptions>,
    /// Which pairs of the training text are kept; counted in words, before they become pieces.
    pub lengths: LengthFilter,
    /// One dictionary for both languages, made of both or given with one of the two.
    pub joined_dictionary: bool,
    /// The dictionary of the source language, or of both when they are joined.
    pub source_dictionary: DictionaryOptions,
    /// The dictionary of the target language.
    pub target_dictionary: DictionaryOptions,
    /// The size of a dictionary that is made becomes a multiple of this.
    pub padding_factor: usize,
    /// The folder to make.
    #[serde(skip)]
    pub output: PathBuf,
    /// Replace a dataset that stands there.
    #[serde(skip)]
    pub overwrite: bool,
    /// How many threads work; all cores when not given. The output does not depend on it.
    #[serde(skip)]
    pub threads: Option<usize>,
}

/// How the archive of a corpus becomes texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Recipe {
    /// The archive of IWSLT'14 (WIT3), a `.tgz` or a folder, as fairseq's recipe takes it: five sets make the test
    /// text; of the training pairs that are kept every 23rd goes to the validation text. An archive without training
    /// text gives the test text alone; without given dictionaries they are made of it then.
    Iwslt14(PathBuf),
}

/// The split whose text is cleaned, learnt from and subject to dropout.
pub(super) const TRAIN: &str = "train";

impl Recipe {
    /// Every so many kept training pairs one goes to the validation text.
    pub(super) const VALID_EVERY: u64 = 23;

    /// Unpack the texts into `folder`.
    pub(super) fn extract(&self, languages: [&str; 2], folder: &Path, dictionaries: bool) -> Result<Vec<SplitFiles>> {
        let Recipe::Iwslt14(archive) = self;
        let text = wit3::extract(archive, languages, folder)?;
        let files = |name: &str, prefix: &Path, train, counted| -> Result<SplitFiles> {
            let [source, target] = languages;
            let (source, target) = (find_text(prefix, source)?, find_text(prefix, target)?);
            Ok(SplitFiles {
                name: name.to_string(),
                source,
                target,
                train,
                counted,
                valid_every: train.then_some(Recipe::VALID_EVERY),
            })
        };
        let Some(train) = &text.train else {
            progress::note(format!("{}: there is no training text, only the test sets", archive.display()));
            return Ok(vec![files("test", &text.test, false, !dictionaries)?]);
        };
        Ok(vec![files(TRAIN, train, true, true)?, files("test", &text.test, false, false)?])
    }
}

/// How words become pieces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Bpe {
    /// They stay whole.
    #[default]
    None,
    /// Learn this many merges from both sides of the training text together.
    Merges(usize),
    /// Take the encoding of a `tokenizer.json` or of a `codes` file of subword-nmt.
    File(PathBuf),
    /// Cut raw text by the unigram models of source and target, files that [`SentencePiece::save`](crate::text::SentencePiece::save)
    /// wrote: those of a model that was imported.
    Unigram([PathBuf; 2]),
}

/// BPE-dropout of the training text ([`BpeDropout`](crate::text::BpeDropout)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DropoutOptions {
    /// How likely a merge is left out.
    pub probability: f64,
    /// The seed: the same one gives the same pieces.
    pub seed: u64,
    /// How many times the training text comes, each time in other pieces.
    pub copies: u64,
}

/// Where a dictionary comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DictionaryOptions {
    /// Take this one instead of making one; the limits do not matter then.
    pub file: Option<PathBuf>,
    /// Words seen less often than this in the training text are left out.
    pub threshold: u64,
    /// The greatest number of entries, the four specials included.
    pub words: Option<usize>,
}

/// The two files of a split.
pub(super) struct SplitFiles {
    pub name: String,
    pub source: PathBuf,
    pub target: PathBuf,
    /// Whether this is the training text, from which pairs of odd lengths are left out.
    pub train: bool,
    /// Whether merges and dictionaries are made of its words.
    pub counted: bool,
    /// Of so many kept pairs the last goes to the split `valid`.
    pub valid_every: Option<u64>,
}

impl PreprocessOptions {
    /// Source and target.
    pub(super) fn languages(&self) -> [&str; 2] {
        [&self.source_language, &self.target_language]
    }

    /// The splits, once everything that can be checked without reading them is in order.
    pub(super) fn splits(&self) -> Result<Vec<SplitFiles>> {
        self.check_languages()?;
        self.check_dictionaries()?;
        if self.padding_factor > GREATEST_PADDING_FACTOR {
            return Err(Error::usage(
                format!(
                    "expected a padding factor of at most {GREATEST_PADDING_FACTOR}, found {}",
                    self.padding_factor
                ),
                "give --padding-factor 8, or 1 for dictionaries without made-up words",
            ));
        }
        self.check_dropout()?;
        if self.recipe.is_some() {
            if self.train.is_some() || self.valid.is_some() || !self.tests.is_empty() {
                return Err(Error::usage(
                    "expected either a recipe or texts, found both",
                    "leave --train, --valid and --test out",
                ));
            }
            return Ok(Vec::new());
        }
        let mut splits: Vec<SplitFiles> = Vec::new();
        let first = self.train.iter().map(|prefix| (TRAIN, prefix)).chain(self.valid.iter().map(|p| ("valid", p)));
        for (name, prefix) in first.chain(self.tests.iter().map(|(name, prefix)| (name.as_str(), prefix))) {
            check_name(name)?;
            if splits.iter().any(|split| split.name == name) {
                return Err(Error::usage(
                    format!("expected splits of different names, found {name:?} twice"),
                    "name them with --test NAME=PREFIX",
                ));
            }
            splits.push(self.files(name, prefix)?);
        }
        if splits.is_empty() {
            return Err(Error::usage("expected a text to binarise, found none", "give --train, --valid or --test"));
        }
        Ok(splits)
    }

    fn files(&self, name: &str, prefix: &Path) -> Result<SplitFiles> {
        let [source, target] = self.languages();
        Ok(SplitFiles {
            name: name.to_string(),
            source: find_text(prefix, source)?,
            target: find_text(prefix, target)?,
            train: name == TRAIN,
            counted: name == TRAIN,
            valid_every: None,
        })
    }

    /// Whether no dictionary has to be made.
    pub(super) fn has_dictionaries(&self) -> bool {
        let given = [&self.source_dictionary, &self.target_dictionary].map(|dictionary| dictionary.file.is_some());
        if self.joined_dictionary { given != [false, false] } else { given == [true, true] }
    }

    fn check_languages(&self) -> Result<()> {
        for language in self.languages() {
            if !is_name(language) {
                return Err(Error::usage(
                    format!("expected a language code of letters and digits, found {language:?}"),
                    "give what the file names end with, such as de for train.de",
                ));
            }
        }
        if self.source_language == self.target_language {
            return Err(Error::usage(
                format!("expected two languages, found {:?} twice", self.source_language),
                "give --source-lang and --target-lang",
            ));
        }
        Ok(())
    }

    fn check_dictionaries(&self) -> Result<()> {
        let given = [&self.source_dictionary, &self.target_dictionary].map(|dictionary| dictionary.file.is_some());
        if self.joined_dictionary && given == [true, true] {
            return Err(Error::usage(
                "expected one dictionary with --joined-dictionary, found two",
                "give either --source-dictionary or --target-dictionary",
            ));
        }
        let limits = |dictionary: &DictionaryOptions| (dictionary.threshold, dictionary.words);
        let (source, target) = (limits(&self.source_dictionary), limits(&self.target_dictionary));
        if self.joined_dictionary && target != (0, None) && target != source {
            return Err(Error::usage(
                "expected one set of limits with --joined-dictionary, found two",
                "give --threshold-source and --words-source, which hold for both languages then",
            ));
        }
        let has_text = self.train.is_some() || self.recipe.is_some();
        if !has_text && !self.has_dictionaries() {
            return Err(Error::usage(
                "expected a training text to make the dictionaries of, found none",
                "give --train, or finished dictionaries with --source-dictionary and --target-dictionary",
            ));
        }
        if !has_text && matches!(self.bpe, Bpe::Merges(_)) {
            return Err(Error::usage(
                "expected a training text to learn merges from, found none",
                "give --train, or the finished merges with --bpe FILE",
            ));
        }
        Ok(())
    }

    fn check_dropout(&self) -> Result<()> {
        let Some(dropout) = &self.bpe_dropout else { return Ok(()) };
        // Before anything is read.
        BpeDropout::new(&[], dropout.probability, dropout.seed)?;
        if matches!(self.bpe, Bpe::Unigram(_)) {
            return Err(Error::usage(
                "expected a byte-pair encoding for BPE-dropout, found a model with unigram pieces",
                "leave --bpe-dropout out",
            ));
        }
        if self.bpe == Bpe::None {
            return Err(Error::usage(
                "expected a byte-pair encoding for BPE-dropout, found none",
                "give --bpe-merges N or --bpe FILE",
            ));
        }
        if self.train.is_none() && self.recipe.is_none() {
            return Err(Error::usage(
                "expected a training text for BPE-dropout, found none",
                "give --train: other texts are not subject to dropout",
            ));
        }
        if dropout.copies == 0 {
            return Err(Error::usage("expected one or more copies of the training text, found 0", ""));
        }
        Ok(())
    }
}

/// A split's name becomes the first part of file names.
fn check_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    Err(Error::usage(
        format!("expected a split's name of letters, digits, _ and -, found {name:?}"),
        "name it with --test NAME=PREFIX",
    ))
}
