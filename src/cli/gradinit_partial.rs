//! What a run of GradInit that was stopped leaves behind, to go on from.

use std::path::{Path, PathBuf};

use nmt::config::differences;
use nmt::error::Error;
use nmt::init::gradinit::GradInitState;
use nmt::{Result, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::gradinit_summary::Summary;

/// A run between two iterations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partial {
    /// The whole configuration.
    config: String,
    /// The fingerprint of the data.
    #[serde(default)]
    data: String,
    /// SHA-256 of the parameters that are rescaled.
    theta0: String,
    /// The lines of the trajectory so far.
    pub trajectory: Vec<String>,
    pub summary: Summary,
    pub state: GradInitState,
}

impl Partial {
    /// Before the first iteration.
    pub fn start(config: &str, data: String, theta0: &Tensor, blocks: usize) -> Result<Partial> {
        let elements = Vec::<f32>::try_from(theta0.to_kind(Kind::Float).to_device(tch::Device::Cpu))?;
        let mut hash = Sha256::new();
        elements.iter().for_each(|element| hash.update(element.to_le_bytes()));
        Ok(Partial {
            config: config.to_string(),
            data,
            theta0: format!("{:x}", hash.finalize()),
            trajectory: Vec::new(),
            summary: Summary::default(),
            state: GradInitState::start(blocks),
        })
    }

    /// Where it lies: `init.safetensors` to `init.partial.json`.
    pub fn beside(output: &Path) -> PathBuf {
        output.with_extension("partial.json")
    }

    /// The run that was saved at `path`, if it is this one.
    pub fn or_saved(self, path: &Path) -> Result<Partial> {
        let where_ = || path.display().to_string();
        let next = "give --overwrite to begin anew";
        let saved: Partial = serde_json::from_str(&files::read_text(path)?)
            .map_err(|error| Error::content(where_(), "a run of GradInit that was stopped", error.to_string(), next))?;
        let differs = |expected: &str, found: &str| {
            let message = format!("{}: expected {expected} as the run began, found {found}", path.display());
            Err(Error::usage(message, "resume with the same options, or give --overwrite to begin anew"))
        };
        // The values count, not what their descriptions say by now.
        let table = |text: &str| text.parse::<toml::Table>().unwrap_or_default();
        let (began, now) = (table(&saved.config), table(&self.config));
        let differences = if began.is_empty() { Vec::new() } else { differences(&began, &now)? };
        if let Some((key, before, now)) = differences.first() {
            let now = now.as_ref().map_or("none".to_string(), ToString::to_string);
            return differs(&format!("{key} = {before}"), &now);
        }
        if !saved.data.is_empty() && saved.data != self.data {
            return differs("the data", "other data");
        }
        if saved.theta0 != self.theta0 || !saved.state.is_of(self.state.scales.len()) {
            return differs("the parameters", "other ones");
        }
        Ok(saved)
    }

    /// Write it, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self)
            .map_err(|error| Error::content("the state of the run", "JSON", error.to_string(), ""))?;
        files::write_whole(path, text.as_bytes())
    }

    /// Nothing is left to go on with.
    pub fn remove(path: &Path) -> Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
            _ => Ok(()),
        }
    }
}
