//! One file a sub-command: arguments -> one call into the library, progress, exit code.

mod average;
mod completions;
mod config;
mod data_show;
mod doctor;
mod experiment;
mod export;
mod gradinit;
mod gradinit_grid;
mod gradinit_learn;
mod gradinit_partial;
mod gradinit_summary;
mod import;
mod inspect;
mod model_options;
mod moses;
mod plot;
mod preprocess;
mod processes;
mod report;
mod run_options;
mod runner;
mod score;
mod score_options;
mod score_systems;
mod serve;
mod signals;
mod too_long;
mod train;
mod translate;
mod vision;

use clap::{Parser, Subcommand};

/// The heading of options that every command has.
const GLOBAL: &str = "Global options";

/// What every command ends with.
const EXIT_CODES: &str =
    "Exit codes: 0 success, 1 failure, 2 wrong use, 129, 130, 138 or 143 stopped by SIGHUP, SIGINT, SIGUSR1 or SIGTERM.
Results go to standard output, progress and notes to standard error (--quiet: none). NO_COLOR and CLICOLOR are heeded.";

/// Sequence-to-sequence translation that trains without learning-rate warmup.
#[derive(Debug, Parser)]
#[command(name = "nmt", version, about, max_term_width = 110, after_help = EXIT_CODES)]
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
    /// Draw weights and their gradients block by block, before and after GradInit
    Inspect(inspect::InspectArgs),
    /// Train a Transformer on a binarised dataset
    Train(train::TrainArgs),
    /// Write the mean of several checkpoints
    Average(average::AverageArgs),
    /// Make a run folder of another program's model: fairseq's checkpoints, Marian's models of Hugging Face
    Import(import::ImportArgs),
    /// Write a trained model for another program: CTranslate2, Hugging Face's transformers, or plain safetensors
    Export(export::ExportArgs),
    /// Run a plan of many trainings, methods by seeds, and write its table
    Experiment(experiment::ExperimentArgs),
    /// Translate raw text
    Translate(translate::TranslateArgs),
    /// Translate for others over HTTP
    Serve(serve::ServeArgs),
    /// Score translations: BLEU, chrF, chrF++ and TER
    Score(score::ScoreArgs),
    /// Draw learning curves, the trajectory of GradInit, or a map of scores
    Plot(plot::PlotArgs),
    /// Write runs as one web page: curves, figures, translations with their attention, configurations
    Report(report::ReportArgs),
    /// Print the resolved configuration, every key with its meaning
    Config(config::ConfigArgs),
    /// Image classification: the networks of the GradInit paper's Table 1
    #[command(subcommand)]
    Vision(vision::VisionCommand),
    /// Say what was found of libtorch, threads, processor features and GPU
    Doctor,
    /// Print a script with which a shell completes commands and options
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(completions::ManArgs),
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    /// Print a split as text or ids, one sentence a line, or list the splits
    Show(data_show::DataShowArgs),
}

impl CommandLine {
    /// What was typed. Ends the program where it is wrong, or asks for help.
    pub fn typed() -> CommandLine {
        CommandLine::try_parse().unwrap_or_else(|error| {
            processes::wait_behind_first(); // It says the same.
            error.exit()
        })
    }

    /// Run a command that works on text alone; none where it computes with libtorch.
    pub fn run_on_text(&self) -> Option<nmt::Result<()>> {
        nmt::progress::set_quiet(self.quiet);
        signals::explain_cut_files();
        if !matches!(
            self.command,
            Command::Train(_) | Command::Vision(vision::VisionCommand::Train(_)) | Command::Doctor
        ) && let Err(error) = processes::check_alone()
        {
            return Some(Err(error));
        }
        let threads = self.threads.map(usize::from);
        Some(match &self.command {
            Command::Preprocess(arguments) => arguments.run(threads),
            Command::Tokenize(arguments) => arguments.run(threads),
            Command::Detokenize(arguments) => arguments.run(threads),
            Command::Normalize(arguments) => arguments.run(threads),
            Command::Lowercase => moses::run_lowercase(threads),
            Command::Data(DataCommand::Show(arguments)) => arguments.run(),
            Command::Score(arguments) if !arguments.translates() => arguments.run_on_files(),
            Command::Plot(arguments) => arguments.run(),
            Command::Report(arguments) if !arguments.translates() => arguments.run_on_text(),
            Command::Config(arguments) => arguments.run(),
            Command::Experiment(arguments) => arguments.run(self.quiet, threads),
            Command::Vision(command) => return command.run_on_text(),
            Command::Completions(arguments) => arguments.run(),
            Command::Man(arguments) => arguments.run(),
            Command::Score(_)
            | Command::Report(_)
            | Command::Gradinit(_)
            | Command::Inspect(_)
            | Command::Train(_)
            | Command::Average(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Translate(_)
            | Command::Serve(_)
            | Command::Doctor => return None,
        })
    }

    /// Run the command, whichever it is.
    pub fn run(&self) -> nmt::Result<()> {
        if let Some(outcome) = self.run_on_text() {
            return outcome;
        }
        nmt::machine::keep_freed_memory();
        if let Some(threads) = self.threads.map(usize::from) {
            let cores = nmt::machine::machine().cores;
            if threads > cores {
                nmt::progress::note(format!(
                    "warning: --threads {threads} on {cores} cores: they will wait for each other"
                ));
            }
            tch::set_num_threads(threads as i32);
        }
        match &self.command {
            Command::Gradinit(arguments) => arguments.run(self.threads.map(usize::from)),
            Command::Inspect(arguments) => arguments.run(),
            Command::Vision(command) => command.run(self.threads.map(usize::from)),
            Command::Train(arguments) => arguments.run(self.threads.map(usize::from)),
            Command::Average(arguments) => arguments.run(),
            Command::Export(arguments) => arguments.run(),
            Command::Import(arguments) => arguments.run(),
            Command::Translate(arguments) => arguments.run(),
            Command::Serve(arguments) => arguments.run(),
            Command::Score(arguments) => arguments.run(),
            Command::Report(arguments) => arguments.run(),
            Command::Doctor => doctor::run(),
            _ => Ok(()), // Done above.
        }
    }
}

/// Run `nmt-torch`, which is beside this program, in its place, with the same arguments.
///
/// libtorch's threads are told to wait for each other about a tenth of a millisecond at work before they sleep, instead
/// of some milliseconds, which only the environment of a new program can tell GNU OpenMP. Alone on the machine that is as
/// fast; where another program shares the cores a training step no longer waits for a thread that waits
/// (results/demo.md). Whoever sets `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` has the choice.
///
/// And glibc asks the system for pages of 2 MiB, which only its environment can tell it, too: a tensor of tens of
/// megabytes that is taken anew for every operation costs a fault for every page of 4 KiB, up to 40 % of the time of
/// GradInit on image networks (results/gradinit-cost.md). Whoever sets `GLIBC_TUNABLES` has the choice.
///
/// # Errors
/// When there is no such program.
pub fn become_nmt_torch() -> nmt::Result<()> {
    const SPINS: &str = "GOMP_SPINCOUNT";
    const TUNABLES: &str = "GLIBC_TUNABLES";
    let here = std::env::current_exe().map_err(nmt::Error::io("find", "this program"))?;
    let path = here.with_file_name(format!("nmt-torch{}", std::env::consts::EXE_SUFFIX));
    let mut arguments = std::env::args_os();
    let mut program = std::process::Command::new(&path);
    #[cfg(unix)]
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut program, name);
    }
    #[cfg(not(unix))]
    arguments.next();
    program.args(arguments);
    if [SPINS, "OMP_WAIT_POLICY"].iter().all(|name| std::env::var_os(name).is_none()) {
        program.env(SPINS, "5000");
    }
    if std::env::var_os(TUNABLES).is_none() {
        program.env(TUNABLES, "glibc.malloc.hugetlb=1");
    }
    let failed = |source: std::io::Error| {
        nmt::Error::content(
            path.display().to_string(),
            "the program that computes, beside nmt",
            source.to_string(),
            "`make build` or `cargo build --release` leaves both in one folder: run it, and keep them together",
        )
    };
    #[cfg(unix)]
    return Err(failed(std::os::unix::process::CommandExt::exec(&mut program)));
    #[cfg(not(unix))]
    std::process::exit(program.status().map_err(failed)?.code().unwrap_or(1));
}

/// End the program: the message of an error, and its exit code.
pub fn end(outcome: nmt::Result<()>) -> ! {
    use std::io::Write;
    let code = match &outcome {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("nmt: {}{}", processes::who(), nmt::progress::printable(&error.to_string()));
            error.exit_code()
        }
    };
    // As at any end of a program, a reader that has gone away is no failure.
    let _ = std::io::stdout().flush();
    processes::end(code);
    // SAFETY: it takes a number and does not come back. A plain exit would have libtorch take its tables of operators
    // apart before, for a twentieth of a second.
    unsafe { libc::_exit(code) }
}

/// Print a result on standard output. A reader that has gone away is no failure. Of processes that train together the first prints.
fn print(text: &str) -> nmt::Result<()> {
    use std::io::Write;
    if !processes::prints() {
        return Ok(());
    }
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(nmt::Error::io("write", "standard output")),
    }
}
