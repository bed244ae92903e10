//! `nmt vision evaluate`: the accuracy of a trained network.

use std::path::PathBuf;

use nmt::Result;
use nmt::config::{Configuration, note_edited};
use nmt::error::Error;
use nmt::machine;
use nmt::progress::readable;
use nmt::task::Task;
use nmt::train::{CONFIG, LAST, checkpoint_of, load_running, load_weights, trained_with};
use nmt::vision::pictures::Split;
use nmt::vision::{VisionConfig, evaluate};
use serde_json::json;

use super::super::run_options::saved_config;
use super::options::{PictureOptions, network_for};

/// Arguments of `nmt vision evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt vision evaluate --model run --data cifar10")]
pub struct EvaluateArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    /// The run folder of `nmt vision train`, or a checkpoint in it
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// The checkpoint `last` instead of `best`
    #[arg(long)]
    last: bool,
    /// The pictures of training, without what training changes, instead of those of the test
    #[arg(long)]
    train: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl EvaluateArgs {
    /// Classify, and print how much was right.
    pub fn run(&self) -> Result<()> {
        if self.last && self.model.is_file() {
            let message = format!("--last is for a run folder, found the file {}", self.model.display());
            return Err(Error::usage(message, "leave --last out, or give the folder"));
        }
        let (folder, checkpoint) = match self.last {
            true => (self.model.clone(), self.model.join(LAST)),
            false => checkpoint_of(&self.model)?,
        };
        let (text, place) = match trained_with(&checkpoint) {
            Err(Error::Io { .. }) if checkpoint.is_file() && !folder.join(CONFIG).exists() => {
                return Err(Error::content(
                    checkpoint.display().to_string(),
                    "a checkpoint of `nmt vision train`",
                    "a file that does not say what it was trained with, and no config.toml beside it",
                    "give the folder of a run, with its config.toml; what `nmt vision gradinit` writes is a start for one",
                ));
            }
            found => found?,
        };
        let config = VisionConfig::parse_saved(&text, &place.display().to_string(), &[])?;
        note_edited(&config, &saved_config(&folder), &["network"])?;
        let device = machine::device();
        let split = if self.train { Split::Train } else { Split::Test };
        let data = self.pictures.batches(split, &config, config.training.batch_size, device)?;
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        let theta = load_weights(&checkpoint, network.layout(), &identity)?.to_device(device);
        load_running(&checkpoint, &network)?;
        let found = evaluate(&network, &theta, &data, config.training.compute.kind());
        self.pictures.note_met(&data, if self.train { "training" } else { "test" });
        let found = found?;
        if self.json {
            let (correct, pictures) = (found.correct, found.pictures);
            let object =
                json!({"accuracy": found.percent(), "correct": correct, "pictures": pictures, "loss": found.loss});
            return super::super::print(&format!("{object}\n"));
        }
        super::super::print(&format!(
            "accuracy {:.2} % ({} of {}), loss {}\n",
            found.percent(),
            found.correct,
            found.pictures,
            readable(found.loss, 4)
        ))
    }
}
