//! Is the difference between two systems more than chance? Paired bootstrap resampling (Koehn 2004) and paired
//! approximate randomization (Riezler and Maxwell 2005), with the samples of sacrebleu 2.6.0.

use serde::Serialize;

use super::compute::check_lines;
use super::measure::{Counts, Measure, add, measure};
use super::numpy_random::NumpyRandom;
use super::options::Options;
use crate::error::{Error, Result};

/// The translations of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// What it is called.
    pub name: String,
    /// A translation a segment.
    pub lines: Vec<String>,
}

/// A significance test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Test {
    /// Score segments that are drawn with replacement.
    #[default]
    Bootstrap,
    /// Swap the segments of the two systems at random.
    Randomization,
}

impl Test {
    /// How many samples sacrebleu takes unless told otherwise.
    pub fn default_samples(self) -> usize {
        match self {
            Test::Bootstrap => 1_000,
            Test::Randomization => 10_000,
        }
    }

    /// What sacrebleu's signatures call it.
    fn abbreviation(self) -> &'static str {
        match self {
            Test::Bootstrap => "bs",
            Test::Randomization => "ar",
        }
    }
}

/// The seed of sacrebleu's samples.
pub const DEFAULT_SEED: u64 = 12345;

/// How systems are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Resampling {
    /// The test.
    pub test: Test,
    /// How many samples are taken.
    pub samples: usize,
    /// The seed of the samples.
    pub seed: u64,
}

/// Systems by one metric. `Display` prints a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// `BLEU`, `chrF2`, `chrF2++` or `TER`.
    pub name: String,
    /// How it was computed, in sacrebleu's words.
    pub signature: String,
    /// The systems, the baseline first.
    pub systems: Vec<ComparedSystem>,
}

/// One system by one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedSystem {
    /// The system's name.
    pub name: String,
    /// Its score in percent.
    pub score: f64,
    /// How the score varies over samples of the test set; only bootstrap resampling tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Interval>,
    /// What the baseline is compared with; none for the baseline itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_baseline: Option<Difference>,
}

/// Where a score lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The mean over the samples.
    pub mean: f64,
    /// Half the width of the interval that holds the middle 95 % of the samples.
    pub half_width: f64,
}

/// A system less the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The score less that of the baseline.
    pub difference: f64,
    /// The chance of a difference this large, in either direction, between systems that are equally good.
    pub p_value: f64,
    /// In which share of the bootstrap samples the score is above that of the baseline (Koehn's statistic).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_above: Option<f64>,
}

/// Compare `systems` with the first of them, the baseline; a [`Comparison`] for each of the metrics of `options`.
///
/// The bootstrap's p-value is sacrebleu's: the share of samples in which |difference| less its mean over the samples is
/// above the observed |difference|, one added to both counts. That of randomization is the share in which |difference|
/// is above the observed one. Where no sample has any difference, as between a system and itself, it is 1.
///
/// ```
/// use nmt::score::{Options, Resampling, System, Test, compare};
/// let system = |name: &str, lines: [&str; 2]| System { name: name.into(), lines: lines.map(String::from).into() };
/// let systems = [system("A", ["a b c d", "e f g"]), system("B", ["a b c d", "e f g h"])];
/// let references = [vec!["a b c d".to_string(), "e f g h".to_string()]];
/// let resampling = Resampling { test: Test::Bootstrap, samples: 1000, seed: 12345 };
/// let found = compare(&systems, &references, &Options::bleu_only(), &resampling)?;
/// assert_eq!(found[0].signature, "nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
/// assert!((found[0].systems[1].score - 100.0).abs() < 1e-9);
/// # Ok::<(), nmt::Error>(())
/// ```
///
/// # Errors
/// [`Error::Usage`] for fewer than two systems and for no samples; otherwise as [`score`](super::score).
pub fn compare(
    systems: &[System],
    references: &[Vec<String>],
    options: &Options,
    resampling: &Resampling,
) -> Result<Vec<Comparison>> {
    options.validate()?;
    if systems.len() < 2 {
        return Err(Error::usage(
            format!("expected two or more systems to compare, found {}", systems.len()),
            "name the baseline first",
        ));
    }
    if resampling.samples == 0 {
        return Err(Error::usage("expected at least one sample, found 0", "1,000 are usual"));
    }
    for system in systems {
        check_lines(&system.lines, references)?;
    }
    let mut trials = Vec::new();
    for &metric in &options.metrics {
        let measure = measure(metric, options);
        let count = |system: &System| Counts::of(measure.as_ref(), &system.lines, references);
        let counts = systems.iter().map(count).collect::<Result<_>>()?;
        trials.push(Trials::new(measure, counts));
    }
    let mut random = NumpyRandom::new(resampling.seed);
    let segments = systems.iter().map(|system| system.lines.len()).min().unwrap_or(0);
    // One sample serves all metrics and systems: this is what makes the test paired, and what sacrebleu does.
    match resampling.test {
        Test::Bootstrap => {
            let mut drawn = vec![0; segments];
            for _ in 0..resampling.samples {
                drawn.iter_mut().for_each(|i| *i = random.below(u32::try_from(segments).unwrap_or(u32::MAX)));
                trials.iter_mut().for_each(|trials| trials.draw(&drawn));
            }
        }
        Test::Randomization => {
            let mut keep = vec![false; segments];
            for _ in 0..resampling.samples {
                keep.iter_mut().for_each(|keep| *keep = random.coin());
                trials.iter_mut().for_each(|trials| trials.swap(&keep));
            }
        }
    }
    let names: Vec<&str> = systems.iter().map(|system| system.name.as_str()).collect();
    Ok(trials.iter().map(|trials| trials.comparison(&names, references.len(), resampling)).collect())
}

/// All samples of one metric.
struct Trials<'a> {
    measure: Box<dyn Measure + 'a>,
    counts: Vec<Counts>,
    sums: Vec<Vec<f64>>,
    scores: Vec<f64>,
    /// The scores of the samples, by system. Of randomization, the differences between the baseline and the system.
    samples: Vec<Vec<f64>>,
}

impl<'a> Trials<'a> {
    fn new(measure: Box<dyn Measure + 'a>, counts: Vec<Counts>) -> Trials<'a> {
        let sums: Vec<Vec<f64>> = counts.iter().map(Counts::sum).collect();
        let scores = sums.iter().map(|sums| measure.score(sums)).collect();
        Trials { samples: vec![Vec::new(); counts.len()], measure, counts, sums, scores }
    }

    /// A sample of the bootstrap.
    fn draw(&mut self, drawn: &[usize]) {
        for (counts, samples) in self.counts.iter().zip(&mut self.samples) {
            samples.push(self.measure.score(&counts.sum_of(drawn)));
        }
    }

    /// A sample of randomization: where `keep` is false the two systems swap their segments.
    fn swap(&mut self, keep: &[bool]) {
        let (Some(baseline), Some(baseline_sums)) = (self.counts.first(), self.sums.first()) else { return };
        for ((counts, sums), samples) in self.counts.iter().zip(&self.sums).zip(&mut self.samples).skip(1) {
            let mut one = vec![0.0; sums.len()];
            for (i, &keep) in keep.iter().enumerate() {
                add(&mut one, if keep { baseline.segment(i) } else { counts.segment(i) });
            }
            let both = baseline_sums.iter().zip(sums).zip(&one);
            let other: Vec<f64> = both.map(|((baseline, system), one)| baseline + system - one).collect();
            samples.push(self.measure.score(&one) - self.measure.score(&other));
        }
    }

    fn comparison(&self, names: &[&str], references: usize, resampling: &Resampling) -> Comparison {
        let bootstrap = resampling.test == Test::Bootstrap;
        let baseline = self.scores.first().copied().unwrap_or_default();
        let baseline_samples = self.samples.first().map(Vec::as_slice).unwrap_or_default();
        let system = |(i, name): (usize, &&str)| {
            let (score, samples) = (self.scores[i], &self.samples[i]);
            let difference = score - baseline;
            let against_baseline = (i > 0).then(|| {
                let differences: Vec<f64> = match resampling.test {
                    Test::Bootstrap => {
                        samples.iter().zip(baseline_samples).map(|(system, base)| system - base).collect()
                    }
                    Test::Randomization => samples.clone(),
                };
                let above = differences.iter().filter(|&&difference| difference > 0.0).count();
                Difference {
                    difference,
                    p_value: p_value(&differences, difference, bootstrap),
                    share_above: bootstrap.then(|| above as f64 / differences.len() as f64),
                }
            });
            let bootstrap = bootstrap.then(|| interval(samples));
            ComparedSystem { name: name.to_string(), score, bootstrap, against_baseline }
        };
        let signature = self.measure.signature(references);
        let samples = format!("{}:{}|seed:{}", resampling.test.abbreviation(), resampling.samples, resampling.seed);
        let signature = match signature.split_once('|') {
            Some((first, rest)) => format!("{first}|{samples}|{rest}"),
            None => format!("{signature}|{samples}"),
        };
        Comparison { name: self.measure.name(), signature, systems: names.iter().enumerate().map(system).collect() }
    }
}

/// sacrebleu's: one is added to both counts, so that the test never rejects more often than its level
/// (Noreen 1989). `centred`: differences are taken less their mean.
fn p_value(differences: &[f64], observed: f64, centred: bool) -> f64 {
    if observed == 0.0 && differences.iter().all(|&difference| difference == 0.0) {
        return 1.0;
    }
    let n = differences.len() as f64;
    let centre = if centred { differences.iter().map(|d| d.abs()).sum::<f64>() / n } else { 0.0 };
    let above = differences.iter().filter(|d| d.abs() - centre > observed.abs()).count();
    (above as f64 + 1.0) / (n + 1.0)
}

/// Mean and the middle 95 %, with sacrebleu's choice of the bounds.
fn interval(samples: &[f64]) -> Interval {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let outside = sorted.len() / 40;
    let inside = sorted.get(outside..sorted.len() - outside).unwrap_or_default();
    let half_width = match (inside.first(), inside.last()) {
        (Some(least), Some(most)) => 0.5 * (most - least),
        _ => 0.0,
    };
    Interval { mean: sorted.iter().sum::<f64>() / sorted.len().max(1) as f64, half_width }
}
