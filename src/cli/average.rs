//! `nmt average`: the mean of checkpoints.

use std::path::{Path, PathBuf};

use nmt::error::Error;
use nmt::train::{average, checkpoint_name, checkpoints};
use nmt::{Result, progress};

use super::model_options::check_new;

/// Arguments of `nmt average`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt train   --data data --config my.toml --set training.keep_checkpoints=5 --output run
  nmt average run --output run/average.safetensors
  nmt score   --data data --model run/average.safetensors
Put the mean into the run folder: there it finds its dictionaries and its tokenizer.")]
pub struct AverageArgs {
    /// A run folder, whose checkpoints of validations are taken (training.keep_checkpoints), or checkpoints
    #[arg(required = true, value_name = "RUN|CHECKPOINT")]
    inputs: Vec<PathBuf>,
    /// Of a run folder only the newest N checkpoints
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// Where the mean goes
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Replace --output
    #[arg(long)]
    overwrite: bool,
}

impl AverageArgs {
    /// Average.
    pub fn run(&self) -> Result<()> {
        check_new(&self.output, self.overwrite)?;
        let mut files = Vec::new();
        for input in &self.inputs {
            if input.is_dir() {
                files.extend(self.of_run(input)?);
            } else {
                files.push(input.clone());
            }
        }
        average(&files, &self.output)?;
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        progress::note(format!("the mean of {} checkpoints: {}", files.len(), names.join(", ")));
        super::print(&format!("{}\n", self.output.display()))
    }

    fn of_run(&self, run: &Path) -> Result<Vec<PathBuf>> {
        let updates = checkpoints(run)?;
        if updates.is_empty() {
            return Err(Error::content(
                run.display().to_string(),
                "checkpoints of validations",
                "none",
                "train with --set training.keep_checkpoints=5, or name the files",
            ));
        }
        if let Some(last) = self.last.filter(|&last| last as usize > updates.len()) {
            progress::note(format!("warning: --last {last}, and {} has {} checkpoints", run.display(), updates.len()));
        }
        let newest = updates.len() - self.last.map_or(updates.len(), |last| updates.len().min(last as usize));
        Ok(updates[newest..].iter().map(|&update| run.join(checkpoint_name(update))).collect())
    }
}
