//! `nmt train`: train a Transformer on a binarised dataset.

use std::path::{Path, PathBuf};

use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::optim::ScheduleKind;
use nmt::task::Task;
use nmt::train::{Run, StopAfter, load_weights, train};
use nmt::translation::{TranslationData, Validator, copy_data_files, initialise, model_for};
use nmt::{Result, progress};

use super::model_options::{ConfigOptions, PrintConfig, name_of, setting};
use super::processes::Processes;
use super::run_options::{RunOptions, note_other_end, refuse_shorter};

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
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    print: PrintConfig,
    /// Begin with the maximal learning rate: schedule.warmup_updates=0
    #[arg(long)]
    no_warmup: bool,
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

/// Further keys that may change between a run and its continuation.
const MAY_CHANGE: [&str; 4] = ["training.max_updates", "training.max_epochs", "validation.bleu", "validation.beam"];

impl TrainArgs {
    /// Train; `threads` are those that were asked for.
    pub fn run(&self, threads: Option<usize>) -> Result<()> {
        let run = &self.run.output;
        let processes = Processes::join(self, threads)?;
        let resume = self.run.going_on(!self.config.is_empty())?;
        let (config, other_metric) = self.resolve(resume, &processes)?;
        if self.print.printed(&config)? {
            return Ok(());
        }
        if !resume {
            self.config.note_default_model();
        }
        let device = processes.device;
        let (source_lang, target_lang) = (self.source_lang.as_deref(), self.target_lang.as_deref());
        let open = |split: &str| ParallelDataset::open(&self.data, split, source_lang, target_lang);
        let dataset = open("train")?;
        let valid = open(&config.validation.split)?;
        let (model, identity) = model_for(&dataset, &config)?;
        let settings = config.training_loop(processes.all.size());
        let stop_after = self.stop_after.map(StopAfter::Update);
        self.run.note_unused(resume, &self.config, stop_after, &settings);
        let signal = self.run.watch()?;
        let read = |path: &Path| load_weights(path, model.layout(), &identity);
        let fresh = || initialise(&config, &model, || open("train"), device, &signal);
        let start = || self.run.start(&model, &config.optimizer, read, fresh);
        let (mut checkpoint, _lock) =
            self.run.begin(resume, &model, &config.optimizer, &identity, &processes, start)?;

        refuse_shorter("training.max_updates", checkpoint.state.update, config.training.max_updates)?;
        if config.training.max_epochs > 0 && resume {
            refuse_shorter("training.max_epochs", checkpoint.state.epoch, config.training.max_epochs)?;
        }
        if other_metric {
            progress::note("the metric of validation is another one: the next validation is the best so far");
            checkpoint.state.forget_best();
        }
        let sentences = format!("sentences of the split {}", config.validation.split);
        self.run.validates_on(&mut checkpoint, valid.fingerprint(), &sentences)?;
        let data = TranslationData::new(dataset, &config, config.training.max_tokens, device)?;
        self.run.note_config(&data, &mut checkpoint, nmt::config::describe(&config)?, &processes)?;
        let validator = Validator::new(valid, &config, device)?;
        if self.run.dry_run {
            return self.run.rehearse(&model, &data, &settings, checkpoint, stop_after, &processes);
        }
        let dataset = data.dataset();
        if processes.all.is_first() {
            copy_data_files(&dataset.folder, run)?;
        }
        progress::note(format!(
            "{} → {}: {} sentence pairs, dictionaries of {} and {} entries; {} parameters, {}, {}{}",
            dataset.folder.source_lang(),
            dataset.folder.target_lang(),
            dataset.len(),
            dataset.source_dictionary.len(),
            dataset.target_dictionary.len(),
            model.layout().total(),
            name_of(&config.training.compute),
            processes.describe(),
            if resume { format!(", going on after update {}", checkpoint.state.update) } else { String::new() }
        ));
        let updates_before = checkpoint.state.update;
        let outcome = train(
            &model,
            &data,
            &settings,
            checkpoint,
            Run { folder: run, identity: &identity, stop_after, processes: &*processes.all },
            |theta| validator.validate(&model, theta),
            signal,
        )?;
        let metric = name_of(&config.validation.chosen_metric());
        self.run.report(&outcome, updates_before, &metric)
    }

    /// The configuration, with everything automatic resolved, and whether a run that goes on is validated by another metric.
    fn resolve(&self, resume: bool, processes: &Processes) -> Result<(Config, bool)> {
        const WARMUP: &str = "schedule.warmup_updates";
        let warms_up = |setting: &String| {
            setting.split_once('=').is_some_and(|(key, value)| key.trim() == WARMUP && value.trim() != "0")
        };
        if let Some(setting) = self.config.set.iter().find(|setting| self.no_warmup && warms_up(setting)) {
            let message = format!("--no-warmup and --set {setting}: expected one of them");
            return Err(Error::usage(message, "leave out what you do not mean"));
        }
        let own = [
            self.no_warmup.then(|| format!("{WARMUP}=0")),
            setting("training.max_updates", self.max_updates),
            setting("training.max_epochs", self.max_epochs),
            setting("training.max_tokens", self.max_tokens),
            setting("training.seed", self.seed),
        ];
        let (config, began_with) = self.run.configuration(resume, &self.config, &own, &MAY_CHANGE, processes)?;
        let config: Config = config;
        if self.no_warmup && config.schedule.kind == ScheduleKind::InverseSqrt {
            progress::note(
                "warning: without warmup schedule.kind = \"inverse-sqrt\" falls from the first update on, to a tenth after \
                 100: the recipes without warmup have \"linear\"",
            );
        }
        let chosen = |config: &Config| config.validation.chosen_metric();
        let other_metric = began_with.as_ref().is_some_and(|saved| chosen(saved) != chosen(&config));
        if let Some(saved) = began_with {
            let [before, now] = [&saved, &config].map(|config| config.training.max_updates);
            note_other_end("training.max_updates", before, now, config.schedule.kind);
        }
        Ok((config, other_metric))
    }
}
