//! How much does a recipe's score depend on the seed? Mean and standard error over runs that differ in it alone.

use serde::Serialize;

use super::compare::System;
use super::compute::check_lines;
use super::measure::{Counts, measure};
use super::options::Options;
use crate::error::{Error, Result};

/// Runs of one recipe by one metric. `Display` prints a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedScores {
    /// `BLEU`, `chrF2`, `chrF2++` or `TER`.
    pub name: String,
    /// How it was computed, in sacrebleu's words.
    pub signature: String,
    /// The runs.
    pub runs: Vec<RunScore>,
    /// The mean of their scores.
    pub mean: f64,
    /// The standard deviation of a sample: the sum of squares is divided by n − 1.
    pub standard_deviation: f64,
    /// Of the mean: the standard deviation divided by √n.
    pub standard_error: f64,
}

/// The score of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunScore {
    /// The run's name.
    pub name: String,
    /// Its score in percent.
    pub score: f64,
}

/// Score each of `runs` by each of the metrics of `options`, and take the mean.
///
/// # Errors
/// [`Error::Usage`] for fewer than two runs; otherwise as [`score`](super::score).
pub fn score_seeds(runs: &[System], references: &[Vec<String>], options: &Options) -> Result<Vec<SeedScores>> {
    options.validate()?;
    if runs.len() < 2 {
        return Err(Error::usage(
            format!("expected two or more runs to take the standard error over, found {}", runs.len()),
            "train the recipe again with another training.seed",
        ));
    }
    for run in runs {
        check_lines(&run.lines, references)?;
    }
    let one = |&metric| {
        let measure = measure(metric, options);
        let score = |run: &System| {
            let sums = Counts::of(measure.as_ref(), &run.lines, references)?.sum();
            Ok(RunScore { name: run.name.clone(), score: measure.score(&sums) })
        };
        let runs = runs.iter().map(score).collect::<Result<Vec<RunScore>>>()?;
        let scores: Vec<f64> = runs.iter().map(|run| run.score).collect();
        let (mean, standard_deviation, standard_error) = spread(&scores);
        let signature = measure.signature(references.len());
        Ok(SeedScores { name: measure.name(), signature, runs, mean, standard_deviation, standard_error })
    };
    options.metrics.iter().map(one).collect()
}

/// Mean, standard deviation of a sample, standard error of the mean.
pub(crate) fn spread(scores: &[f64]) -> (f64, f64, f64) {
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    let deviation = (squares / (n - 1.0)).sqrt();
    (mean, deviation, deviation / n.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: mean 5, squares 9 + 1 + 1 + 9 = 20, √(20/3), half of it.
    #[test]
    fn spread_of_a_sample() {
        let (mean, deviation, error) = spread(&[2.0, 4.0, 6.0, 8.0]);
        assert_eq!(mean, 5.0);
        assert!((deviation - 2.581_988_897_471_611).abs() < 1e-15, "{deviation}");
        assert!((error - 1.290_994_448_735_805_6).abs() < 1e-15, "{error}");
    }

    #[test]
    fn every_run_has_the_score_that_it_has_alone() {
        let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
        let run = |name: &str, text: &str| System { name: name.to_string(), lines: lines(text) };
        let references = [lines("the cat sat on a mat\na dog ran")];
        let runs = [run("1", "the cat sat on the mat\na dog ran"), run("2", "the cat sat\na dog ran")];
        let options = Options::default();
        let found = score_seeds(&runs, &references, &options).unwrap();
        assert_eq!(
            found.iter().map(|metric| metric.name.as_str()).collect::<Vec<_>>(),
            ["BLEU", "chrF2", "chrF2++", "TER"]
        );
        for (i, run) in runs.iter().enumerate() {
            let alone = super::super::score(&run.lines, &references, &options).unwrap();
            let alone = [
                alone.bleu.unwrap().score,
                alone.chrf.unwrap().score,
                alone.chrf_plus_plus.unwrap().score,
                alone.ter.unwrap().score,
            ];
            assert_eq!(found.iter().map(|metric| metric.runs[i].score).collect::<Vec<_>>(), alone);
        }
        // Two runs: the standard error is half their difference.
        let bleu = &found[0];
        let half = (bleu.runs[0].score - bleu.runs[1].score).abs() / 2.0;
        assert!((bleu.standard_error - half).abs() < 1e-12);
        let message = score_seeds(&runs[..1], &references, &options).unwrap_err().to_string();
        assert!(message.contains("two or more runs") && message.contains("found 1"), "{message}");
    }
}
