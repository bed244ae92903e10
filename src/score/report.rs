//! What a score is made of, and how it is printed.

use std::fmt;

use serde::Serialize;

/// One score of a corpus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score<Parts> {
    /// `BLEU`, `chrF2`, `chrF2++` or `TER`.
    pub name: String,
    /// The score in percent. TER can be above 100.
    pub score: f64,
    /// How it was computed, in sacrebleu's words.
    pub signature: String,
    /// The numbers it was computed from.
    pub details: Parts,
}

/// What BLEU is made of. Index 0 is for unigrams.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BleuParts {
    /// Clipped matches of each order, after add-k smoothing.
    pub counts: Vec<f64>,
    /// N-grams of each order in the hypotheses, after add-k smoothing.
    pub totals: Vec<f64>,
    /// Precision of each order in percent.
    pub precisions: Vec<f64>,
    /// exp(1 − reference length / hypothesis length) where the hypotheses are shorter, else 1.
    pub brevity_penalty: f64,
    /// Words of the hypotheses.
    pub hypothesis_length: i64,
    /// Words of the closest references.
    pub reference_length: i64,
}

/// How chrF counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChrfParts {
    /// The longest character n-gram.
    pub char_order: usize,
    /// The longest word n-gram.
    pub word_order: usize,
    /// How much more recall counts than precision.
    pub beta: u32,
}

/// What TER is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TerParts {
    /// Insertions, deletions, substitutions and shifts against the best references.
    pub edits: i64,
    /// Words of the references, averaged over the streams.
    pub reference_length: f64,
}

/// The scores that were asked for. `Display` prints them as sacrebleu does, one a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Number of segments.
    pub lines: usize,
    /// BLEU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bleu: Option<Score<BleuParts>>,
    /// chrF2, or with a word order chrF2+ and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chrf: Option<Score<ChrfParts>>,
    /// chrF2++.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chrf_plus_plus: Option<Score<ChrfParts>>,
    /// TER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ter: Option<Score<TerParts>>,
}

impl fmt::Display for BleuParts {
    /// `66.1/41.4/28.1/18.7 (BP = 1.000 ratio = 1.025 hyp_len = 41 ref_len = 40)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precisions: Vec<String> = self.precisions.iter().map(|precision| format!("{precision:.1}")).collect();
        let ratio = match self.reference_length {
            0 => 0.0,
            length => self.hypothesis_length as f64 / length as f64,
        };
        write!(
            f,
            "{} (BP = {:.3} ratio = {ratio:.3} hyp_len = {} ref_len = {})",
            precisions.join("/"),
            self.brevity_penalty,
            self.hypothesis_length,
            self.reference_length
        )
    }
}

impl<Parts> fmt::Display for Score<Parts> {
    /// `chrF2|SIGNATURE = 65.8`; a precision asks for more digits: `{score:.2}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{} = {:.*}", self.name, self.signature, f.precision().unwrap_or(1), self.score)
    }
}

impl fmt::Display for Scores {
    /// One line a score. A precision asks for more digits than one: `{scores:.2}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        let mut lines = Vec::new();
        lines.extend(self.bleu.iter().map(|score| format!("{score:.digits$} {}", score.details)));
        lines.extend(self.chrf.iter().map(|score| format!("{score:.digits$}")));
        lines.extend(self.chrf_plus_plus.iter().map(|score| format!("{score:.digits$}")));
        lines.extend(self.ter.iter().map(|score| format!("{score:.digits$}")));
        f.write_str(&lines.join("\n"))
    }
}
