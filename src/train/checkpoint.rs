//! Checkpoints: safetensors with fairseq's parameter names, written whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::error::{Error, Result};
use crate::files;
use crate::optim::Optimizer;
use crate::params::{Layout, safetensors_metadata, save_vectors, with_safetensors};
use crate::progress;
use crate::task::Task;

/// The file name of the newest checkpoint: weights, optimiser and state.
pub const LAST: &str = "last.safetensors";
/// The file name of the best checkpoint so far: weights only.
pub const BEST: &str = "best.safetensors";
/// The file name of what a run stood at when it was given up: weights, optimiser and state.
pub const ANOMALY: &str = "anomaly.safetensors";

/// The file name of the resolved configuration beside them.
pub const CONFIG: &str = "config.toml";

/// The entry of an identity that says which network the parameters are of.
pub const NETWORK: &str = "network";
/// The entry of an identity that names the classes of an image network, as a JSON list.
pub const CLASS_NAMES: &str = "names_of_classes";
/// Entries that the checkpoints of a run lack which an older program wrote.
pub(super) const LATER: [&str; 2] = [NETWORK, CLASS_NAMES];

/// The version of the format; a file with a higher one is of a newer program.
const FORMAT: u32 = 1;
const FORMAT_KEY: &str = "nmt_format";
pub(super) const STATE_KEY: &str = "nmt_state";
/// What weights were trained with, TOML; in a checkpoint with a state it is part of that.
pub(super) const CONFIG_KEY: &str = "nmt_config";

/// Where a run stands, apart from θ and the optimiser's vectors. Random numbers need no state: batches are a function
/// of seed and epoch, dropout of seed and update.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Updates done.
    pub update: u64,
    /// The current epoch, from 1.
    pub epoch: u64,
    /// Batches of the epoch that are done.
    pub batches_done: usize,
    /// The best value of the validation metric so far.
    pub best: Option<f64>,
    /// The update it was reached at.
    pub best_update: u64,
    /// Validations since then.
    pub validations_since_best: u64,
    /// Of a validation after the last update that failed, which comes before anything else, whether it was due or the end of a run
    /// that stopped.
    #[serde(default)]
    pub validation_owed: Option<bool>,
    /// Seconds of training so far, validation included.
    pub seconds: f64,
    /// Target tokens trained on so far.
    pub target_tokens: u64,
    /// Bytes of the log that belong to this state.
    pub log_bytes: u64,
    /// Sums since the newest line of the log, so that a resumed log is the uninterrupted one.
    pub window: Window,
    /// Updates that were not made, because their loss or gradient was not finite.
    #[serde(default)]
    pub skipped: u64,
    /// Those of them since the last one that was made.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// The fingerprint of the training data.
    #[serde(default)]
    pub data: String,
    /// The fingerprint of the data that validates.
    #[serde(default)]
    pub validation_data: String,
    /// The configuration, TOML.
    #[serde(default)]
    pub config: String,
    /// The processes that trained together; 0 says as much as 1.
    #[serde(default)]
    pub processes: usize,
}

impl State {
    /// Whether so many validations have brought no better one that the run ends; a patience of 0 has no end.
    pub(super) fn is_out_of_patience(&self, patience: u64) -> bool {
        patience > 0 && self.validations_since_best >= patience
    }

    /// The next validation is the best one, whatever it comes to.
    pub fn forget_best(&mut self) {
        (self.best, self.validations_since_best) = (None, 0);
    }
}

/// What is summed up between two lines of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Summed training loss, natural logarithm.
    pub loss: f64,
    /// Summed negative log-likelihood, natural logarithm.
    pub nll: f64,
    /// Summed gradient norms.
    pub gradient_norm: f64,
    /// Target tokens.
    pub tokens: u64,
    /// Updates.
    pub updates: u64,
    /// Seconds, validation excluded.
    pub seconds: f64,
}

/// A run at rest: θ, the optimiser and the state.
pub struct Checkpoint {
    /// θ, `[P]`, fp32.
    pub theta: Tensor,
    /// The optimiser with its vectors.
    pub optimizer: Box<dyn Optimizer>,
    /// Where the run stands.
    pub state: State,
}

impl Checkpoint {
    /// A run that has not started.
    pub fn start(theta: Tensor, optimizer: Box<dyn Optimizer>) -> Checkpoint {
        Checkpoint { theta, optimizer, state: State { epoch: 1, ..State::default() } }
    }

    /// Write everything to `path`; `identity` is what has to be equal when it is loaded (hashes of dictionaries).
    pub fn save<T: Task>(&self, path: &Path, task: &T, identity: &BTreeMap<String, String>) -> Result<()> {
        let mut metadata = identity.clone();
        let state = serde_json::to_string(&self.state)
            .map_err(|error| Error::content("the state of the run", "JSON", error.to_string(), ""))?;
        metadata.insert(FORMAT_KEY.into(), FORMAT.to_string());
        metadata.insert(STATE_KEY.into(), state);
        let (layout, running) = (task.layout(), task.running());
        let mut vectors = vec![(layout, "", &self.theta)];
        vectors.extend(running.iter().map(|(layout, vector)| (*layout, "", vector)));
        let state = self.optimizer.state();
        let names: Vec<String> = state.iter().map(|(prefix, _)| format!("optimizer.{prefix}")).collect();
        let of_optimizer = names.iter().map(String::as_str).zip(state.iter().map(|(_, vector)| *vector));
        vectors.extend(of_optimizer.map(|(name, vector)| (layout, name, vector)));
        save_vectors(path, &vectors, &metadata)
    }

    /// Write what evaluation needs, θ, the running statistics and the configuration, to `path`.
    pub fn save_weights<T: Task>(&self, path: &Path, task: &T, identity: &BTreeMap<String, String>) -> Result<()> {
        let mut metadata = identity.clone();
        metadata.insert(FORMAT_KEY.into(), FORMAT.to_string());
        if !self.state.config.is_empty() {
            metadata.insert(CONFIG_KEY.into(), self.state.config.clone());
        }
        let running = task.running();
        let mut vectors = vec![(task.layout(), "", &self.theta)];
        vectors.extend(running.iter().map(|(layout, vector)| (*layout, "", vector)));
        save_vectors(path, &vectors, &metadata)
    }

    /// Read what [`Checkpoint::save`] wrote; `optimizer` gives the kind, and the device of everything. The running statistics of `task` become those of
    /// the file.
    ///
    /// # Errors
    /// [`Error::Content`] when the file is damaged, of another model, of other dictionaries or of another optimiser.
    pub fn load<T: Task>(
        path: &Path,
        task: &T,
        mut optimizer: Box<dyn Optimizer>,
        identity: &BTreeMap<String, String>,
    ) -> Result<Checkpoint> {
        let metadata = check_metadata(path, identity)?;
        let state = state_of(path, &metadata)?;
        let device = optimizer.state().first().map_or(Device::Cpu, |(_, vector)| vector.device());
        let of_optimizer = optimizer.state().into_iter().map(|(prefix, _)| format!("optimizer.{prefix}"));
        let prefixes: Vec<String> = std::iter::once(String::new()).chain(of_optimizer).collect();
        let vectors = task.layout().load_all(path, &prefixes)?;
        let mut vectors: Vec<Tensor> = vectors.into_iter().map(|vector| vector.to_device(device)).collect();
        load_running(path, task)?;
        let theta = vectors.remove(0);
        optimizer.restore(vectors, state.update);
        Ok(Checkpoint { theta, optimizer, state })
    }
}

fn state_of(path: &Path, metadata: &BTreeMap<String, String>) -> Result<State> {
    metadata.get(STATE_KEY).and_then(|text| serde_json::from_str::<State>(text).ok()).ok_or_else(|| {
        let next = "resume from the `last` checkpoint that `nmt train` wrote";
        Error::content(path.display().to_string(), "a checkpoint with the state of a run", "weights only", next)
    })
}

/// Read where a run stands, of a file that [`Checkpoint::save`] wrote.
///
/// # Errors
/// [`Error::Content`] when the file is damaged or has weights only.
pub fn load_state(path: &Path) -> Result<State> {
    state_of(path, &safetensors_metadata(path)?)
}

/// The configuration, TOML, that the weights of a checkpoint were trained with, and where it stands: in the file, or in
/// config.toml beside it, where the file is of a program that did not say it.
///
/// # Errors
/// [`Error::Content`] when the checkpoint is damaged; [`Error::Io`] when neither says it.
pub fn trained_with(path: &Path) -> Result<(String, PathBuf)> {
    if let Some(config) = config_of(path)? {
        return Ok((config, path.to_path_buf()));
    }
    let beside = path.with_file_name(CONFIG);
    Ok((files::read_text(&beside)?, beside))
}

/// The configuration that a checkpoint says it was trained with.
pub(super) fn config_of(path: &Path) -> Result<Option<String>> {
    let mut metadata = safetensors_metadata(path)?;
    let config = match metadata.contains_key(STATE_KEY) {
        true => state_of(path, &metadata)?.config,
        false => metadata.remove(CONFIG_KEY).unwrap_or_default(),
    };
    Ok((!config.is_empty()).then_some(config))
}

/// Write θ alone.
pub fn save_weights(path: &Path, layout: &Layout, theta: &Tensor, identity: &BTreeMap<String, String>) -> Result<()> {
    let mut metadata = identity.clone();
    metadata.insert(FORMAT_KEY.into(), FORMAT.to_string());
    layout.save(path, &[("", theta)], &metadata)
}

/// Read θ of a checkpoint, or of any safetensors file with fairseq's names.
///
/// # Errors
/// [`Error::Content`] when the file is damaged, of another model, or says that it belongs to other dictionaries.
pub fn load_weights(path: &Path, layout: &Layout, identity: &BTreeMap<String, String>) -> Result<Tensor> {
    check_metadata(path, identity)?;
    layout.load(path, "")
}

/// Take the running statistics of a file that [`Checkpoint::save`] or [`Checkpoint::save_weights`] wrote into `task`.
///
/// # Errors
/// As [`load_weights`].
pub fn load_running<T: Task>(path: &Path, task: &T) -> Result<()> {
    if let Some((layout, mut running)) = task.running() {
        let saved = layout.load(path, "")?;
        tch::no_grad(|| running.copy_(&saved));
    }
    Ok(())
}

/// As [`load_running`] where the file has running statistics, which what GradInit writes has not. Whether it has.
///
/// # Errors
/// As [`load_weights`].
pub fn load_running_if_there<T: Task>(path: &Path, task: &T) -> Result<bool> {
    let Some((layout, _)) = task.running() else { return Ok(false) };
    let there =
        with_safetensors(path, |tensors| Ok(layout.blocks().iter().any(|block| tensors.tensor(&block.name).is_ok())))?;
    if there {
        load_running(path, task)?;
    }
    Ok(there)
}

/// The checkpoint that a run folder stands for: `best`, or `last` where there is no best.
pub fn checkpoint_in(folder: &Path) -> Option<PathBuf> {
    [BEST, LAST].map(|name| folder.join(name)).into_iter().find(|path| path.exists())
}

/// The run folder, and the checkpoint that is read of it, that of [`checkpoint_in`], or the one that was named in the place of the
/// folder. That it is `last` is said.
///
/// # Errors
/// [`Error::Content`] where there is none.
pub fn checkpoint_of(named: &Path) -> Result<(PathBuf, PathBuf)> {
    if named.is_file() {
        return Ok((named.parent().unwrap_or(Path::new(".")).to_path_buf(), named.to_path_buf()));
    }
    let checkpoint = checkpoint_in(named).ok_or_else(|| {
        Error::content(
            named.display().to_string(),
            format!("a run folder with {BEST} or {LAST}"),
            if named.is_dir() { "neither" } else { "no such folder" },
            "give the --output folder of a training, or of `nmt import`, which makes one of another program's model",
        )
    })?;
    if checkpoint.ends_with(LAST) {
        let why = "because no validation has come to a number, or it was lost";
        progress::note(format!("{} has no {BEST}, {why}: {LAST} is read", named.display()));
    }
    Ok((named.to_path_buf(), checkpoint))
}

/// The entries of a file. One of a newer program is refused, and one that is of another network or other data than
/// `identity`; files of other programs say nothing about either.
///
/// # Errors
/// [`Error::Content`] with both, where they differ, and when the file is damaged.
pub fn check_metadata(path: &Path, identity: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    let metadata = safetensors_metadata(path)?;
    let format = metadata.get(FORMAT_KEY).map_or(Some(0), |text| text.parse::<u32>().ok());
    if format.is_none_or(|format| format > FORMAT) {
        return Err(Error::content(
            path.display().to_string(),
            format!("a checkpoint of format {FORMAT} or lower"),
            format!("format {}", metadata.get(FORMAT_KEY).map_or("", String::as_str)),
            "it was written by a newer nmt: update this one",
        ));
    }
    for (key, expected) in identity {
        if let Some(found) = metadata.get(key).filter(|found| *found != expected) {
            if key == NETWORK {
                let next = "give --arch and --no-bn as it was made with";
                let (expected, found) = (format!("parameters of {expected}"), format!("those of {found}"));
                return Err(Error::content(path.display().to_string(), expected, found, next));
            }
            let ([expected, found], key) = (told_apart(expected, found), key.replace('_', " "));
            return Err(Error::content(
                path.display().to_string(),
                format!("parameters for data whose {key} {expected}"),
                format!("those of a network trained on data whose {key} {found}"),
                "give the data that it was trained on, or parameters for these data",
            ));
        }
    }
    Ok(metadata)
}

/// How two entries differ: hashes by their first characters, lists from the first word on that differs.
fn told_apart(expected: &str, found: &str) -> [String; 2] {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash(expected) && is_hash(found) {
        return [expected, found].map(|hash| format!("is {}…", &hash[..12]));
    }
    let words = [expected, found].map(|text| text.split(' ').collect::<Vec<_>>());
    let same = words[0].iter().zip(&words[1]).take_while(|(expected, found)| expected == found).count();
    let last = words[0].get(same.wrapping_sub(1)).map_or(String::new(), |last| format!(" after {last:?}"));
    words.map(|words| {
        if words.len() == same {
            return format!("end{last}");
        }
        let before = if same == 0 { "are".to_string() } else { format!("go on{last} with") };
        let more = if words.len() > same + 5 { " …" } else { "" };
        let shown: Vec<&str> = words.into_iter().skip(same).take(5).collect();
        format!("{before} {:?}{more}", shown.join(" "))
    })
}
