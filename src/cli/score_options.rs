//! How `nmt score` scores and prints.

use nmt::decode::SearchConfig;
use nmt::error::Error;
use nmt::progress;
use nmt::score::{
    BleuOptions, DEFAULT_SEED, Metric, Options, Resampling, Smoothing, Test, TextStyle, Tokenizer, compare, mismatches,
    score, score_seeds, text_style, warnings,
};
use serde::Serialize;

use super::score_systems::Material;

/// How translations are scored.
#[derive(Debug, Clone, clap::Args)]
pub struct ScoreOptions {
    /// The scores to compute
    #[arg(long, num_args = 1.., value_delimiter = ',', value_enum, default_values = ["bleu", "chrf", "chrf++", "ter"])]
    metrics: Vec<Metric>,
    /// How BLEU splits lines into words: 13a for detokenised text, none for text that is tokenised already [default: 13a;
    /// none with --data of tokenised text unless --detokenize]
    #[arg(long, value_enum)]
    tokenize: Option<Tokenizer>,
    /// What [`ScoreOptions::tokenize`] is where it was not given.
    #[arg(skip = Tokenizer::V13a)]
    pub default_tokenizer: Tokenizer,
    /// Ignore case in BLEU and chrF (TER ignores it anyway)
    #[arg(long)]
    lowercase: bool,
    /// What BLEU does with an n-gram order that has no match
    #[arg(long, value_enum, default_value = "exp")]
    smooth_method: Smoothing,
    /// The value of the smoothing: 0.1 for floor and 1 for add-k unless given
    #[arg(long, value_name = "NUMBER")]
    smooth_value: Option<f64>,
    /// Leave out the n-gram orders that a text is too short for
    #[arg(long)]
    effective_order: bool,
    /// Digits after the point
    #[arg(long, value_name = "DIGITS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=15))]
    width: u8,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Without a comparison there is nothing to test.
const NOT_COMPARED: [&str; 3] = ["model", "hypotheses", "seeds"];

/// How the significance of a difference is tested.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Significance (--compare)")]
pub struct TestOptions {
    /// The test
    #[arg(long, value_enum, default_value = "bootstrap", conflicts_with_all = NOT_COMPARED)]
    test: Test,
    /// Samples of the test [default: 1000 for bootstrap, 10000 for randomization]
    #[arg(long, value_name = "N", conflicts_with_all = NOT_COMPARED, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    samples: Option<u32>,
    /// Seed of the samples; that of sacrebleu gives sacrebleu's
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED, conflicts_with_all = NOT_COMPARED)]
    sample_seed: u64,
}

impl ScoreOptions {
    /// Print the scores of the only system.
    pub fn print_score(&self, material: &Material) -> nmt::Result<()> {
        let Some(system) = material.systems.first() else { return Ok(()) };
        let options = self.options();
        let report = Report {
            system: &system.name,
            search: material.searches.first(),
            scores: score(&system.lines, &material.references, &options)?,
            hypotheses: text_style(&system.lines),
            references: material.references.iter().map(|stream| text_style(stream)).collect(),
            warnings: warn(material, &options),
        };
        if !self.json {
            progress::note(format!("{} lines; hypotheses: {}", report.scores.lines, report.hypotheses));
        }
        self.print(&report, std::slice::from_ref(&report.scores))
    }

    /// Print the systems beside the first of them, and the significance of the differences.
    pub fn print_comparison(&self, material: &Material, test: &TestOptions) -> nmt::Result<()> {
        let options = self.options();
        let samples = test.samples.map_or(test.test.default_samples(), |samples| samples as usize);
        let resampling = Resampling { test: test.test, samples, seed: test.sample_seed };
        let warnings = warn(material, &options);
        let metrics = compare(&material.systems, &material.references, &options, &resampling)?;
        self.print(&ManyReport { resampling: Some(resampling), metrics: &metrics, warnings }, &metrics)
    }

    /// Print the scores of runs of one recipe, and their mean.
    pub fn print_seeds(&self, material: &Material) -> nmt::Result<()> {
        let options = self.options();
        let warnings = warn(material, &options);
        let metrics = score_seeds(&material.systems, &material.references, &options)?;
        self.print(&ManyReport { resampling: None, metrics: &metrics, warnings }, &metrics)
    }

    fn options(&self) -> Options {
        let bleu = BleuOptions {
            tokenize: self.tokenize.unwrap_or(self.default_tokenizer),
            smooth_method: self.smooth_method,
            smooth_value: self.smooth_value,
            effective_order: self.effective_order,
            ..BleuOptions::default()
        };
        Options { metrics: self.metrics.clone(), bleu, ..Options::default() }.lowercase(self.lowercase)
    }

    /// One JSON object, or one table after the other.
    fn print(&self, report: &impl Serialize, tables: &[impl std::fmt::Display]) -> nmt::Result<()> {
        let digits = usize::from(self.width);
        let mut text = if self.json {
            serde_json::to_string_pretty(report)
                .map_err(|error| Error::content("the scores", "numbers", error.to_string(), ""))?
        } else {
            tables.iter().map(|table| format!("{table:.digits$}")).collect::<Vec<_>>().join("\n\n")
        };
        text.push('\n');
        super::print(&text)
    }
}

#[derive(Serialize)]
struct Report<'a> {
    /// The file of translations, or the models that made them.
    system: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<&'a SearchConfig>,
    #[serde(flatten)]
    scores: nmt::score::Scores,
    hypotheses: TextStyle,
    references: Vec<TextStyle>,
    warnings: Vec<String>,
}

/// What is printed of several systems.
#[derive(Serialize)]
struct ManyReport<'a, Scores> {
    #[serde(flatten)]
    resampling: Option<Resampling>,
    metrics: &'a [Scores],
    warnings: Vec<String>,
}

/// Say what spoils the scores, with the system where there are several.
fn warn(material: &Material, options: &Options) -> Vec<String> {
    let mut all = Vec::new();
    for system in &material.systems {
        let found = warnings(&system.lines).into_iter().chain(mismatches(&system.lines, &material.references, options));
        let named = |warning| if material.systems.len() > 1 { format!("{}: {warning}", system.name) } else { warning };
        all.extend(found.map(named));
    }
    all.iter().for_each(|warning| progress::note(format!("warning: {warning}")));
    all
}
