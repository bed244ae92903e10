//! A small German–English corpus to learn from in minutes: numbers, ordinals, years, dates, clock times, prices,
//! durations, decimals and sums in words, inside short sentences.
//!
//! ```text
//! cargo run --release --example generate_corpus -- --output data/demo
//! Der Zug fährt um halb acht ab.      The train leaves at half past seven.
//! Sie wurde am dritten März neunzehnhundertvierundachtzig geboren.
//!                                     She was born on the third of March nineteen eighty-four.
//! ```
//!
//! Writes `train.de`, `train.en`, `valid.de` … `test.en`; the same arguments give the same bytes.
//!
//! A German sentence has one translation only, which a person can check by eye. What the sentences of the valid and of
//! the test split say is never seen in training: each *value* (what fills the gap of a sentence, as a whole: a number,
//! a date, a price …) belongs to one split by a hash of its German words, see [`splits::Split::of`]. Only numbers below
//! 100 and ordinals up to 31st, of which the others are made, always belong to training. No sentence occurs twice.
//!
//! The sentences, like the lists of words, are the project's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use nmt::error::{Error, Result};
use nmt::{files, progress};

use crate::splits::{Pair, Split, pairs};

mod number_words;
mod sentences;
mod splits;
#[cfg(test)]
mod tests;
mod values;

/// Write a German–English corpus of numbers, dates and times in words.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder to write train, valid and test to, each as .de and .en
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Another seed gives other sentences; a value stays in its split
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Sentence pairs of the training split
    #[arg(long, value_name = "PAIRS", default_value_t = 20_000)]
    train: usize,
    /// Sentence pairs of the validation split
    #[arg(long, value_name = "PAIRS", default_value_t = 500)]
    valid: usize,
    /// Sentence pairs of the test split
    #[arg(long, value_name = "PAIRS", default_value_t = 500)]
    test: usize,
}

fn main() -> ExitCode {
    match generate(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::note(format!("error: {error}"));
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
    }
}

fn generate(arguments: &Arguments) -> Result<()> {
    let sizes = [(Split::Train, arguments.train), (Split::Valid, arguments.valid), (Split::Test, arguments.test)];
    // Everything is drawn before anything is written: a size that cannot be had leaves no half corpus behind.
    let drawn: Vec<_> = sizes
        .into_iter()
        .map(|(split, size)| Ok((split, pairs(split, size, arguments.seed)?)))
        .collect::<Result<_>>()?;
    for (split, pairs) in &drawn {
        let path = |language| arguments.output.join(format!("{}.{language}", split.name()));
        write_lines(&path("de"), pairs, |pair| &pair.german)?;
        write_lines(&path("en"), pairs, |pair| &pair.english)?;
    }
    let [train, valid, test] = [arguments.train, arguments.valid, arguments.test];
    progress::note(format!("{}: {train} train, {valid} valid and {test} test pairs", arguments.output.display()));
    Ok(())
}

fn write_lines(path: &Path, pairs: &[Pair], line: impl Fn(&Pair) -> &str) -> Result<()> {
    files::write_atomically(path, |writer| {
        pairs.iter().try_for_each(|pair| writeln!(writer, "{}", line(pair))).map_err(Error::io("write", path))
    })
}
