//! `nmt vision`: image classification over the same parts as translation.

mod evaluate;
mod gradinit;
mod inspect;
mod options;
mod predict;
mod train;
mod trained;

use clap::Subcommand;
use nmt::Result;
use nmt::config::describe;

pub use options::ReadingOptions;

/// The commands of `nmt vision`.
#[derive(Debug, Subcommand)]
pub enum VisionCommand {
    /// Learn the initialisation of an image network: one scale for every parameter block
    Gradinit(gradinit::VisionGradInitArgs),
    /// Train an image network
    Train(train::VisionTrainArgs),
    /// Classify a split and say how much of it was right
    Evaluate(evaluate::EvaluateArgs),
    /// Name the most probable classes of pictures
    Predict(predict::PredictArgs),
    /// Draw weights and their gradients layer by layer, before and after GradInit
    Inspect(inspect::VisionInspectArgs),
    /// Print the resolved configuration, every key with its meaning
    Config(options::NetworkOptions),
}

impl VisionCommand {
    /// Run a command that does not compute; none where it does.
    pub fn run_on_text(&self) -> Option<Result<()>> {
        match self {
            VisionCommand::Config(options) => {
                Some(options.load(&[]).and_then(|config| super::print(&describe(&config)?)))
            }
            _ => None,
        }
    }

    /// Run the command; `threads` are those that were asked for.
    pub fn run(&self, threads: Option<usize>) -> Result<()> {
        match self {
            VisionCommand::Gradinit(arguments) => arguments.run(),
            VisionCommand::Train(arguments) => arguments.run(threads),
            VisionCommand::Evaluate(arguments) => arguments.run(),
            VisionCommand::Predict(arguments) => arguments.run(),
            VisionCommand::Inspect(arguments) => arguments.run(),
            VisionCommand::Config(_) => Ok(()), // Done on text.
        }
    }
}

/// A name that ends no column and no line.
fn column(name: &str) -> String {
    let shown = |c: char| if c.is_control() || c == '\\' { c.escape_default().to_string() } else { c.to_string() };
    name.chars().map(shown).collect()
}
