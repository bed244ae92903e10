//! The command line: parse, dispatch; nothing else.

mod cli;

use std::io::{Write, stdout};

use clap::Parser;

fn main() {
    let code = match cli::CommandLine::parse().run() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("nmt: {error}");
            error.exit_code()
        }
    };
    // As at any end of a program, a reader that has gone away is no failure.
    let _ = stdout().flush();
    // SAFETY: it takes a number and does not come back. A plain exit would have libtorch take its tables of operators apart
    // before, for a twentieth of a second.
    unsafe { libc::_exit(code) }
}
