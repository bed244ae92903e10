//! `nmt translate`: raw text in, translations out, in input order.

use std::io::IsTerminal;
use std::path::PathBuf;

use nmt::config::{Compute, Config};
use nmt::decode::{BatchSearch, Hypothesis, SearchConfig};
use nmt::error::Error;
use nmt::progress::{self, Progress};
use nmt::text::LineReader;
use nmt::translation::ModelFolder;
use nmt::{Result, machine};
use serde_json::json;

use super::too_long::{Fitting, TooLong};

/// Lines that are translated together where nobody waits for each: fairseq-interactive's --buffer-size.
const LINES_AT_A_TIME: usize = 2048;

/// How a model is searched for translations.
#[derive(Debug, Clone, clap::Args)]
pub struct SearchOptions {
    /// The beam [default: search.beam of the model's configuration, 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    beam: Option<u16>,
    /// Exponent of the length that a score is divided by [default: search.length_penalty, 1]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    length_penalty: Option<f64>,
    /// The longest translation is A · source length + B [default: search.max_length_a, 1.2]
    #[arg(long, value_name = "A")]
    max_length_a: Option<f64>,
    /// See --max-length-a [default: search.max_length_b, 10]
    #[arg(long, value_name = "B")]
    max_length_b: Option<f64>,
    /// The shortest translation, in subwords [default: search.min_length, 1]
    #[arg(long, value_name = "N")]
    min_length: Option<usize>,
    /// Whether a sentence is done with as many finished translations as the beam is wide, as in fairseq, or goes on while a better
    /// one may come, as in Hugging Face's generate [default: search.early_stopping, true]
    #[arg(long, value_name = "BOOL")]
    early_stopping: Option<bool>,
    /// What activations are computed in [default: training.compute of the model's configuration]
    #[arg(long, value_enum)]
    compute: Option<Compute>,
    /// Source tokens that are translated at a time, padding included
    #[arg(long, value_name = "N", default_value_t = MAX_TOKENS)]
    max_tokens: usize,
}

const MAX_TOKENS: usize = 1024;

impl SearchOptions {
    /// The first option that was given, by name.
    pub fn given(&self) -> Option<&'static str> {
        let given = [
            ("--beam", self.beam.is_some()),
            ("--length-penalty", self.length_penalty.is_some()),
            ("--max-length-a", self.max_length_a.is_some()),
            ("--max-length-b", self.max_length_b.is_some()),
            ("--min-length", self.min_length.is_some()),
            ("--early-stopping", self.early_stopping.is_some()),
            ("--compute", self.compute.is_some()),
            ("--max-tokens", self.max_tokens != MAX_TOKENS),
        ];
        given.iter().find(|(_, given)| *given).map(|(name, _)| *name)
    }

    /// These settings over those of the model.
    pub fn resolve(&self, model: &Config) -> Result<BatchSearch> {
        let search = SearchConfig {
            beam: self.beam.map_or(model.search.beam, usize::from),
            length_penalty: self.length_penalty.unwrap_or(model.search.length_penalty),
            max_length_a: self.max_length_a.unwrap_or(model.search.max_length_a),
            max_length_b: self.max_length_b.unwrap_or(model.search.max_length_b),
            min_length: self.min_length.unwrap_or(model.search.min_length),
            early_stopping: self.early_stopping.unwrap_or(model.search.early_stopping),
        };
        search.check()?;
        let compute = self.compute.unwrap_or(model.training.compute).kind();
        Ok(BatchSearch { search, max_tokens: self.max_tokens, compute })
    }
}

/// Arguments of `nmt translate`.
#[derive(Debug, clap::Args)]
pub struct TranslateArgs {
    /// A run folder of `nmt train`, or one checkpoint in it; several translate together, each token by the mean of their
    /// probabilities
    #[arg(long, value_name = "RUN", num_args = 1.., required = true)]
    model: Vec<PathBuf>,
    /// Raw text, one sentence a line, plain or .gz [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    search: SearchOptions,
    /// Translations of every sentence, best first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    n_best: u16,
    /// Lines that are read before they are translated together [default: 1 from a terminal, else 2048]. 1 answers each
    /// line at once, for a program that waits for it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    buffer_size: Option<u32>,
    /// What becomes of a line of more subwords than the model takes: an error after the lines before it, its beginning
    /// translated, or no translation, which is an empty line of text; the last two are counted and named
    #[arg(long, value_enum, default_value = "fail")]
    too_long: TooLong,
    /// text: a translation a line; tsv: line, rank, score, translation; jsonl: one object a sentence
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Tsv,
    Jsonl,
}

impl TranslateArgs {
    /// Translate everything that comes in.
    pub fn run(&self) -> Result<()> {
        let model = ModelFolder::open_all(&self.model, machine::device())?;
        let options = self.search.resolve(&model.config)?;
        let search = &options.search;
        if usize::from(self.n_best) > search.beam {
            return Err(Error::usage(
                format!("--n-best has to be at most the beam, found {} and a beam of {}", self.n_best, search.beam),
                format!("give --beam {}", self.n_best),
            ));
        }
        let mut input = match &self.input {
            Some(path) => LineReader::open(path)?,
            None => LineReader::of_stream("standard input", std::io::stdin().lock()),
        };
        let interactive = self.input.is_none() && std::io::stdin().is_terminal();
        if interactive {
            progress::note(format!("{} → {}: a sentence a line", model.source_lang, model.target_lang));
        }
        let default = if interactive { 1 } else { LINES_AT_A_TIME };
        let at_a_time = self.buffer_size.map_or(default, |lines| lines as usize);
        if !model.text.has_tokenizer() {
            progress::note(
                "the model's data came without a tokenizer: words are what stands between blanks, so give the text as \
                 its training data were (tokenised and cut into subwords), and expect such text",
            );
        }
        let translator = model.translator(&options)?;
        let longest = translator.longest_sentence();
        let mut fitting = Fitting::new(self.too_long, longest);
        let mut bar = (!interactive).then(|| Progress::new("translate", None));
        let mut done = 0;
        let started = std::time::Instant::now();
        loop {
            let lines = input.read_lines(at_a_time)?;
            if lines.is_empty() {
                drop(bar);
                let seconds = started.elapsed().as_secs_f64();
                progress::note(format!("{done} sentences, {seconds:.2} s, {:.0} sentences/s", done as f64 / seconds));
                return Ok(());
            }
            let mut sentences: Vec<Vec<i64>> = lines.iter().map(|line| model.text.encode(line)).collect();
            let fitted = fitting.fit(&mut sentences, done + 1);
            let mut found = translator.translate(&sentences, |sentences| {
                if let Some(bar) = &mut bar {
                    bar.set((done + sentences) as u64, || "sentences".into());
                }
            })?;
            for place in fitted.skipped {
                found[place].clear();
            }
            let mut output = String::new();
            for (i, (line, hypotheses)) in lines.iter().zip(&found).enumerate() {
                self.write(&mut output, &model, done + i + 1, line, hypotheses);
            }
            super::print(&output)?;
            done += sentences.len();
            if let Some(length) = fitted.failed {
                return Err(Error::content(
                    format!("{}:{}", input.path().display(), done + 1),
                    format!("at most {longest} subwords, as the model takes, `</s>` included"),
                    length.to_string(),
                    "split the line into sentences, or choose --too-long truncate or skip",
                ));
            }
        }
    }

    fn write(&self, output: &mut String, model: &ModelFolder, line: usize, source: &str, hypotheses: &[Hypothesis]) {
        let best = hypotheses.iter().take(usize::from(self.n_best));
        match self.format {
            // A line stays a line, as one without a word does.
            Format::Text if hypotheses.is_empty() => output.push('\n'),
            Format::Text => best.for_each(|hypothesis| {
                output.push_str(&model.text.restore(&hypothesis.tokens));
                output.push('\n');
            }),
            Format::Tsv => best.enumerate().for_each(|(rank, hypothesis)| {
                let text = model.text.restore(&hypothesis.tokens).replace('\t', " ");
                output.push_str(&format!("{line}\t{}\t{:.6}\t{text}\n", rank + 1, hypothesis.score));
            }),
            Format::Jsonl => {
                let hypotheses: Vec<serde_json::Value> = best
                    .map(|hypothesis| {
                        json!({
                            "text": model.text.restore(&hypothesis.tokens),
                            "score": hypothesis.score,
                            "tokens": hypothesis.tokens.iter().map(|&id| model.text.target_dictionary.symbol(id)).collect::<Vec<_>>(),
                            "token_scores": hypothesis.positional_scores,
                        })
                    })
                    .collect();
                let object = json!({"line": line, "source": source, "translations": hypotheses});
                output.push_str(&format!("{object}\n"));
            }
        }
    }
}
