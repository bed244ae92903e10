//! `nmt`: parse, and run what works on text. What computes with libtorch is the program `nmt-torch` beside this one, which
//! takes its place: loading libtorch takes longer than most work on text.

#[allow(dead_code)] // What computes is called by nmt-torch.
mod cli;

fn main() {
    let arguments = cli::CommandLine::typed();
    // `cargo run` builds this program alone: without optimisation it is whole.
    #[cfg(debug_assertions)]
    cli::end(arguments.run());
    #[cfg(not(debug_assertions))]
    cli::end(arguments.run_on_text().unwrap_or_else(cli::become_nmt_torch));
}
