//! The text side of a trained model: raw text to source ids, target ids to text.

use std::path::Path;

use crate::data::{Dictionary, check_agreement, dictionary_path};
use crate::error::Result;
use crate::progress;
use crate::text::{SETTINGS_FILE, Subword, TextPipeline, join_subwords};

/// What a run folder says of its text: dictionaries, and how the training text was treated.
pub struct ModelText {
    /// The source words.
    pub source_dictionary: Dictionary,
    /// The target words.
    pub target_dictionary: Dictionary,
    /// Raw source text to words; none where the data came without (fairseq's): words are what stands between blanks.
    source: Option<TextPipeline>,
    /// Target words to readable text.
    target: Option<TextPipeline>,
    /// Words to subwords.
    subword: Option<Subword>,
}

impl ModelText {
    /// Read the files of a run folder.
    ///
    /// # Errors
    /// When a dictionary is missing, a file is damaged, or they do not belong together.
    pub fn load(folder: &Path, source_lang: &str, target_lang: &str) -> Result<ModelText> {
        let source_dictionary = Dictionary::load(&dictionary_path(folder, source_lang))?;
        let target_dictionary = Dictionary::load(&dictionary_path(folder, target_lang))?;
        check_agreement(folder, [(source_lang, &source_dictionary), (target_lang, &target_dictionary)])?;
        let (source, subword) = (TextPipeline::load(folder, source_lang)?, Subword::load(folder)?);
        if subword.is_some() && source.is_none() {
            progress::note(format!(
                "{} has no {SETTINGS_FILE}: raw text is cut into subwords, and not tokenised before",
                folder.display()
            ));
        }
        let target = TextPipeline::load(folder, target_lang)?;
        Ok(ModelText { source_dictionary, target_dictionary, source, target, subword })
    }

    /// Whether raw text is tokenised and cut into subwords as the training data were.
    pub fn has_tokenizer(&self) -> bool {
        self.source.is_some() || self.subword.is_some()
    }

    /// Raw text to source ids, ending with `</s>`.
    pub fn encode(&self, raw: &str) -> Vec<i64> {
        let words = self.source.as_ref().map_or_else(|| raw.to_string(), |text| text.apply(raw));
        let pieces = self.subword.as_ref().map_or_else(|| words.clone(), |subword| subword.segment(&words));
        self.source_dictionary.encode(&pieces)
    }

    /// Target ids to words, subwords joined: text as it was tokenised.
    pub fn words(&self, ids: &[i64]) -> String {
        join_subwords(&self.target_dictionary.decode(ids))
    }

    /// Source ids to readable text, as far as it comes back.
    pub fn restore_source(&self, ids: &[i64]) -> String {
        let pieces = self.source_dictionary.decode(ids);
        self.source.as_ref().map_or_else(|| join_subwords(&pieces), |text| text.restore(&pieces))
    }

    /// Target ids to readable text: subwords joined, detokenised.
    pub fn restore(&self, ids: &[i64]) -> String {
        let pieces = self.target_dictionary.decode(ids);
        self.target.as_ref().map_or_else(|| join_subwords(&pieces), |text| text.restore(&pieces))
    }
}
