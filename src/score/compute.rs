//! Lines in, scores out.

use sacrebleu_rs as sacrebleu;

use super::options::{BleuOptions, ChrfOptions, Metric, Options, Smoothing, TerOptions};
use super::report::{BleuParts, ChrfParts, Score, Scores, TerParts};
use super::tercom::tokenise;
use crate::error::{Error, Result};

/// The most cells of the edit-distance table of one line: TER is not computed for longer lines.
/// The table is filled again for up to 1,000 shifts a line, so that this is a bound on the time, too.
const TER_MAX_CELLS: usize = 1_000_000;

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
    let blanks: Vec<String> = hypotheses.iter().map(|line| python_white_space(line)).collect();
    let blank_references: Vec<Vec<String>> =
        references.iter().map(|stream| stream.iter().map(|line| python_white_space(line)).collect()).collect();
    let python = (blanks.as_slice(), blank_references.as_slice());
    // Where white space counts as characters, which character it is counts, too.
    let for_chrf = if options.chrf.whitespace { (hypotheses, references) } else { python };

    let mut scores = Scores { lines: hypotheses.len(), bleu: None, chrf: None, chrf_plus_plus: None, ter: None };
    let wanted = |metric| options.metrics.contains(&metric);
    if wanted(Metric::Bleu) {
        scores.bleu = Some(bleu(python.0, python.1, &options.bleu));
    }
    if wanted(Metric::Chrf) {
        scores.chrf = Some(chrf(for_chrf.0, for_chrf.1, &options.chrf));
    }
    if wanted(Metric::ChrfPlusPlus) {
        let options = ChrfOptions { word_order: 2, ..options.chrf.clone() };
        scores.chrf_plus_plus = Some(chrf(for_chrf.0, for_chrf.1, &options));
    }
    if wanted(Metric::Ter) {
        scores.ter = Some(ter(python.0, python.1, &options.ter)?);
    }
    Ok(scores)
}

fn check_lines(hypotheses: &[String], references: &[Vec<String>]) -> Result<()> {
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

/// Python counts U+001C to U+001F as white space, Rust does not: make blanks of them.
fn python_white_space(line: &str) -> String {
    line.replace(|c| matches!(c, '\u{1c}'..='\u{1f}'), " ")
}

fn bleu(hypotheses: &[String], references: &[Vec<String>], options: &BleuOptions) -> Score<BleuParts> {
    let metric = sacrebleu::Bleu {
        lowercase: options.lowercase,
        smooth_method: options.smooth_method.name().to_string(),
        smooth_value: options.smooth_value,
        max_ngram_order: options.max_ngram_order,
        effective_order: options.effective_order,
        tokenize: options.tokenize.name().to_string(),
        spm_model: None,
    };
    let signature = metric.signature(references.len() as i64);
    let parts = match options.smooth_value {
        // The crate rounds k down to an integer.
        Some(k) if options.smooth_method == Smoothing::AddK && k.fract() != 0.0 => {
            let plain = sacrebleu::Bleu { smooth_method: "none".to_string(), smooth_value: None, ..metric };
            return add_k(plain.corpus_score(hypotheses, references), k, options.effective_order, signature);
        }
        _ => metric.corpus_score(hypotheses, references),
    };
    let details = BleuParts {
        counts: parts.counts.iter().map(|&count| count as f64).collect(),
        totals: parts.totals.iter().map(|&count| count as f64).collect(),
        precisions: parts.precisions,
        brevity_penalty: parts.bp,
        hypothesis_length: parts.sys_len,
        reference_length: parts.ref_len,
    };
    Score { name: "BLEU".to_string(), score: parts.score, signature, details }
}

/// The unsmoothed counts of `plain`, smoothed by adding `k` to matches and totals of every order above 1.
fn add_k(plain: sacrebleu::BleuScore, k: f64, effective_order: bool, signature: String) -> Score<BleuParts> {
    let mut details = BleuParts {
        counts: plain.counts.iter().map(|&count| count as f64).collect(),
        totals: plain.totals.iter().map(|&count| count as f64).collect(),
        precisions: vec![0.0; plain.counts.len()],
        brevity_penalty: plain.bp,
        hypothesis_length: plain.sys_len,
        reference_length: plain.ref_len,
    };
    let mut score = 0.0;
    if plain.counts.iter().any(|&count| count > 0) {
        let mut order = plain.counts.len();
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
        score = plain.bp * (sum / order as f64).exp();
    }
    Score { name: "BLEU".to_string(), score, signature, details }
}

fn chrf(hypotheses: &[String], references: &[Vec<String>], options: &ChrfOptions) -> Score<ChrfParts> {
    let metric = sacrebleu::Chrf {
        char_order: options.char_order,
        word_order: options.word_order,
        beta: i64::from(options.beta),
        lowercase: options.lowercase,
        whitespace: options.whitespace,
        eps_smoothing: options.eps_smoothing,
    };
    let signature = metric.signature(references.len() as i64);
    let result = metric.corpus_score(hypotheses, references);
    let details = ChrfParts { char_order: result.char_order, word_order: result.word_order, beta: options.beta };
    Score { name: result.name(), score: result.score, signature, details }
}

fn ter(hypotheses: &[String], references: &[Vec<String>], options: &TerOptions) -> Result<Score<TerParts>> {
    let metric = sacrebleu::Ter {
        normalized: options.normalized,
        no_punct: options.no_punct,
        case_sensitive: options.case_sensitive,
    };
    // Splitting off punctuation makes at most one word of every character.
    let words = |line: &str| if options.normalized { line.chars().count() } else { line.split_whitespace().count() };
    for (index, hypothesis) in hypotheses.iter().enumerate() {
        let longest = references.iter().filter_map(|stream| stream.get(index)).map(|line| words(line)).max();
        let cells = (words(hypothesis) + 1).saturating_mul(longest.unwrap_or(0) + 1);
        if cells > TER_MAX_CELLS {
            return Err(Error::content(
                format!("line {} of the hypotheses", index + 1),
                format!("at most {TER_MAX_CELLS} pairs of hypothesis and reference words for TER"),
                format!("{cells}"),
                "shorten the line, or score without ter",
            ));
        }
    }
    let signature = metric.signature(references.len() as i64);
    let result = if options.normalized {
        let once: Vec<Vec<String>> =
            references.iter().map(|stream| stream.iter().map(|line| tokenise(line, options)).collect()).collect();
        metric.corpus_score(hypotheses, &once)
    } else {
        metric.corpus_score(hypotheses, references)
    };
    let details = TerParts { edits: result.num_edits, reference_length: result.ref_length };
    Ok(Score { name: "TER".to_string(), score: result.score, signature, details })
}

#[cfg(test)]
mod tests {
    use super::*;

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
