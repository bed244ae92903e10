//! `nmt score`: scores of a model on a binarised split, or of translations that are in files.

use std::path::{Path, PathBuf};

use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::progress::{self, Progress};
use nmt::score::Tokenizer;
use nmt::translation::ModelFolder;
use nmt::{Result, files, machine};

use super::score_files::{ScoreOptions, score_files, score_lines};
use super::translate::SearchOptions;

/// Arguments of `nmt score`.
#[derive(Debug, clap::Args)]
pub struct ScoreArgs {
    /// Translate a split with the model of this run folder, and score that
    #[arg(long, value_name = "RUN", requires = "data", conflicts_with = "hypotheses")]
    model: Option<PathBuf>,
    /// The data folder of the split
    #[arg(long, value_name = "DIR", requires = "model")]
    data: Option<PathBuf>,
    /// The split
    #[arg(long, value_name = "SPLIT", default_value = "test")]
    split: String,
    /// Score detokenised text (BLEU by its own tokenizer, 13a) instead of the data's tokens
    #[arg(long, requires = "model")]
    detokenize: bool,
    /// Write the translations of the split here, too
    #[arg(long, value_name = "FILE", requires = "model")]
    output: Option<PathBuf>,
    /// Translations, one a line (`-`: standard input)
    #[arg(long, value_name = "FILE", required_unless_present = "model", requires = "references")]
    hypotheses: Option<PathBuf>,
    /// References, one or more files of as many lines
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "model")]
    references: Vec<PathBuf>,
    #[command(flatten)]
    search: SearchOptions,
    #[command(flatten)]
    options: ScoreOptions,
}

impl ScoreArgs {
    /// Score.
    pub fn run(&self) -> Result<()> {
        match (&self.model, &self.data, &self.hypotheses) {
            (Some(model), Some(data), _) => self.score_model(model, data),
            (_, _, Some(hypotheses)) => score_files(hypotheses, &self.references, &self.options),
            _ => Err(Error::usage("expected --model RUN --data DIR, or --hypotheses FILE --references FILE", "")),
        }
    }

    fn score_model(&self, model: &Path, data: &Path) -> Result<()> {
        let model = ModelFolder::open(model, machine::device())?;
        let search = self.search.resolve(&model.config.search)?;
        let dataset = ParallelDataset::open(data, &self.split, Some(&model.source_lang), Some(&model.target_lang))?;
        model.check_dictionaries(data, &dataset.source_dictionary, &dataset.target_dictionary)?;
        let sentences: Vec<Vec<i64>> = (0..dataset.len()).map(|i| dataset.source.get(i)).collect();
        let mut bar = Progress::new("translate", Some(dataset.len() as u64));
        let found =
            model.translate(&sentences, &search, self.search.max_tokens, |done| bar.set(done as u64, String::new))?;
        drop(bar);
        let text = |ids: &[i64]| if self.detokenize { model.restore(ids) } else { model.words(ids) };
        let hypotheses: Vec<String> =
            found.iter().map(|best| best.first().map_or(String::new(), |best| text(&best.tokens))).collect();
        let references: Vec<String> = (0..dataset.len()).map(|i| text(&dataset.target.get(i))).collect();
        if let Some(path) = &self.output {
            files::write_whole(path, (hypotheses.join("\n") + "\n").as_bytes())?;
        }
        let mut options = self.options.clone();
        if !self.detokenize {
            // The data are tokenised: another tokenizer would give a number that compares with nothing.
            options.tokenize = Tokenizer::None;
        }
        progress::note(format!(
            "{} sentences of {}, split {}; {}; beam {}, length penalty {}; {}",
            dataset.len(),
            data.display(),
            self.split,
            if self.detokenize { "detokenised" } else { "tokenised as the data are, subwords joined" },
            search.beam,
            search.length_penalty,
            model.checkpoint.display()
        ));
        score_lines(&hypotheses, &[references], &options)
    }
}
