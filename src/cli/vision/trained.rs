//! A trained image network, as `--model` names it.

use std::path::{Path, PathBuf};

use nmt::Result;
use nmt::config::{Configuration, note_edited};
use nmt::error::Error;
use nmt::task::Task;
use nmt::train::{CONFIG, LAST, checkpoint_of, load_running, load_weights, trained_with};
use nmt::vision::{Classifier, VisionConfig};
use tch::{Device, Tensor};

use super::super::run_options::saved_config;
use super::options::network_for;

/// Which trained network.
#[derive(Debug, clap::Args)]
pub struct TrainedOptions {
    /// The run folder of `nmt vision train`, or a checkpoint in it
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// The checkpoint `last` instead of `best`
    #[arg(long)]
    last: bool,
    /// Pictures of a batch [default: as in training]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,
}

impl TrainedOptions {
    /// Pictures that are classified at a time.
    pub fn batch_size(&self, config: &VisionConfig) -> usize {
        self.batch_size.map_or(config.training.batch_size, |size| size as usize).max(1)
    }

    /// The checkpoint, and the configuration that it was trained with.
    ///
    /// # Errors
    /// [`Error::Usage`] and [`Error::Content`] where there is none.
    pub fn find(&self) -> Result<(PathBuf, VisionConfig)> {
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
        Ok((checkpoint, config))
    }
}

/// The network of a checkpoint for pictures of `classes`, with its running statistics, and its θ, `[P]`.
///
/// # Errors
/// [`Error::Content`] where the file is damaged, or of other classes.
pub fn load(
    checkpoint: &Path,
    config: &VisionConfig,
    classes: &[String],
    device: Device,
) -> Result<(Classifier, Tensor)> {
    let (network, identity) = network_for(config, classes, device);
    let theta = load_weights(checkpoint, network.layout(), &identity)?.to_device(device);
    load_running(checkpoint, &network)?;
    Ok((network, theta))
}
