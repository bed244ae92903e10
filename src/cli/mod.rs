//! One file a sub-command: arguments -> one call into the library, progress, exit code.

mod config;
mod data_show;
mod doctor;
mod gradinit;
mod model_options;
mod moses;
mod plot;
mod preprocess;
mod score;
mod score_options;
mod score_systems;
mod signals;
mod train;
mod translate;

use clap::{Parser, Subcommand};

/// The heading of options that every command has.
const GLOBAL: &str = "Global options";

/// Sequence-to-sequence translation that trains without learning-rate warmup.
#[derive(Debug, Parser)]
#[command(name = "nmt", version, about, max_term_width = 110)]
pub struct CommandLine {
    /// No progress and no notes on standard error
    #[arg(long, short, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Threads of libtorch and of work on text [default: all cores]
    #[arg(long, global = true, value_name = "N", help_heading = GLOBAL,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a binarised dataset from raw text
    Preprocess(preprocess::PreprocessArgs),
    /// Split lines into tokens: Moses' tokenizer.perl
    Tokenize(moses::TokenizeArgs),
    /// Put tokens together: Moses' detokenizer.perl
    Detokenize(moses::DetokenizeArgs),
    /// Normalise punctuation: Moses' normalize-punctuation.perl
    Normalize(moses::NormalizeArgs),
    /// Lower-case standard input, as Moses' lowercase.perl does
    Lowercase,
    /// Look into a binarised dataset
    #[command(subcommand)]
    Data(DataCommand),
    /// Learn the initialisation: one scale for every parameter block
    Gradinit(gradinit::GradInitArgs),
    /// Train a Transformer on a binarised dataset
    Train(train::TrainArgs),
    /// Translate raw text
    Translate(translate::TranslateArgs),
    /// Score translations: BLEU, chrF, chrF++ and TER
    Score(score::ScoreArgs),
    /// Draw learning curves, or the trajectory of GradInit
    Plot(plot::PlotArgs),
    /// Print the resolved configuration, every key with its meaning
    Config(config::ConfigArgs),
    /// Say what was found of libtorch, threads, processor features and GPU
    Doctor,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Print a split as text or ids, one sentence a line, or list the splits
    Show(data_show::DataShowArgs),
}

impl CommandLine {
    /// Run the sub-command.
    pub fn run(&self) -> nmt::Result<()> {
        if matches!(self.command, Command::Train(_) | Command::Gradinit(_)) {
            nmt::machine::wait_briefly();
        }
        nmt::machine::keep_freed_memory();
        nmt::progress::set_quiet(self.quiet);
        let threads = self.threads.map(usize::from);
        if let Some(threads) = threads {
            let cores = nmt::machine::machine().cores;
            if threads > cores {
                nmt::progress::note(format!(
                    "warning: --threads {threads} on {cores} cores: they will wait for each other"
                ));
            }
            tch::set_num_threads(threads as i32);
        }
        match &self.command {
            Command::Preprocess(arguments) => arguments.run(threads),
            Command::Tokenize(arguments) => arguments.run(threads),
            Command::Detokenize(arguments) => arguments.run(threads),
            Command::Normalize(arguments) => arguments.run(threads),
            Command::Lowercase => moses::run_lowercase(threads),
            Command::Data(DataCommand::Show(arguments)) => arguments.run(),
            Command::Gradinit(arguments) => arguments.run(),
            Command::Train(arguments) => arguments.run(),
            Command::Translate(arguments) => arguments.run(),
            Command::Score(arguments) => arguments.run(),
            Command::Plot(arguments) => arguments.run(),
            Command::Config(arguments) => arguments.run(),
            Command::Doctor => doctor::run(),
        }
    }
}

/// Print a result on standard output. A reader that has gone away is no failure.
fn print(text: &str) -> nmt::Result<()> {
    use std::io::Write;
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(nmt::Error::io("write", "standard output")),
    }
}
