//! `nmt score --hypotheses FILE --references FILE…`: scores of translations that are in files.

use std::io::Read;
use std::path::{Path, PathBuf};

use nmt::error::Error;
use nmt::score::{BleuOptions, Metric, Options, Smoothing, TextStyle, Tokenizer, score, text_style, warnings};
use nmt::{files, progress};
use serde::Serialize;

/// How translations are scored.
#[derive(Debug, Clone, clap::Args)]
pub struct ScoreOptions {
    /// The scores to compute
    #[arg(long, num_args = 1.., value_enum, default_values = ["bleu", "chrf", "chrf++", "ter"])]
    pub metrics: Vec<Metric>,
    /// How BLEU splits lines into words: 13a for detokenised text, none for text that is tokenised already
    #[arg(long, value_enum, default_value = "13a")]
    pub tokenize: Tokenizer,
    /// Ignore case in BLEU and chrF (TER ignores it anyway)
    #[arg(long)]
    pub lowercase: bool,
    /// What BLEU does with an n-gram order that has no match
    #[arg(long, value_enum, default_value = "exp")]
    pub smooth_method: Smoothing,
    /// The value of the smoothing: 0.1 for floor and 1 for add-k unless given
    #[arg(long, value_name = "NUMBER")]
    pub smooth_value: Option<f64>,
    /// Leave out the n-gram orders that a text is too short for
    #[arg(long)]
    pub effective_order: bool,
    /// Digits after the point
    #[arg(long, value_name = "DIGITS", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=15))]
    pub width: u8,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl ScoreOptions {
    /// The same for the library.
    pub fn options(&self) -> Options {
        let bleu = BleuOptions {
            tokenize: self.tokenize,
            smooth_method: self.smooth_method,
            smooth_value: self.smooth_value,
            effective_order: self.effective_order,
            ..BleuOptions::default()
        };
        Options { metrics: self.metrics.clone(), bleu, ..Options::default() }.lowercase(self.lowercase)
    }
}

/// Score the lines of `hypotheses` (`-`: standard input) against those of each of `references`.
///
/// Scores go to standard output, warnings and what the texts look like to standard error.
pub fn score_files(hypotheses: &Path, references: &[PathBuf], options: &ScoreOptions) -> nmt::Result<()> {
    let lines = read_lines(hypotheses)?;
    let mut streams = Vec::new();
    for path in references {
        let stream = read_lines(path)?;
        if stream.len() != lines.len() {
            return Err(Error::content(
                path.display().to_string(),
                format!("{} lines, as many as {} has", lines.len(), hypotheses.display()),
                format!("{} lines", stream.len()),
                "pair the files again: line i of each has to belong to segment i",
            ));
        }
        streams.push(stream);
    }
    if lines.is_empty() {
        return Err(Error::content(
            hypotheses.display().to_string(),
            "at least one line",
            "an empty file",
            "check that the translation was written",
        ));
    }
    score_lines(&lines, &streams, options)
}

/// Score lines that are at hand, and print the scores as [`score_files`] does.
pub fn score_lines(hypotheses: &[String], references: &[Vec<String>], options: &ScoreOptions) -> nmt::Result<()> {
    let scores = score(hypotheses, references, &options.options())?;
    let report = Report {
        scores: &scores,
        hypotheses: text_style(hypotheses),
        references: references.iter().map(|stream| text_style(stream)).collect(),
        warnings: all_warnings(hypotheses, references, options),
    };
    for warning in &report.warnings {
        progress::note(format!("warning: {warning}"));
    }
    if options.json {
        let json = serde_json::to_string_pretty(&report)
            .map_err(|error| Error::content("the scores", "numbers", error.to_string(), ""))?;
        println!("{json}");
    } else {
        progress::note(format!("{} lines; hypotheses: {}", scores.lines, report.hypotheses));
        let digits = usize::from(options.width);
        println!("{scores:.digits$}");
    }
    Ok(())
}

#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    scores: &'a nmt::score::Scores,
    hypotheses: TextStyle,
    references: Vec<TextStyle>,
    warnings: Vec<String>,
}

/// What spoils the hypotheses, and where the two sides or the tokenizer do not fit together.
fn all_warnings(hypotheses: &[String], references: &[Vec<String>], options: &ScoreOptions) -> Vec<String> {
    let mut found = warnings(hypotheses);
    let style = text_style(hypotheses);
    let bleu = options.metrics.contains(&Metric::Bleu);
    for (stream, lines) in references.iter().enumerate() {
        let reference = text_style(lines);
        let stream = stream + 1;
        if style.tokenised != reference.tokenised {
            found.push(format!(
                "the hypotheses are {style}, reference {stream} is {reference}; detokenise or tokenise both alike"
            ));
        }
        if style.lower_cased != reference.lower_cased && !options.lowercase {
            found.push(format!(
                "the hypotheses are {style}, reference {stream} is {reference}; to ignore case give --lowercase"
            ));
        }
    }
    if bleu && style.tokenised && !matches!(options.tokenize, Tokenizer::None) {
        found.push(format!(
            "the hypotheses look tokenised and BLEU tokenises them again ({}); such a score does not compare with \
             others: detokenise the text, or give --tokenize none for a tokenised BLEU",
            options.tokenize.name()
        ));
    }
    found
}

/// The lines of a file or of standard input. Lines end at `\n` only.
fn read_lines(path: &Path) -> nmt::Result<Vec<String>> {
    let text = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(good).filter(|&&byte| byte == b'\n').count() + 1;
            Error::content(
                format!("standard input:{line}"),
                "UTF-8 text",
                "a byte that is not",
                "convert the text to UTF-8",
            )
        })?
    } else {
        files::read_text(path)?
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_string).collect())
}
