//! What a run of GradInit learns from, and what one that was stopped leaves behind, to go on from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::config::{Configuration, differences};
use nmt::error::Error;
use nmt::init::gradinit::GradInitState;
use nmt::{Result, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tch::{Kind, Tensor};

use super::gradinit_summary::Summary;

/// What a run of GradInit learns from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Origin {
    /// The configuration, TOML.
    config: String,
    /// The fingerprint of the data.
    #[serde(default)]
    data: String,
    /// SHA-256 of the parameters that are rescaled.
    theta0: String,
}

/// The entries of a file of rescaled parameters that say what they were learnt from.
const CONFIG: &str = "gradinit_config";
const DATA: &str = "gradinit_data";
const THETA0: &str = "gradinit_theta0";

impl Origin {
    /// Of a configuration, a fingerprint and the parameters.
    pub fn of<C: Configuration>(config: &C, data: String, theta0: &Tensor) -> Result<Origin> {
        Ok(Origin { config: config.learnt_from().to_toml()?, data, theta0: hash(theta0)? })
    }

    /// The entries of the file that holds the result; where parameters were given (`init`), they are among them.
    pub fn metadata(&self, init: bool) -> BTreeMap<String, String> {
        let entries = [(CONFIG, Some(&self.config)), (DATA, Some(&self.data)), (THETA0, init.then_some(&self.theta0))];
        entries.into_iter().filter_map(|(key, value)| Some((key.to_string(), value?.clone()))).collect()
    }
}

/// Refuse to take the result at `path`, which has the entries `metadata`, for that of another configuration, other data or other
/// parameters to rescale than are given (`init`). A file of a program that did not note them is taken.
pub fn check_result<C: Configuration>(
    metadata: &BTreeMap<String, String>,
    config: &C,
    data: &str,
    init: Option<&Tensor>,
    path: &Path,
) -> Result<()> {
    let (Some(learnt_from), Some(learnt_on)) = (metadata.get(CONFIG), metadata.get(DATA)) else { return Ok(()) };
    check_config(learnt_from, config, path)?;
    check_same("data", learnt_on, data, path)?;
    let (before, now) = (metadata.get(THETA0).cloned(), init.map(hash).transpose()?);
    if before == now { Ok(()) } else { Err(other("the parameters to rescale", "other ones", path)) }
}

fn hash(theta0: &Tensor) -> Result<String> {
    let elements = Vec::<f32>::try_from(theta0.to_kind(Kind::Float).to_device(tch::Device::Cpu))?;
    let mut hash = Sha256::new();
    elements.iter().for_each(|element| hash.update(element.to_le_bytes()));
    Ok(format!("{:x}", hash.finalize()))
}

/// The values count that decide what is learnt, not what their descriptions say by now.
fn check_config<C: Configuration>(saved: &str, now: &C, path: &Path) -> Result<()> {
    let saved = C::parse_saved(saved, &path.display().to_string(), &[])?;
    match differences(&saved.learnt_from(), &now.learnt_from())?.first() {
        Some((key, before, now)) => {
            let now = now.as_ref().map_or("none".to_string(), ToString::to_string);
            Err(other(&format!("{key} = {before}"), &now, path))
        }
        None => Ok(()),
    }
}

fn check_same(what: &str, saved: &str, now: &str, path: &Path) -> Result<()> {
    match saved.is_empty() || saved == now {
        true => Ok(()),
        false => Err(other(&format!("the {what}"), "other ones", path)),
    }
}

fn other(expected: &str, found: &str, path: &Path) -> Error {
    let message = format!("{}: expected {expected} as the run began, found {found}", path.display());
    Error::usage(message, "resume with the same options, or delete it (--overwrite does) to begin anew")
}

/// A run between two iterations.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Partial {
    /// What it learns from.
    #[serde(flatten)]
    pub origin: Origin,
    /// The lines of the trajectory so far.
    pub trajectory: Vec<String>,
    pub summary: Summary,
    pub state: GradInitState,
}

impl Partial {
    /// Before the first iteration.
    pub fn start(origin: Origin, blocks: usize) -> Partial {
        let (trajectory, summary) = (Vec::new(), Summary::default());
        Partial { origin, trajectory, summary, state: GradInitState::start(blocks) }
    }

    /// Where it lies: `init.safetensors` to `init.partial.json`.
    pub fn beside(output: &Path) -> PathBuf {
        output.with_extension("partial.json")
    }

    /// The run that was saved at `path`, if it is this one.
    pub fn or_saved<C: Configuration>(self, config: &C, path: &Path) -> Result<Partial> {
        let where_ = || path.display().to_string();
        let next = "give --overwrite to begin anew";
        let saved: Partial = serde_json::from_str(&files::read_text(path)?)
            .map_err(|error| Error::content(where_(), "a run of GradInit that was stopped", error.to_string(), next))?;
        // What the first such programs left says nothing of either.
        if !saved.origin.config.is_empty() {
            check_config(&saved.origin.config, config, path)?;
        }
        check_same("data", &saved.origin.data, &self.origin.data, path)?;
        check_same("parameters to rescale", &saved.origin.theta0, &self.origin.theta0, path)?;
        if !saved.state.is_of(self.state.scales.len()) {
            return Err(other("the parameters to rescale", "other ones", path));
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
