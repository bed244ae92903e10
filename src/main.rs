//! The command line: parse, dispatch; nothing else.

mod cli;

use clap::Parser;

fn main() {
    let arguments = cli::CommandLine::parse();
    if let Err(error) = arguments.run() {
        eprintln!("nmt: {error}");
        std::process::exit(error.exit_code());
    }
}
