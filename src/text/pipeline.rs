//! How does raw text become words, and how do words become readable text again?

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{SETTINGS_FILE, join_subwords, moses};
use crate::error::{Error, Result};
use crate::files;

/// How lines are cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tokenization {
    /// As Moses' `tokenizer.perl` does.
    #[default]
    Moses,
    /// At white space: the text is tokenised already.
    None,
}

/// What is done with raw text, but for its language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSettings {
    /// How lines are cut into words.
    pub tokenizer: Tokenization,
    /// Lower-case the words after tokenising, as the recipe of IWSLT'14 does.
    pub lowercase: bool,
    /// Lower-case the raw text before everything else, as Multi30k's recipe does.
    pub lowercase_first: bool,
    /// Normalise punctuation before tokenising, as Moses' `normalize-punctuation.perl` does.
    pub normalize: bool,
    /// The edition of the Moses scripts.
    pub moses_version: moses::Version,
    /// Write a hyphen between two letters as `@-@` (`-a` of `tokenizer.perl`).
    pub aggressive_hyphens: bool,
    /// Leave `&`, `|`, `<`, `>`, quotes and brackets as they are (`-no-escape` of `tokenizer.perl`).
    pub no_escape: bool,
}

/// Raw text of one language to words and back.
pub struct TextPipeline {
    language: String,
    settings: TextSettings,
    normalizer: Option<moses::PunctuationNormalizer>,
    tokenizer: Option<(moses::Tokenizer, moses::Detokenizer)>,
}

/// What is needed of `preprocess.json`.
#[derive(Deserialize)]
struct SettingsFile {
    text: TextSettings,
}

/// What a folder's `preprocess.json` says; none where there is no such file.
///
/// # Errors
/// [`Error::Content`] when the file is damaged.
pub(crate) fn read_settings<T: DeserializeOwned>(dir: &Path) -> Result<Option<T>> {
    let path = dir.join(SETTINGS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    serde_json::from_str(&files::read_text(&path)?).map(Some).map_err(|error| {
        Error::content(
            format!("{}:{}", path.display(), error.line()),
            "the settings of `nmt preprocess`",
            error.to_string(),
            "run `nmt preprocess` again, or remove the file if the text is tokenised already",
        )
    })
}

impl TextPipeline {
    /// The pipeline of a language code (`de`, `en` …).
    ///
    /// # Errors
    /// As [`moses::Tokenizer::new`].
    pub fn new(language: &str, settings: &TextSettings) -> Result<TextPipeline> {
        let version = settings.moses_version;
        let tokenizer = match settings.tokenizer {
            Tokenization::Moses => {
                let options = moses::TokenizerOptions {
                    aggressive_hyphens: settings.aggressive_hyphens,
                    no_escape: settings.no_escape,
                    version,
                    ..moses::TokenizerOptions::default()
                };
                Some((moses::Tokenizer::new(language, &options)?, moses::Detokenizer::new(language)))
            }
            Tokenization::None => None,
        };
        let normalizer = settings.normalize.then(|| moses::PunctuationNormalizer::new(language, version));
        Ok(TextPipeline { language: language.to_string(), settings: *settings, normalizer, tokenizer })
    }

    /// The pipeline that the data or the model of a folder was made with, for one of its languages; none for a folder
    /// without `preprocess.json`, such as fairseq's, whose text has to be tokenised already.
    ///
    /// # Errors
    /// [`Error::Content`] when the file is damaged.
    pub fn load(dir: &Path, language: &str) -> Result<Option<TextPipeline>> {
        let settings = read_settings::<SettingsFile>(dir)?;
        settings.map(|file| TextPipeline::new(language, &file.text)).transpose()
    }

    /// The language code.
    pub fn language(&self) -> &str {
        &self.language
    }

    /// What is done with the text.
    pub fn settings(&self) -> &TextSettings {
        &self.settings
    }

    /// A raw line to words, separated by blanks: lower-case if that comes first, normalise, tokenise, lower-case if
    /// that comes last.
    pub fn apply(&self, raw: &str) -> String {
        let mut line = if self.settings.lowercase_first { moses::lowercase(raw) } else { raw.to_string() };
        if let Some(normalizer) = &self.normalizer {
            line = normalizer.normalize(&line);
        }
        if let Some((tokenizer, _)) = &self.tokenizer {
            line = tokenizer.tokenize(&line);
        }
        if self.settings.lowercase { moses::lowercase(&line) } else { line }
    }

    /// A line of a translation to readable text: join the pieces of words, detokenise, undo Moses' escapes. Case and
    /// punctuation that [`apply`](TextPipeline::apply) changed do not come back.
    pub fn restore(&self, line: &str) -> String {
        let joined = join_subwords(line);
        match &self.tokenizer {
            Some((_, detokenizer)) => detokenizer.detokenize(&joined),
            None => joined,
        }
    }
}
