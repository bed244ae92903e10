//! What became of the text: sentences, tokens, unknown words.

use std::fmt;

use serde::Serialize;

use super::options::DropoutOptions;
use crate::progress;
use crate::text::Misfit;

/// What [`preprocess`](super::preprocess) read and wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PreprocessReport {
    /// Source and target.
    pub dictionaries: [DictionaryReport; 2],
    /// The number of merges of the byte-pair encoding, where there is one.
    pub bpe_merges: Option<usize>,
    /// SHA-256 of the bytes of `tokenizer.json`, where there is one.
    pub tokenizer_hash: Option<String>,
    /// The dropout of the training text, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpe_dropout: Option<DropoutOptions>,
    /// The splits in the order they were made.
    pub splits: Vec<SplitReport>,
}

/// A dictionary of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DictionaryReport {
    /// Its language.
    pub language: String,
    /// Entries, the four specials included.
    pub size: usize,
    /// [`Dictionary::hash`](crate::data::Dictionary::hash).
    pub hash: String,
}

/// A split of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitReport {
    /// `train`, `valid`, `test` …
    pub split: String,
    /// Sentence pairs in the files.
    pub read: u64,
    /// Sentence pairs in the output.
    pub kept: u64,
    /// Sentence pairs left out, by reason.
    pub dropped: DroppedPairs,
    /// Source and target.
    pub sides: [SideReport; 2],
}

/// How many sentence pairs were left out, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct DroppedPairs {
    /// A side has no words.
    pub empty: u64,
    /// A side has fewer words than `--min-length`.
    pub too_short: u64,
    /// A side has more words than `--max-length`.
    pub too_long: u64,
    /// The ratio of the lengths is above `--max-ratio`.
    pub ratio: u64,
}

impl DroppedPairs {
    /// Count a pair.
    pub fn add(&mut self, misfit: Misfit) {
        *match misfit {
            Misfit::Empty => &mut self.empty,
            Misfit::TooShort => &mut self.too_short,
            Misfit::TooLong => &mut self.too_long,
            Misfit::Ratio => &mut self.ratio,
        } += 1;
    }
}

/// One language of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideReport {
    /// The language.
    pub language: String,
    /// Tokens in the output, the `</s>` of every sentence included, as fairseq counts them; with BPE-dropout, in all
    /// copies.
    pub tokens: u64,
    /// Tokens that became `<unk>`.
    pub unknown: u64,
}

impl SideReport {
    /// Unknown tokens, in percent of all.
    fn unknown_percent(&self) -> f64 {
        100.0 * self.unknown as f64 / self.tokens.max(1) as f64
    }
}

/// More unknown tokens than this, in percent, are no accident.
const MANY_UNKNOWN: f64 = 10.0;

impl PreprocessReport {
    /// Say of which texts the dictionaries do not know many tokens.
    pub(super) fn note_unknown(&self) {
        for split in &self.splits {
            for side in &split.sides {
                let percent = side.unknown_percent();
                if percent > MANY_UNKNOWN {
                    progress::note(format!(
                        "warning: {percent:.0} % of the tokens of {}.{} are not in its dictionary: was that made of text that \
                         was treated in the same way?",
                        split.split, side.language
                    ));
                }
            }
        }
    }
}

/// A table: a line for every split and language, then a line for every dictionary.
impl fmt::Display for PreprocessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.splits.iter().map(|split| split.split.len()).max().unwrap_or(0).max("split".len());
        let head = ["read", "kept", "empty", "short", "long", "ratio", "tokens", "unknown"];
        write!(f, "{:width$} {:4}", "split", "lang")?;
        head.iter().try_for_each(|name| write!(f, " {name:>9}"))?;
        writeln!(f, " {:>7}", "%")?;
        for split in &self.splits {
            let dropped = &split.dropped;
            for side in &split.sides {
                write!(f, "{:width$} {:4}", split.split, side.language)?;
                let pairs = [split.read, split.kept, dropped.empty, dropped.too_short, dropped.too_long, dropped.ratio];
                pairs.iter().chain([&side.tokens, &side.unknown]).try_for_each(|number| write!(f, " {number:>9}"))?;
                writeln!(f, " {:>7.3}", side.unknown_percent())?;
            }
        }
        if let Some(merges) = self.bpe_merges {
            writeln!(f, "byte-pair encoding: {merges} merges")?;
        }
        if let Some(DropoutOptions { probability, seed, copies }) = self.bpe_dropout {
            let copies = if copies == 1 { "1 copy".to_string() } else { format!("{copies} copies") };
            writeln!(f, "BPE-dropout: probability {probability}, seed {seed}, {copies} of the training text")?;
        }
        for (i, dictionary) in self.dictionaries.iter().enumerate() {
            let end = if i == 0 { "\n" } else { "" };
            write!(f, "dictionary {}: {} entries{end}", dictionary.language, dictionary.size)?;
        }
        Ok(())
    }
}
