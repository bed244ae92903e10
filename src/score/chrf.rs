//! chrF and chrF++ (Popović 2015, 2017) from counts of n-grams, as sacrebleu 2.6.0 computes them.
//!
//! The crate `sacrebleu-rs` gives scores of chrF and not the counts that resampling needs.

use std::collections::HashMap;

use sacrebleu_rs as sacrebleu;

use super::measure::{Measure, python_white_space};
use super::options::ChrfOptions;

/// What sacrebleu takes for a precision or recall without n-grams.
const EPSILON: f64 = 1e-16;

/// chrF. Counts are three an order, characters before words: n-grams of the hypothesis, of the reference, and of both.
/// Of several references the one with the best score of the segment counts.
pub(super) struct Chrf(pub ChrfOptions);

/// How often the n-grams of each order occur.
type Orders<'a> = Vec<HashMap<&'a str, u32>>;

/// A line, ready to be cut into n-grams.
struct Line {
    characters: String,
    words: Vec<String>,
}

impl Chrf {
    fn line(&self, line: &str) -> Line {
        let line = if self.0.lowercase { line.to_lowercase() } else { line.to_string() };
        let blank = python_white_space(&line);
        let words =
            if self.0.word_order == 0 { Vec::new() } else { blank.split_whitespace().flat_map(parts).collect() };
        let characters = if self.0.whitespace { line.clone() } else { blank.split_whitespace().collect() };
        Line { characters, words }
    }

    fn orders<'a>(&self, line: &'a Line, joined: &'a str) -> Orders<'a> {
        let characters: Vec<(usize, usize)> =
            line.characters.char_indices().map(|(start, c)| (start, start + c.len_utf8())).collect();
        let mut start = 0;
        let word = |word: &String| {
            let span = (start, start + word.len());
            start = span.1 + 1;
            span
        };
        let words: Vec<(usize, usize)> = line.words.iter().map(word).collect();
        let characters = (1..=self.0.char_order).map(|n| ngrams(&line.characters, &characters, n));
        characters.chain((1..=self.0.word_order).map(|n| ngrams(joined, &words, n))).collect()
    }
}

impl Measure for Chrf {
    fn name(&self) -> String {
        format!("chrF{}{}", self.0.beta, "+".repeat(self.0.word_order))
    }

    fn signature(&self, references: usize) -> String {
        let metric = sacrebleu::Chrf {
            char_order: self.0.char_order,
            word_order: self.0.word_order,
            beta: i64::from(self.0.beta),
            lowercase: self.0.lowercase,
            whitespace: self.0.whitespace,
            eps_smoothing: self.0.eps_smoothing,
        };
        metric.signature(references as i64)
    }

    fn count(&self, hypothesis: &str, references: &[&str]) -> Vec<f64> {
        let hypothesis = self.line(hypothesis);
        let joined = hypothesis.words.join(" ");
        let hypothesis = self.orders(&hypothesis, &joined);
        let (mut best, mut best_score) = (Vec::new(), -1.0);
        for reference in references {
            let reference = self.line(reference);
            let joined = reference.words.join(" ");
            let reference = self.orders(&reference, &joined);
            let counts: Vec<f64> =
                hypothesis.iter().zip(&reference).flat_map(|(found, wanted)| overlap(found, wanted)).collect();
            let score = self.score(&counts);
            if score > best_score {
                (best, best_score) = (counts, score);
            }
        }
        best
    }

    /// The F-score of the mean precision and recall over the orders that both sides have n-grams of; with
    /// `eps_smoothing` the mean of the F-scores of all orders.
    fn score(&self, sums: &[f64]) -> f64 {
        let factor = f64::from(self.0.beta).powi(2);
        let f_score = |precision: f64, recall: f64| {
            let denominator = factor * precision + recall;
            if denominator > 0.0 { (1.0 + factor) * precision * recall / denominator } else { 0.0 }
        };
        let (mut sum, mut precisions, mut recalls, mut orders) = (0.0, 0.0, 0.0, 0.0);
        for order in sums.chunks_exact(3) {
            let &[hypothesis, reference, matches] = order else { continue };
            let precision = if hypothesis > 0.0 { matches / hypothesis } else { EPSILON };
            let recall = if reference > 0.0 { matches / reference } else { EPSILON };
            sum += if factor * precision + recall > 0.0 { f_score(precision, recall) } else { EPSILON };
            if hypothesis > 0.0 && reference > 0.0 {
                precisions += precision;
                recalls += recall;
                orders += 1.0;
            }
        }
        if self.0.eps_smoothing {
            return 100.0 * sum / (self.0.char_order + self.0.word_order) as f64;
        }
        if orders == 0.0 { 0.0 } else { 100.0 * f_score(precisions / orders, recalls / orders) }
    }
}

/// The n-grams of units that stand at `spans` of a text.
fn ngrams<'a>(text: &'a str, spans: &[(usize, usize)], n: usize) -> HashMap<&'a str, u32> {
    let mut counts = HashMap::new();
    for window in spans.windows(n) {
        if let [(start, _), ..] = window
            && let [.., (_, end)] = window
        {
            *counts.entry(text.get(*start..*end).unwrap_or_default()).or_default() += 1;
        }
    }
    counts
}

/// N-grams of the hypothesis (none where the reference has none), of the reference, and of both.
fn overlap(hypothesis: &HashMap<&str, u32>, reference: &HashMap<&str, u32>) -> [f64; 3] {
    let total = |counts: &HashMap<&str, u32>| f64::from(counts.values().sum::<u32>());
    let both = |(ngram, &count): (&&str, &u32)| count.min(reference.get(ngram).copied().unwrap_or_default());
    let matches: u32 = hypothesis.iter().map(both).sum();
    [if reference.is_empty() { 0.0 } else { total(hypothesis) }, total(reference), f64::from(matches)]
}

/// A word, and the punctuation mark at its end or else at its start as a word of its own.
fn parts(word: &str) -> Vec<String> {
    let mut characters = word.chars();
    let (Some(first), Some(last)) = (characters.next(), characters.next_back()) else { return vec![word.to_string()] };
    // Punctuation is ASCII: one byte.
    let at = if last.is_ascii_punctuation() {
        word.len() - 1
    } else if first.is_ascii_punctuation() {
        1
    } else {
        return vec![word.to_string()];
    };
    let (start, end) = word.split_at(at);
    vec![start.to_string(), end.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: `CHRF(...).corpus_score` of sacrebleu 2.6.0 on the same lines, and its counts of the first.
    #[test]
    fn scores_and_counts_are_those_of_sacrebleu() {
        let plain = ChrfOptions::default();
        let cases = [
            (ChrfOptions { word_order: 2, whitespace: true, ..plain.clone() }, 46.28168921077203),
            (ChrfOptions { word_order: 2, ..plain.clone() }, 60.95409492468317),
            (ChrfOptions { whitespace: true, eps_smoothing: true, ..plain.clone() }, 38.09780783658493),
            (ChrfOptions { lowercase: true, ..plain.clone() }, 58.641407611995845),
            (ChrfOptions { char_order: 3, beta: 1, ..plain }, 71.36321195144724),
        ];
        // U+001C and U+001D separate words and are characters where white space counts.
        let first = ("Ein\u{1c}Boot, \"neu\"  da!", ["Ein Boot, \"alt\" da !", "(ein) Boot\u{1d}neu"]);
        for (options, expected) in cases {
            let chrf = Chrf(options);
            let counts = [chrf.count(first.0, &first.1), chrf.count("ö", &["Ö", "ß"])];
            let sums: Vec<f64> = counts[0].iter().zip(&counts[1]).map(|(one, other)| one + other).collect();
            let found = chrf.score(&sums);
            assert!((found - expected).abs() < 1e-11, "{found} is not {expected}: {:?}", chrf.0);
        }
        let chrf = Chrf(ChrfOptions { word_order: 2, whitespace: true, ..ChrfOptions::default() });
        let expected = [20, 20, 16, 19, 19, 11, 18, 18, 7, 17, 17, 4, 16, 16, 3, 15, 15, 2, 7, 7, 6, 6, 6, 4];
        assert_eq!(chrf.count(first.0, &first.1[..1]), expected.map(f64::from));
    }
}
