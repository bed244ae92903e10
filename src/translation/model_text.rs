//! The text side of a trained model: raw text to source ids, target ids to text.

use std::path::Path;

use crate::data::{BOS, Dictionary, EOS, PAD, UNK, check_agreement, dictionary_path};
use crate::error::Result;
use crate::progress;
use crate::text::{
    Merge, SETTINGS_FILE, SentencePiece, Subword, TextPipeline, TextSettings, join_pieces, join_subwords,
};

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
    /// Raw text to pieces, in the place of the others: models of Marian.
    pieces: Option<SentencePiece>,
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
        if let Some(pieces) = SentencePiece::load(folder)? {
            let (source, target, subword, pieces) = (None, None, None, Some(pieces));
            return Ok(ModelText { source_dictionary, target_dictionary, source, target, subword, pieces });
        }
        let (source, subword) = (TextPipeline::load(folder, source_lang)?, Subword::load(folder)?);
        if subword.is_some() && source.is_none() {
            progress::note(format!(
                "{} has no {SETTINGS_FILE}: raw text is cut into subwords, and not tokenised before",
                folder.display()
            ));
        }
        let target = TextPipeline::load(folder, target_lang)?;
        Ok(ModelText { source_dictionary, target_dictionary, source, target, subword, pieces: None })
    }

    /// Whether raw text is tokenised and cut into subwords as the training data were.
    pub fn has_tokenizer(&self) -> bool {
        self.source.is_some() || self.subword.is_some() || self.pieces.is_some()
    }

    /// The merges of its byte-pair encoding; none where there is no such encoding.
    pub fn merges(&self) -> &[Merge] {
        self.subword.as_ref().map_or(&[], Subword::merges)
    }

    /// How raw source text becomes words, where that is known.
    pub fn settings(&self) -> Option<&TextSettings> {
        self.source.as_ref().map(TextPipeline::settings)
    }

    /// Raw text to source ids, ending with `</s>`.
    pub fn encode(&self, raw: &str) -> Vec<i64> {
        if let Some(pieces) = &self.pieces {
            let ids = pieces.pieces(raw).iter().map(|piece| self.source_dictionary.index(piece)).collect::<Vec<_>>();
            return ids.into_iter().chain([EOS]).collect();
        }
        let words = self.source.as_ref().map_or_else(|| raw.to_string(), |text| text.apply(raw));
        let pieces = self.subword.as_ref().map_or_else(|| words.clone(), |subword| subword.segment(&words));
        self.source_dictionary.encode(&pieces)
    }

    /// Target ids to words, subwords joined: text as it was tokenised.
    pub fn words(&self, ids: &[i64]) -> String {
        self.join(&self.target_dictionary, ids)
    }

    fn join(&self, dictionary: &Dictionary, ids: &[i64]) -> String {
        join(dictionary, ids, self.is_of_raw_text())
    }

    /// Whether its words, put together, are raw text: the pieces of Marian's models.
    pub fn is_of_raw_text(&self) -> bool {
        self.pieces.is_some()
    }

    /// Source ids to readable text, as far as it comes back.
    pub fn restore_source(&self, ids: &[i64]) -> String {
        self.readable(self.source.as_ref(), &self.source_dictionary, ids)
    }

    /// Target ids to readable text: subwords joined, detokenised.
    pub fn restore(&self, ids: &[i64]) -> String {
        self.readable(self.target.as_ref(), &self.target_dictionary, ids)
    }

    fn readable(&self, text: Option<&TextPipeline>, dictionary: &Dictionary, ids: &[i64]) -> String {
        text.map_or_else(|| self.join(dictionary, ids), |text| text.restore(&dictionary.decode(ids)))
    }
}

/// Ids put together: subwords to words, `of_raw_text` the pieces that raw text was cut into to raw text.
pub(super) fn join(dictionary: &Dictionary, ids: &[i64], of_raw_text: bool) -> String {
    if !of_raw_text {
        return join_subwords(&dictionary.decode(ids));
    }
    let known = ids.iter().filter(|id| !matches!(**id, BOS | PAD | EOS | UNK));
    join_pieces(known.map(|&id| dictionary.symbol(id)))
}
