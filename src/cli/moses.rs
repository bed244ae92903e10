//! `nmt tokenize`, `nmt detokenize`, `nmt normalize`, `nmt lowercase`: the Moses scripts, standard input to standard
//! output.

use std::io::{self, BufReader, BufWriter, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use nmt::error::Error;
use nmt::files;
use nmt::text::moses::{
    BASIC_PROTECTED_PATTERNS, Detokenizer, PunctuationNormalizer, Tokenizer, TokenizerOptions, Version, lowercase,
};
use nmt::text::{LineReader, in_order};

/// Lines that a thread works on at a time.
const LINES: usize = 1000;

/// Split the lines of standard input into tokens, as Moses' tokenizer.perl does.
#[derive(Debug, clap::Args)]
pub struct TokenizeArgs {
    /// The language of the text: a code such as de
    #[arg(long)]
    lang: String,
    /// Write a hyphen between letters as @-@ (-a of the script)
    #[arg(long)]
    aggressive_hyphens: bool,
    /// Do not write & | < > ' " [ ] as &amp; and so on
    #[arg(long)]
    no_escape: bool,
    /// The edition of the Moses scripts
    #[arg(long, value_enum, default_value = "current")]
    moses_version: Version,
    /// Keep in one piece what a regular expression of FILE matches; one a line
    #[arg(long, value_name = "FILE")]
    protected: Option<PathBuf>,
    /// Keep tags, e-mail addresses and URLs in one piece
    #[arg(long)]
    protect_basic: bool,
}

impl TokenizeArgs {
    /// Tokenise with so many threads.
    pub fn run(&self, threads: Option<usize>) -> nmt::Result<()> {
        let mut protected_patterns = Vec::new();
        if let Some(path) = &self.protected {
            let text = files::read_text(path)?;
            protected_patterns.extend(text.lines().filter(|line| !line.is_empty()).map(str::to_string));
        }
        if self.protect_basic {
            protected_patterns.extend(BASIC_PROTECTED_PATTERNS.iter().map(|pattern| pattern.to_string()));
        }
        let options = TokenizerOptions {
            aggressive_hyphens: self.aggressive_hyphens,
            no_escape: self.no_escape,
            version: self.moses_version,
            protected_patterns,
        };
        let tokenizer = Tokenizer::new(&self.lang, &options)?;
        filter(threads, |line| tokenizer.tokenize(line))
    }
}

/// Put the tokens of standard input together, as Moses' detokenizer.perl does.
#[derive(Debug, clap::Args)]
pub struct DetokenizeArgs {
    /// The language of the text: a code such as de
    #[arg(long)]
    lang: String,
}

impl DetokenizeArgs {
    /// Detokenise with so many threads.
    pub fn run(&self, threads: Option<usize>) -> nmt::Result<()> {
        let detokenizer = Detokenizer::new(&self.lang);
        filter(threads, |line| detokenizer.detokenize(line))
    }
}

/// Normalise the punctuation of standard input, as Moses' normalize-punctuation.perl does.
#[derive(Debug, clap::Args)]
pub struct NormalizeArgs {
    /// The language of the text: a code such as de
    #[arg(long)]
    lang: String,
    /// The edition of the Moses scripts
    #[arg(long, value_enum, default_value = "current")]
    moses_version: Version,
}

impl NormalizeArgs {
    /// Normalise with so many threads.
    pub fn run(&self, threads: Option<usize>) -> nmt::Result<()> {
        let normalizer = PunctuationNormalizer::new(&self.lang, self.moses_version);
        filter(threads, |line| normalizer.normalize(line))
    }
}

/// `nmt lowercase` with so many threads.
pub fn run_lowercase(threads: Option<usize>) -> nmt::Result<()> {
    filter(threads, lowercase)
}

/// Every line of standard input through `stage` to standard output, in order. Lines end at `\n` only, the last one too.
/// A reader that has gone away is no failure.
fn filter(threads: Option<usize>, stage: impl Fn(&str) -> String + Sync) -> nmt::Result<()> {
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let mut input = LineReader::of_stream("standard input", BufReader::with_capacity(1 << 16, io::stdin()));
    // What came before a line that cannot be read is still written.
    let mut failure = None;
    let next = || {
        if failure.is_some() {
            return Ok(None);
        }
        let lines = input.read_lines(LINES).unwrap_or_else(|error| {
            failure = Some(error);
            Vec::new()
        });
        Ok((!lines.is_empty()).then_some(lines))
    };
    let work = |lines: Vec<String>| lines.iter().map(|line| stage(line) + "\n").collect::<String>();
    let mut output = BufWriter::new(io::stdout().lock());
    let written = in_order(threads, next, work, |text| {
        output.write_all(text.as_bytes()).map_err(Error::io("write to", "standard output"))
    });
    let flushed = output.flush().map_err(Error::io("write to", "standard output"));
    match written.and(flushed) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error),
        Ok(()) => failure.map_or(Ok(()), Err),
    }
}
