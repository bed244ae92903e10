//! `nmt train`: train a Transformer on a binarised dataset.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::model::Transformer;
use nmt::optim::OptimizerConfig;
use nmt::params::safetensors_metadata;
use nmt::task::Task;
use nmt::train::{BEST, Checkpoint, LAST, Outcome, Run, load_weights, train};
use nmt::translation::{TranslationData, Validator, copy_data_files, initialise, model_for};
use nmt::{Result, files, machine, progress};

use super::gradinit::LEARNT_FOR;
use super::model_options::{ConfigOptions, name_of, setting};
use super::signals;

/// Arguments of `nmt train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt train --data data --config configs/multi30k_gradinit_adam.toml --init init.safetensors --no-warmup --output run
  nmt train --data data --output run --resume                     go on with a run that was stopped
  nmt train --data data --config my.toml --set model.embed_dim=128 --max-updates 1000 --output small")]
pub struct TrainArgs {
    /// The data folder that `nmt preprocess` or fairseq-preprocess made
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
    /// The run folder: configuration, dictionaries, tokenizer, checkpoints and log
    #[arg(long, value_name = "RUN")]
    output: PathBuf,
    /// Start from these parameters, such as those of `nmt gradinit`
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Begin with the maximal learning rate: schedule.warmup_updates=0
    #[arg(long)]
    no_warmup: bool,
    /// Go on from the checkpoint `last` of the run folder; start where there is none
    #[arg(long)]
    resume: bool,
    /// Updates: training.max_updates
    #[arg(long, value_name = "N")]
    max_updates: Option<u64>,
    /// Stop after this update, validated and saved; the schedule still ends at training.max_updates, and --resume
    /// goes on
    #[arg(long, value_name = "N")]
    stop_after: Option<u64>,
    /// Epochs, where they end before the updates do: training.max_epochs
    #[arg(long, value_name = "N")]
    max_epochs: Option<u64>,
    /// Tokens of a batch: training.max_tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// The seed of everything: training.seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The language translated from, where the data folder holds several pairs
    #[arg(long, value_name = "LANG")]
    source_lang: Option<String>,
    /// The language translated into
    #[arg(long, value_name = "LANG")]
    target_lang: Option<String>,
}

/// Keys that may change between a run and its continuation.
const MAY_CHANGE: [&str; 8] = [
    "training.max_updates",
    "training.max_epochs",
    "training.log_every",
    "training.checkpoint_every",
    "validation.every_updates",
    "validation.patience",
    "validation.bleu",
    "validation.beam",
];

impl TrainArgs {
    /// Train.
    pub fn run(&self) -> Result<()> {
        let run = &self.output;
        let last = run.join(LAST);
        let resume = taken_up(run, self.resume, !self.config.is_empty())?;
        let config = self.resolve(resume)?;
        if !resume {
            self.config.note_default_model();
        }
        let device = machine::device();
        let (source_lang, target_lang) = (self.source_lang.as_deref(), self.target_lang.as_deref());
        let open = |split: &str| ParallelDataset::open(&self.data, split, source_lang, target_lang);
        let dataset = open("train")?;
        let valid = open(&config.validation.split)?;
        let (model, identity) = model_for(&dataset, &config)?;
        let signal = signals::watch()?;
        let checkpoint = if resume {
            let empty = tch::Tensor::zeros([model.layout().total()], (tch::Kind::Float, device));
            Checkpoint::load(&last, &model, config.optimizer.build(&empty, model.layout()), &identity)?
        } else {
            let theta = match &self.init {
                Some(path) => self.given_theta(path, &config, &model, &identity)?.to_device(device),
                None => initialise(&config, &model, || open("train"), device, &signal)?,
            };
            let optimizer = config.optimizer.build(&theta, model.layout());
            Checkpoint::start(theta, optimizer)
        };

        std::fs::create_dir_all(run).map_err(Error::io("create the folder", run))?;
        copy_data_files(&dataset.folder, run)?;
        files::write_whole(&run.join("config.toml"), nmt::config::describe(&config)?.as_bytes())?;
        progress::note(format!(
            "{} → {}: {} sentence pairs, dictionaries of {} and {} entries; {} parameters, {}, {} threads{}",
            dataset.folder.source_lang(),
            dataset.folder.target_lang(),
            dataset.len(),
            dataset.source_dictionary.len(),
            dataset.target_dictionary.len(),
            model.layout().total(),
            name_of(&config.training.compute),
            tch::get_num_threads(),
            if resume { format!(", going on after update {}", checkpoint.state.update) } else { String::new() }
        ));
        let data = TranslationData::new(dataset, &config, config.training.max_tokens, device)?;
        let validator = Validator::new(valid, &config, device)?;
        let updates_before = checkpoint.state.update;
        let outcome = train(
            &model,
            &data,
            &config.training_loop(),
            checkpoint,
            Run { folder: run, identity: &identity, stop_after: self.stop_after },
            |theta| validator.validate(&model, theta),
            signal,
        )?;
        let metric = name_of(&config.validation.chosen_metric());
        report(&outcome, updates_before, &metric, run)
    }

    /// The configuration, with everything automatic resolved.
    fn resolve(&self, resume: bool) -> Result<Config> {
        const WARMUP: &str = "schedule.warmup_updates";
        let warms_up = |setting: &String| {
            setting.split_once('=').is_some_and(|(key, value)| key.trim() == WARMUP && value.trim() != "0")
        };
        if let Some(setting) = self.config.set.iter().find(|setting| self.no_warmup && warms_up(setting)) {
            let message = format!("--no-warmup and --set {setting}: expected one of them");
            return Err(Error::usage(message, "leave out what you do not mean"));
        }
        let saved_path = self.output.join("config.toml");
        let mut options = self.config.clone();
        if resume && options.config.is_none() {
            options.config = Some(saved_path.clone());
        }
        let mut config = options.load(&[
            self.no_warmup.then(|| format!("{WARMUP}=0")),
            setting("training.max_updates", self.max_updates),
            setting("training.max_epochs", self.max_epochs),
            setting("training.max_tokens", self.max_tokens),
            setting("training.seed", self.seed),
        ])?;
        config.training.compute = config.training.compute.resolved();
        if resume {
            let saved = Config::load(Some(&saved_path), &[])?;
            check_unchanged(&saved, &config, &saved_path, &MAY_CHANGE)?;
            let (before, now) = (saved.training.max_updates, config.training.max_updates);
            if before != now {
                progress::note(format!(
                    "training.max_updates was {before} and is {now}: the learning rate goes on as if it had been {now} \
                     from the start"
                ));
            }
            if let Some(init) = &self.init {
                progress::note(format!("--init {} is not read: the run goes on from {LAST}", init.display()));
            }
        }
        Ok(config)
    }

    fn given_theta(
        &self,
        path: &Path,
        config: &Config,
        model: &Transformer,
        identity: &BTreeMap<String, String>,
    ) -> Result<tch::Tensor> {
        let theta = load_weights(path, model.layout(), identity)?;
        note_other_optimizer(path, &config.optimizer)?;
        Ok(theta)
    }
}

/// Say how a run ended; its folder is the result.
pub fn report(outcome: &Outcome, updates_before: u64, metric: &str, run: &Path) -> Result<()> {
    let best = outcome.best.map_or(String::new(), |(value, update)| {
        format!(", best {metric} {value:.3} at update {update} in {}", run.join(BEST).display())
    });
    let nothing = if outcome.updates == updates_before { "nothing to do: " } else { "" };
    progress::note(format!(
        "{nothing}trained {} updates, {} epochs, {:.0} s (ended by {}){best}",
        outcome.updates, outcome.epochs, outcome.seconds, outcome.reason
    ));
    super::print(&format!("{}\n", run.display()))
}

/// Refuse a run folder that holds a run already, and one to go on with that holds none and is given nothing to start from.
/// Whether the run is taken up again.
pub fn taken_up(run: &Path, resume: bool, config_given: bool) -> Result<bool> {
    let exists = run.join(LAST).exists();
    if exists && !resume {
        return Err(Error::usage(
            format!("{} holds a run already", run.display()),
            "go on with it by --resume, or choose another --output",
        ));
    }
    if resume && !exists && !config_given {
        return Err(Error::usage(
            format!("{} holds no {LAST} to go on from", run.display()),
            "check --output; to start a run, say with what: --config, and --init and --set as you mean them",
        ));
    }
    if resume && !exists {
        progress::note(format!("{} holds no run yet: a new one starts", run.display()));
    }
    Ok(resume && exists)
}

/// Say so when parameters were learnt for another optimiser than the one that trains.
pub fn note_other_optimizer(path: &Path, optimizer: &OptimizerConfig) -> Result<()> {
    let trains = name_of(&optimizer.kind);
    if let Some(learnt) = safetensors_metadata(path)?.get(LEARNT_FOR).filter(|learnt| **learnt != trains) {
        progress::note(format!(
            "warning: {} was learnt for {learnt} (nmt gradinit --optimizer), and {trains} trains",
            path.display()
        ));
    }
    Ok(())
}

/// Refuse to go on with a run under a configuration that would have made another run.
/// `may_change` has the keys that make no difference to it.
pub fn check_unchanged<C: serde::Serialize>(saved: &C, now: &C, path: &Path, may_change: &[&str]) -> Result<()> {
    let table = |config: &C| -> Result<toml::Table> {
        toml::Table::try_from(config)
            .map_err(|error| Error::content("the configuration", "a table", error.to_string(), ""))
    };
    let (saved, now) = (table(saved)?, table(now)?);
    for (section, keys) in &saved {
        for (key, old) in keys.as_table().into_iter().flatten() {
            let name = format!("{section}.{key}");
            let new = now.get(section).and_then(|keys| keys.get(key));
            if new != Some(old) && !may_change.contains(&name.as_str()) {
                return Err(Error::usage(
                    format!(
                        "{}: expected {name} = {old} as the run began, found {}",
                        path.display(),
                        new.map_or("none".into(), toml::Value::to_string)
                    ),
                    "resume with the same configuration (leave --config and --set out), or start a new run",
                ));
            }
        }
    }
    Ok(())
}
