//! TER from counts of edits. The search for shifts is that of the crate `sacrebleu-rs`.

use sacrebleu_rs as sacrebleu;

use super::measure::{Measure, python_white_space};
use super::options::TerOptions;
use super::tercom::tokenise;
use crate::error::{Error, Result};

/// The most cells of the edit-distance table of one line: TER is not computed for longer lines.
/// The table is filled again for up to 1,000 shifts a line, so that this is a bound on the time, too.
const MAX_CELLS: usize = 1_000_000;

/// TER. Counts are the edits against the best reference, and the words of the references, averaged over these.
pub(super) struct Ter(pub TerOptions);

impl Ter {
    fn metric(&self) -> sacrebleu::Ter {
        sacrebleu::Ter {
            normalized: self.0.normalized,
            no_punct: self.0.no_punct,
            case_sensitive: self.0.case_sensitive,
        }
    }

    /// Words, or as many as there could be: splitting off punctuation makes at most one word of every character.
    fn words(&self, line: &str) -> usize {
        if self.0.normalized { line.chars().count() } else { python_white_space(line).split_whitespace().count() }
    }
}

impl Measure for Ter {
    fn name(&self) -> String {
        "TER".to_string()
    }

    fn signature(&self, references: usize) -> String {
        self.metric().signature(references as i64)
    }

    fn check(&self, line: usize, hypothesis: &str, references: &[&str]) -> Result<()> {
        let longest = references.iter().map(|line| self.words(line)).max().unwrap_or(0);
        let cells = (self.words(hypothesis) + 1).saturating_mul(longest + 1);
        if cells <= MAX_CELLS {
            return Ok(());
        }
        Err(Error::content(
            format!("line {} of the hypotheses", line + 1),
            format!("at most {MAX_CELLS} pairs of hypothesis and reference words for TER"),
            format!("{cells}"),
            "shorten the line, or score without ter",
        ))
    }

    fn count(&self, hypothesis: &str, references: &[&str]) -> Vec<f64> {
        let reference = |line: &&str| {
            let line = python_white_space(line);
            vec![if self.0.normalized { tokenise(&line, &self.0) } else { line.into_owned() }]
        };
        let references: Vec<Vec<String>> = references.iter().map(reference).collect();
        let found = self.metric().corpus_score(&[python_white_space(hypothesis).into_owned()], &references);
        vec![found.num_edits as f64, found.ref_length]
    }

    fn score(&self, sums: &[f64]) -> f64 {
        match *sums {
            [edits, words] if words > 0.0 => 100.0 * (edits / words),
            [edits, _] if edits > 0.0 => 100.0,
            _ => 0.0,
        }
    }
}
