//! What does a metric count in one segment? Counts that add up, so that the score of any set of segments is a function
//! of a sum.

use std::borrow::Cow;

use super::bleu::Bleu;
use super::chrf::Chrf;
use super::options::{ChrfOptions, Metric, Options};
use super::ter::Ter;
use crate::error::Result;

/// A metric with its options.
pub(super) trait Measure {
    /// `BLEU`, `chrF2`, `chrF2++` or `TER`.
    fn name(&self) -> String;

    /// How scores are computed, in sacrebleu's words.
    fn signature(&self, references: usize) -> String;

    /// Whether the segment of `line` (from 0) can be counted.
    ///
    /// # Errors
    /// [`crate::Error::Content`] that names the line.
    fn check(&self, _line: usize, _hypothesis: &str, _references: &[&str]) -> Result<()> {
        Ok(())
    }

    /// The counts of a segment, as many for every one.
    fn count(&self, hypothesis: &str, references: &[&str]) -> Vec<f64>;

    /// The score in percent of segments whose counts add up to `sums`.
    fn score(&self, sums: &[f64]) -> f64;
}

/// The metric as `options` have it.
pub(super) fn measure(metric: Metric, options: &Options) -> Box<dyn Measure> {
    match metric {
        Metric::Bleu => Box::new(Bleu(options.bleu.clone())),
        Metric::Chrf => Box::new(Chrf(options.chrf.clone())),
        Metric::ChrfPlusPlus => Box::new(Chrf(plus_plus(&options.chrf))),
        Metric::Ter => Box::new(Ter(options.ter.clone())),
    }
}

/// chrF++ with the options of chrF.
pub(super) fn plus_plus(options: &ChrfOptions) -> ChrfOptions {
    ChrfOptions { word_order: 2, ..options.clone() }
}

/// The counts of every segment of a text.
pub(super) struct Counts {
    width: usize,
    /// Segment after segment, `width` counts each.
    counts: Vec<f64>,
}

impl Counts {
    /// Count every line of `hypotheses` against the same line of each stream of `references`, which are as long.
    ///
    /// # Errors
    /// As [`Measure::check`].
    pub fn of(measure: &dyn Measure, hypotheses: &[String], references: &[Vec<String>]) -> Result<Counts> {
        let lines = |i: usize| references.iter().filter_map(|stream| stream.get(i)).map(String::as_str).collect();
        for (i, hypothesis) in hypotheses.iter().enumerate() {
            let references: Vec<&str> = lines(i);
            measure.check(i, hypothesis, &references)?;
        }
        let mut all = Counts { width: 0, counts: Vec::new() };
        for (i, hypothesis) in hypotheses.iter().enumerate() {
            let counts = measure.count(hypothesis, &lines(i));
            all.width = counts.len();
            all.counts.extend(counts);
        }
        Ok(all)
    }

    /// The counts of one segment.
    pub fn segment(&self, i: usize) -> &[f64] {
        self.counts.get(i * self.width..(i + 1) * self.width).unwrap_or_default()
    }

    /// The counts of all segments together.
    pub fn sum(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        self.counts.chunks(self.width.max(1)).for_each(|segment| add(&mut sums, segment));
        sums
    }

    /// The counts of these segments together; one that is named twice counts twice.
    pub fn sum_of(&self, segments: &[usize]) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        segments.iter().for_each(|&i| add(&mut sums, self.segment(i)));
        sums
    }
}

/// Add `counts` to `sums`.
pub(super) fn add(sums: &mut [f64], counts: &[f64]) {
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// Python counts U+001C to U+001F as white space, Rust does not: make blanks of them.
pub(super) fn python_white_space(line: &str) -> Cow<'_, str> {
    let separator = |c: char| matches!(c, '\u{1c}'..='\u{1f}');
    if line.contains(separator) { line.replace(separator, " ").into() } else { line.into() }
}
