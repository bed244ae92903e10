//! BLEU from counts of n-grams. Tokenizers, counting and smoothing are those of the crate `sacrebleu-rs`, but for add-k.

use sacrebleu_rs as sacrebleu;

use super::measure::{Measure, python_white_space};
use super::options::{BleuOptions, Smoothing};
use super::report::BleuParts;

/// BLEU. Counts are the words of the hypothesis, those of the closest reference, the matches of every order, and the
/// n-grams of every order in the hypothesis.
pub(super) struct Bleu(pub BleuOptions);

impl Bleu {
    fn metric(&self) -> sacrebleu::Bleu {
        sacrebleu::Bleu {
            lowercase: self.0.lowercase,
            smooth_method: self.0.smooth_method.name().to_string(),
            smooth_value: self.0.smooth_value,
            max_ngram_order: self.0.max_ngram_order,
            effective_order: self.0.effective_order,
            tokenize: self.0.tokenize.name().to_string(),
            spm_model: None,
        }
    }

    /// The score in percent, and what it is made of.
    pub fn parts(&self, sums: &[f64]) -> (f64, BleuParts) {
        let order = self.0.max_ngram_order;
        let count = |i: usize| sums.get(i).copied().unwrap_or_default() as i64;
        let counts = |from: usize| (from..from + order).map(count).collect::<Vec<i64>>();
        let (matches, totals) = (counts(2), counts(2 + order));
        let add_k = self.0.smooth_method == Smoothing::AddK;
        let method = if add_k { Smoothing::None } else { self.0.smooth_method }.name();
        let (value, effective) = (self.0.smooth_value, self.0.effective_order);
        let found = sacrebleu::compute_bleu(matches, totals, count(0), count(1), method, value, effective, order);
        let mut details = BleuParts {
            counts: found.counts.iter().map(|&count| count as f64).collect(),
            totals: found.totals.iter().map(|&count| count as f64).collect(),
            precisions: found.precisions,
            brevity_penalty: found.bp,
            hypothesis_length: found.sys_len,
            reference_length: found.ref_len,
        };
        if add_k {
            // The crate rounds k down to an integer.
            return (smooth_by_adding(value.unwrap_or(1.0), effective, &mut details), details);
        }
        (found.score, details)
    }
}

impl Measure for Bleu {
    fn name(&self) -> String {
        "BLEU".to_string()
    }

    fn signature(&self, references: usize) -> String {
        self.metric().signature(references as i64)
    }

    fn count(&self, hypothesis: &str, references: &[&str]) -> Vec<f64> {
        let unsmoothed = sacrebleu::Bleu { smooth_method: Smoothing::None.name().to_string(), ..self.metric() };
        let references: Vec<Vec<String>> =
            references.iter().map(|line| vec![python_white_space(line).into_owned()]).collect();
        let found = unsmoothed.corpus_score(&[python_white_space(hypothesis).into_owned()], &references);
        let lengths = [found.sys_len, found.ref_len];
        lengths.iter().chain(&found.counts).chain(&found.totals).map(|&count| count as f64).collect()
    }

    fn score(&self, sums: &[f64]) -> f64 {
        self.parts(sums).0
    }
}

/// The score of unsmoothed `details` when `k` is added to matches and totals of every order above 1.
fn smooth_by_adding(k: f64, effective_order: bool, details: &mut BleuParts) -> f64 {
    if details.counts.iter().all(|&count| count == 0.0) {
        return 0.0;
    }
    let mut order = details.counts.len();
    let orders = details.counts.iter_mut().zip(&mut details.totals).zip(&mut details.precisions);
    for (n, ((count, total), precision)) in orders.enumerate() {
        if n > 0 {
            *count += k;
            *total += k;
        }
        if *total == 0.0 {
            break;
        }
        if effective_order {
            order = n + 1;
        }
        *precision = 100.0 * *count / *total;
    }
    // sacrebleu's logarithm of 0 is a large negative number, which makes the score 0.
    let log = |&precision: &f64| if precision == 0.0 { -9_999_999_999.0 } else { precision.ln() };
    let sum: f64 = details.precisions.iter().take(order).map(log).sum();
    details.brevity_penalty * (sum / order as f64).exp()
}
