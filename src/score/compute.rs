//! Lines in, scores out.

use super::bleu::Bleu;
use super::chrf::Chrf;
use super::measure::{Counts, Measure, plus_plus};
use super::options::{ChrfOptions, Metric, Options};
use super::report::{ChrfParts, Score, Scores, TerParts};
use super::ter::Ter;
use crate::error::{Error, Result};

/// Score `hypotheses` against one or more streams of references: `references[r][i]` is the r-th reference of line i.
///
/// Scores are percentages as sacrebleu 2.6.0 gives them. A line holds one segment, as it was read: untokenised for
/// [`Tokenizer::V13a`](super::Tokenizer::V13a), with no line end.
///
/// ```
/// use nmt::score::{Options, score};
/// let hypotheses = ["the cat sat on the mat".to_string(), "a dog ran".to_string()];
/// let references = vec![vec!["the cat sat on a mat".to_string(), "a dog ran".to_string()]];
/// let bleu = score(&hypotheses, &references, &Options::bleu_only()).unwrap().bleu.unwrap();
/// assert_eq!(format!("{:.2}", bleu.score), "59.69");
/// assert_eq!(bleu.signature, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
/// ```
///
/// # Errors
/// [`Error::Content`] when there is no line, no reference, or a reference stream of another length, and for TER when a
/// line is too long; [`Error::Usage`] when an option is out of its range.
pub fn score(hypotheses: &[String], references: &[Vec<String>], options: &Options) -> Result<Scores> {
    options.validate()?;
    check_lines(hypotheses, references)?;
    let mut scores = Scores { lines: hypotheses.len(), bleu: None, chrf: None, chrf_plus_plus: None, ter: None };
    for metric in &options.metrics {
        match metric {
            Metric::Bleu => {
                let bleu = Bleu(options.bleu.clone());
                let parts = |sums: &[f64]| bleu.parts(sums).1;
                scores.bleu = Some(one(&bleu, hypotheses, references, parts)?);
            }
            Metric::Chrf => scores.chrf = Some(chrf(options.chrf.clone(), hypotheses, references)?),
            Metric::ChrfPlusPlus => {
                scores.chrf_plus_plus = Some(chrf(plus_plus(&options.chrf), hypotheses, references)?);
            }
            Metric::Ter => {
                let parts = |sums: &[f64]| {
                    let sum = |i: usize| sums.get(i).copied().unwrap_or_default();
                    TerParts { edits: sum(0) as i64, reference_length: sum(1) }
                };
                scores.ter = Some(one(&Ter(options.ter.clone()), hypotheses, references, parts)?);
            }
        }
    }
    Ok(scores)
}

/// One score, with the parts that it is made of.
fn one<Parts>(
    measure: &dyn Measure,
    hypotheses: &[String],
    references: &[Vec<String>],
    parts: impl Fn(&[f64]) -> Parts,
) -> Result<Score<Parts>> {
    let sums = Counts::of(measure, hypotheses, references)?.sum();
    let signature = measure.signature(references.len());
    Ok(Score { name: measure.name(), score: measure.score(&sums), signature, details: parts(&sums) })
}

fn chrf(options: ChrfOptions, hypotheses: &[String], references: &[Vec<String>]) -> Result<Score<ChrfParts>> {
    let ChrfOptions { char_order, word_order, beta, .. } = options;
    one(&Chrf(options), hypotheses, references, |_| ChrfParts { char_order, word_order, beta })
}

/// Refuse streams of different lengths, and none.
pub(super) fn check_lines(hypotheses: &[String], references: &[Vec<String>]) -> Result<()> {
    if references.is_empty() {
        return Err(Error::usage("there is no reference to score against", "name at least one reference"));
    }
    if hypotheses.is_empty() {
        return Err(Error::content("hypotheses", "at least one line", "no line", "nothing was translated"));
    }
    for (stream, lines) in references.iter().enumerate() {
        if lines.len() != hypotheses.len() {
            return Err(Error::content(
                format!("reference stream {}", stream + 1),
                format!("{} lines, as many as there are hypotheses", hypotheses.len()),
                format!("{} lines", lines.len()),
                "pair the files again: line i of each has to belong to segment i",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::Smoothing;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| line.to_string()).collect()
    }

    /// Oracle: `BLEU(smooth_method='add-k', smooth_value=0.5)` of sacrebleu 2.6.0 on the same lines.
    #[test]
    fn add_k_takes_fractions() {
        let mut options = Options::bleu_only();
        options.bleu.smooth_method = Smoothing::AddK;
        options.bleu.smooth_value = Some(0.5);
        let cases = [
            (
                lines(&["the cat sat on the mat", "a dog ran"]),
                lines(&["the cat sat on a mat", "a dog ran"]),
                64.93358309501981,
            ),
            (lines(&["a b c"]), lines(&["a b d"]), 60.42750794713541),
            (lines(&["x"]), lines(&["x y"]), 36.78794411714425),
            (lines(&["x"]), lines(&["y"]), 0.0),
        ];
        for effective_order in [false, true] {
            options.bleu.effective_order = effective_order;
            for (hypotheses, references, expected) in &cases {
                let bleu = score(hypotheses, std::slice::from_ref(references), &options).unwrap().bleu.unwrap();
                assert!((bleu.score - expected).abs() < 1e-12, "{} is not {expected}", bleu.score);
                assert!(bleu.signature.contains("smooth:add-k[0.50]"));
            }
        }
    }

    /// Oracle: `score.format(width=2, signature=…)` of sacrebleu 2.6.0 on the same lines.
    #[test]
    fn scores_are_printed_as_sacrebleu_prints_them() {
        let hypotheses = lines(&["the cat sat on the mat", "a dog ran"]);
        let references = [lines(&["the cat sat on a mat", "a dog ran"])];
        let scores = score(&hypotheses, &references, &Options::default()).unwrap();
        let expected = "\
BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = 59.69 88.9/71.4/60.0/33.3 (BP = 1.000 ratio = 1.000 hyp_len = 9 ref_len = 9)
chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0 = 78.45
chrF2++|nrefs:1|case:mixed|eff:yes|nc:6|nw:2|space:no|version:2.6.0 = 78.91
TER|nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|version:2.6.0 = 11.11";
        assert_eq!(format!("{scores:.2}"), expected);
    }

    #[test]
    fn wrong_input_is_refused_with_both_counts() {
        let two = lines(&["a", "b"]);
        let message = |hypotheses: &[String], references: &[Vec<String>], options: &Options| {
            score(hypotheses, references, options).unwrap_err().to_string()
        };
        let all = Options::default();
        let unequal = message(&two, &[two.clone(), lines(&["a"])], &all);
        assert!(
            unequal.contains("reference stream 2: expected 2 lines") && unequal.contains("found 1 line"),
            "{unequal}"
        );
        assert!(message(&[], &[vec![]], &all).contains("at least one line"));
        assert!(message(&two, &[], &all).contains("no reference"));
        let long = vec!["w ".repeat(1000)];
        assert!(message(&long, std::slice::from_ref(&long), &all).contains("without ter"));
        let mut wrong = Options::bleu_only();
        wrong.bleu.max_ngram_order = 0;
        assert!(message(&two, std::slice::from_ref(&two), &wrong).contains("1 to 9, found 0"));
        wrong = Options::bleu_only();
        wrong.bleu.smooth_value = Some(1.0);
        assert!(message(&two, std::slice::from_ref(&two), &wrong).contains("no effect"));
    }

    /// Lines without a word, on either side, are scored and do not panic.
    #[test]
    fn empty_lines_are_scored() {
        for (hypothesis, reference) in [("", ""), ("", "a"), ("a", ""), ("\u{1c}", " \u{85}"), ("...", "!")] {
            let scores = score(&lines(&[hypothesis]), &[lines(&[reference])], &Options::default()).unwrap();
            assert!(scores.bleu.unwrap().score.is_finite() && scores.ter.unwrap().score.is_finite());
        }
    }
}
