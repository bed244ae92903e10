//! `nmt score`: scores of translations that are in files, or that models make of a binarised split.

use std::path::PathBuf;

use nmt::score::Tokenizer;
use nmt::{Error, Result, files};

use super::score_options::{ScoreOptions, TestOptions};
use super::score_systems::{Material, Split};
use super::translate::SearchOptions;

/// Arguments of `nmt score`.
#[derive(Debug, clap::Args)]
#[command(override_usage = "nmt score --model RUN... --data DIR [--split SPLIT] [--detokenize] [OPTIONS]
       nmt score --hypotheses FILE --references FILE... [OPTIONS]
       nmt score --compare BASELINE SYSTEM... (--references FILE... | --data DIR) [OPTIONS]
       nmt score --seeds SYSTEM SYSTEM... (--references FILE... | --data DIR) [OPTIONS]")]
#[command(group = clap::ArgGroup::new("what").required(true), group = clap::ArgGroup::new("against").required(true))]
pub struct ScoreArgs {
    /// Translate a split with the model of this run folder, or of several together, and score that
    #[arg(long, value_name = "RUN", group = "what", conflicts_with = "references", num_args = 1..)]
    model: Vec<PathBuf>,
    /// Translations, one a line, plain or .gz (`-`: standard input)
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "data")]
    hypotheses: Option<PathBuf>,
    /// Several systems: is the difference to the first, the baseline, more than chance? A SYSTEM is a file of
    /// translations, or with --data a run folder, with which the split is translated
    #[arg(long, value_name = "SYSTEM", group = "what", num_args = 2..)]
    compare: Vec<PathBuf>,
    /// Several runs of one recipe that differ in their seed: each score, and the mean with its standard error
    #[arg(long, value_name = "SYSTEM", group = "what", num_args = 2..)]
    seeds: Vec<PathBuf>,
    /// The data folder of the split
    #[arg(long, value_name = "DIR", group = "against")]
    data: Option<PathBuf>,
    /// References, one or more files of as many lines
    #[arg(long, value_name = "FILE", group = "against", num_args = 1..)]
    references: Vec<PathBuf>,
    /// The split
    #[arg(long, value_name = "SPLIT", default_value = "test", conflicts_with = "references")]
    split: String,
    /// Score detokenised text (BLEU by its own tokenizer, 13a) instead of the data's tokens
    #[arg(long, conflicts_with = "references")]
    detokenize: bool,
    /// Write the translations of the split here, too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["hypotheses", "compare", "seeds"])]
    output: Option<PathBuf>,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    options: ScoreOptions,
    #[command(flatten)]
    test: TestOptions,
}

impl ScoreArgs {
    /// Whether a split is translated for it.
    pub fn translates(&self) -> bool {
        self.data.is_some()
    }

    /// Score what is in files.
    ///
    /// # Errors
    /// [`Error::Usage`] for options of a search that there is none of.
    pub fn run_on_files(&self) -> Result<()> {
        if let Some(option) = self.search.given() {
            let message = format!("{option} is for translating, and translations in files are scored as they are");
            return Err(Error::usage(message, "give --model or --data to translate, or leave it out"));
        }
        self.print(&self.options, Material::read(&self.systems().concat(), &self.references)?)
    }

    /// Translate the split of `--data`, and score that.
    pub fn run(&self) -> Result<()> {
        let Some(data) = &self.data else { return self.run_on_files() };
        let mut options = self.options.clone();
        let split = Split { data, name: &self.split, detokenize: self.detokenize, search: &self.search };
        let material = split.translate(&self.systems())?;
        if material.tokenised {
            // Another tokenizer would give a number that compares with nothing.
            options.default_tokenizer = Tokenizer::None;
        }
        self.print(&options, material)
    }

    /// The paths of each system: several for models that translate together.
    fn systems(&self) -> Vec<Vec<PathBuf>> {
        let together = (!self.model.is_empty()).then(|| self.model.clone());
        let others = self.hypotheses.iter().chain(&self.compare).chain(&self.seeds);
        together.into_iter().chain(others.map(|path| vec![path.clone()])).collect()
    }

    fn print(&self, options: &ScoreOptions, material: Material) -> Result<()> {
        if let (Some(path), Some(system)) = (&self.output, material.systems.first()) {
            files::write_whole(path, (system.lines.join("\n") + "\n").as_bytes())?;
        }
        match (self.compare.is_empty(), self.seeds.is_empty()) {
            (false, _) => options.print_comparison(&material, &self.test),
            (_, false) => options.print_seeds(&material),
            _ => options.print_score(&material),
        }
    }
}
