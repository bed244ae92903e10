//! `nmt-torch`: the commands of `nmt` that compute with libtorch. `nmt` starts it; nobody else has to.

#[path = "../cli/mod.rs"]
#[allow(dead_code)] // What starts this program.
mod cli;

fn main() {
    cli::end(cli::CommandLine::typed().run())
}
