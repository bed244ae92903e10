//! Where a run is, how it begins and how it ends, whatever is trained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::config::{Configuration, differences};
use nmt::error::Error;
use nmt::optim::{OptimizerConfig, ScheduleKind};
use nmt::params::safetensors_metadata;
use nmt::report::ENVIRONMENT;
use nmt::task::Task;
use nmt::train::{
    BEST, CONFIG, Checkpoint, LAST, LOG, LoopConfig, Outcome, RunLock, StopAfter, TrainingData, agree, check_run,
    load_running_if_there, load_state, rehearse,
};
use nmt::{Result, files, machine, progress};
use tch::{Kind, Tensor};

use super::gradinit_learn::LEARNT_FOR;
use super::model_options::{ConfigOptions, name_of, parameters_parser};
use super::processes::Processes;
use super::signals;

/// The run folder and what it begins with.
#[derive(Debug, clap::Args)]
pub struct RunOptions {
    /// The run folder: configuration, checkpoints, log, and what the model needs of its data
    #[arg(long, value_name = "RUN")]
    pub output: PathBuf,
    /// Start from these parameters: what GradInit wrote, a checkpoint, or the folder of a run, whose `best` is taken, or where it has none `last`
    #[arg(long, value_name = "FILE.safetensors", value_parser = parameters_parser())]
    pub init: Option<PathBuf>,
    /// Go on from the checkpoint `last` of the run folder; start where there is none
    #[arg(long)]
    resume: bool,
    /// Stop at the first number that is not finite, checking every block after every update: training.detect_anomaly
    #[arg(long)]
    detect_anomaly: bool,
    /// Write TensorBoard's event files, too, into RUN/tensorboard: training.tensorboard
    #[arg(long)]
    tensorboard: bool,
    /// Check the configuration and the data, try the largest batch, say how much memory and time training needs, and write
    /// nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl RunOptions {
    /// What the options set.
    fn settings(&self) -> [Option<String>; 2] {
        [("detect_anomaly", self.detect_anomaly), ("tensorboard", self.tensorboard)]
            .map(|(key, given)| given.then(|| format!("training.{key}=true")))
    }

    /// Watch for signals; a dry run has nothing to save, and ends at the first.
    pub fn watch(&self) -> Result<impl Fn() -> Option<i32> + use<>> {
        let watched = (!self.dry_run).then(signals::watch).transpose()?;
        Ok(move || watched.as_ref().and_then(|signal| signal()))
    }

    /// Print what training would need, to where `--stop-after` or `--stop-after-epoch` stops it.
    pub fn rehearse<T: Task, D: TrainingData<Batch = T::Batch>>(
        &self,
        task: &T,
        data: &D,
        config: &LoopConfig,
        mut checkpoint: Checkpoint,
        stop_after: Option<StopAfter>,
        processes: &Processes,
    ) -> Result<()> {
        let max_updates = stop_after.map_or(config.max_updates, |stop| stop.updates(config));
        let found =
            rehearse(task, data, &LoopConfig { max_updates, ..config.clone() }, &mut checkpoint, processes.all.size())?;
        super::print(&format!("{found}\n"))
    }

    /// Say so where what was asked for has no part in what follows: a method of initialisation (--set) beside the parameters of
    /// --init, unless it `counts`, and a stop beyond the end.
    pub fn note_unused(
        &self,
        counts: bool,
        options: &ConfigOptions,
        stop_after: Option<StopAfter>,
        config: &LoopConfig,
    ) {
        let method = options.set.iter().find(|setting| setting.trim_start().starts_with("init.method"));
        if let (Some(init), Some(method), false) = (&self.init, method, counts) {
            progress::note(format!("{method} has no part in training: {} has the parameters", init.display()));
        }
        let (asked, end, what) = match stop_after {
            Some(StopAfter::Update(update)) => (update, config.max_updates, "updates"),
            Some(StopAfter::Epoch(epoch)) => (epoch, config.max_epochs, "epochs"),
            None => return,
        };
        if asked > end {
            progress::note(format!(
                "training ends after {end} {what} at the latest: to stop after {asked} makes no difference"
            ));
        }
    }

    /// Refuse to validate on other data than the run has until now: `what` are they?
    pub fn validates_on(&self, checkpoint: &mut Checkpoint, fingerprint: String, what: &str) -> Result<()> {
        let before = std::mem::replace(&mut checkpoint.state.validation_data, fingerprint);
        if before.is_empty() || before == checkpoint.state.validation_data {
            return Ok(());
        }
        let last = self.output.join(LAST);
        let message =
            format!("{}: expected the {what} that the run has validated on so far, found other ones", last.display());
        Err(Error::usage(message, "put them back, or start a new run: scores of different ones can't be compared"))
    }

    /// The configuration of the run folder.
    fn saved_config(&self) -> PathBuf {
        saved_config(&self.output)
    }

    /// Refuse a run folder that holds a run already, and one to go on with that holds none and is given nothing to start from.
    /// Whether the run is taken up again.
    pub fn going_on(&self, config_given: bool) -> Result<bool> {
        let (run, resume) = (&self.output, self.resume);
        if run.exists() && !run.is_dir() {
            let message = format!("--output {}: expected a folder, or nothing there, found a file", run.display());
            return Err(Error::usage(message, "choose another --output"));
        }
        let exists = run.join(LAST).exists();
        if exists && !resume {
            return Err(Error::usage(
                format!("{} holds a run already", run.display()),
                "go on with it by --resume, or choose another --output",
            ));
        }
        if !exists && let Some(name) = self.foreign()? {
            return Err(Error::usage(
                format!(
                    "{}: expected a folder without a run, found {name}, and no {LAST} to go on from",
                    run.display()
                ),
                "choose another --output, or move what is there away",
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

    /// What lies in the folder, which has no `last`, that a run would write over. A run that goes on may have died before its
    /// first checkpoint: what it had written by then is no loss.
    fn foreign(&self) -> Result<Option<String>> {
        let mut found = Vec::new();
        if let Ok(entries) = std::fs::read_dir(&self.output) {
            for entry in entries {
                let entry = entry.map_err(Error::io("read", &self.output))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let of_data = name == "preprocess.json"
                    || (name.starts_with("tokenizer.") && name.ends_with(".json"))
                    || name.starts_with("dict.");
                let trained = name == BEST
                    || name.starts_with("checkpoint-")
                    || (name == LOG && entry.metadata().is_ok_and(|file| file.len() > 0));
                if trained || (!self.resume && (of_data || name == CONFIG)) {
                    found.push(name);
                }
            }
        }
        found.sort();
        Ok(found.into_iter().next())
    }

    /// The configuration that the run began with, TOML: what `last` says, or config.toml, where `last` is of a program that did
    /// not say it.
    fn began_with(&self) -> Result<String> {
        let config = load_state(&self.output.join(LAST))?.config;
        if config.is_empty() { files::read_text(&self.saved_config()) } else { Ok(config) }
    }

    /// The configuration, with everything automatic resolved, and what the run began with where it is taken up again. Then what
    /// people wrote into config.toml counts, where they give no other file, and is compared with what the run began with; where
    /// config.toml is gone, that counts. `may_change` has further keys that make no difference to the run.
    pub fn configuration<C: Configuration>(
        &self,
        resume: bool,
        options: &ConfigOptions,
        further: &[Option<String>],
        may_change: &[&str],
        processes: &Processes,
    ) -> Result<(C, Option<C>)> {
        let further = [further, &self.settings()].concat();
        if !resume {
            return Ok((options.load::<C>(&further)?.resolved(), None));
        }
        let (began_with, saved_path) = (self.began_with()?, self.saved_config());
        let place = saved_path.display().to_string();
        let config: C = match &options.config {
            Some(_) => options.load(&further)?,
            None if saved_path.exists() => {
                C::parse_saved(&files::read_text(&saved_path)?, &place, &options.settings(&further))?
            }
            None => C::parse_saved(&began_with, "the run's configuration", &options.settings(&further))?,
        };
        let config = config.resolved();
        let saved = C::parse_saved(&began_with, &place, &[])?;
        check_unchanged(&saved, &config, &saved_path, may_change)?;
        self.check_batches_per_update([&saved, &config].map(C::update_frequency), processes)?;
        Ok((config, Some(saved)))
    }

    /// Refuse to go on with updates of another number of batches: `frequencies` are training.update_frequency as the run began,
    /// and now. With fewer processes each has to take more.
    fn check_batches_per_update(&self, [saved, now]: [usize; 2], processes: &Processes) -> Result<()> {
        let last = self.output.join(LAST);
        let before = load_state(&last)?.processes.max(1);
        let size = processes.all.size();
        let (had, has) = (before.saturating_mul(saved), size.saturating_mul(now));
        if had == has {
            return Ok(());
        }
        let of = |processes, frequency| match processes {
            1 => format!("training.update_frequency = {frequency}"),
            _ => format!("{processes} processes of training.update_frequency = {frequency}"),
        };
        let mut next = Vec::new();
        if had.is_multiple_of(size) {
            next.push(format!("go on with --set training.update_frequency={}", had / size));
        }
        if before != size {
            next.push(format!("go on with {before} {}", if before == 1 { "process" } else { "processes" }));
        }
        Err(Error::usage(
            format!(
                "{}: expected {had} batches an update as the run began ({}), found {has} ({})",
                last.display(),
                of(before, saved),
                of(size, now)
            ),
            next.join(", or "),
        ))
    }

    /// Note what the run is from here on, `config` as TOML, in its checkpoints and in config.toml: where it can be taken up.
    pub fn note_config<D: TrainingData>(
        &self,
        data: &D,
        checkpoint: &mut Checkpoint,
        config: String,
        processes: &Processes,
    ) -> Result<()> {
        checkpoint.state.config = config;
        check_run(data, checkpoint, &self.output, &*processes.all)?;
        if self.dry_run || !processes.all.is_first() {
            return Ok(());
        }
        files::write_whole(&self.saved_config(), checkpoint.state.config.as_bytes())?;
        self.note_environment(processes)
    }

    /// Note what the run is at work on, for who reads it later.
    fn note_environment(&self, processes: &Processes) -> Result<()> {
        let machine = machine::machine();
        let used =
            if processes.all.size() == 1 { "the first in use" } else { "one in use by each process of the machine" };
        let gpu = tch::Cuda::is_available().then(|| format!("{} found, {used}", tch::Cuda::device_count()));
        let environment = serde_json::json!({
            "nmt": env!("CARGO_PKG_VERSION"),
            "libtorch": machine::LIBTORCH,
            "processor": machine.processor,
            "cores": machine.cores,
            "processes": processes.all.size(),
            "threads": tch::get_num_threads(),
            "gpu": gpu,
        });
        files::write_json(&self.output.join(ENVIRONMENT), &environment)
    }

    /// θ of `--init`, as `read` reads it, with the running statistics of `task` where the file has some; what `fresh` draws where
    /// nothing is given.
    pub fn start<T: Task>(
        &self,
        task: &T,
        optimizer: &OptimizerConfig,
        read: impl FnOnce(&Path) -> Result<Tensor>,
        fresh: impl FnOnce() -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Some(path) = &self.init else { return fresh() };
        let theta = read(path)?;
        if load_running_if_there(path, task)? {
            progress::note(format!("running statistics, too, are those of {}", path.display()));
        }
        note_other_optimizer(path, optimizer)?;
        Ok(theta)
    }

    /// Take the run folder, and the checkpoint that the run begins with: `last` of the folder where it is going on, or else θ of
    /// `start`. `--dry-run` takes and makes no folder; of several processes the first does,
    /// when all have seen what there was.
    pub fn begin<T: Task>(
        &self,
        going_on: bool,
        task: &T,
        optimizer: &OptimizerConfig,
        identity: &BTreeMap<String, String>,
        processes: &Processes,
        start: impl FnOnce() -> Result<Tensor>,
    ) -> Result<(Checkpoint, Option<RunLock>)> {
        let (layout, run) = (task.layout(), &self.output);
        let device = processes.device;
        let writes = !self.dry_run && processes.all.is_first();
        let take = || if writes { RunLock::take(run).map(Some) } else { Ok(None) };
        agree(&*processes.all, "beginning of the run", if going_on { "--resume" } else { "start" })?;
        if going_on {
            let lock = take()?;
            if let Some(init) = &self.init {
                progress::note(format!("--init {} is not read: the run goes on from {LAST}", init.display()));
            }
            let empty = Tensor::zeros([layout.total()], (Kind::Float, device));
            let mut checkpoint = Checkpoint::load(&run.join(LAST), task, optimizer.build(&empty, layout), identity)?;
            if checkpoint.state.best.is_some() && !run.join(BEST).exists() {
                progress::note(format!("{} was lost: the next validation makes a new one", run.join(BEST).display()));
                checkpoint.state.forget_best();
            }
            return Ok((checkpoint, lock));
        }
        let theta = start()?.to_device(device);
        let optimizer = optimizer.build(&theta, layout);
        if !writes {
            return Ok((Checkpoint::start(theta, optimizer), None));
        }
        std::fs::create_dir_all(run).map_err(Error::io("create the folder", run))?;
        let lock = take()?;
        if run.join(LAST).exists() {
            let message = format!("another nmt has begun a run in {} meanwhile", run.display());
            return Err(Error::usage(message, "choose another --output, or go on with that run by --resume"));
        }
        Ok((Checkpoint::start(theta, optimizer), lock))
    }

    /// Say how a run ended; its folder is the result.
    pub fn report(&self, outcome: &Outcome, updates_before: u64, metric: &str) -> Result<()> {
        let run = &self.output;
        let best = outcome.best.map_or(String::new(), |(value, update)| {
            format!(", best {metric} {value:.3} at update {update} in {}", run.join(BEST).display())
        });
        let skipped = match outcome.skipped {
            0 => String::new(),
            count => format!(", {count} skipped because their loss or gradient was not finite"),
        };
        let nothing = outcome.updates == updates_before;
        let next = match outcome.reason {
            "patience" if nothing => "; a greater validation.patience goes on".to_string(),
            limit @ ("max updates" | "max epochs") if nothing => {
                let limit = limit.replace(' ', "_");
                format!(
                    "; to train on raise training.{limit}, or begin a new run with --init {}",
                    run.join(LAST).display()
                )
            }
            _ => String::new(),
        };
        let nothing = if nothing { "nothing to do: " } else { "" };
        progress::note(format!(
            "{nothing}trained {} updates{skipped}, {} epochs, {:.0} s (ended by {}){best}{next}",
            outcome.updates, outcome.epochs, outcome.seconds, outcome.reason
        ));
        super::print(&format!("{}\n", run.display()))
    }
}

/// Refuse to end a run that goes on where it has been already: `key` says how long it trains.
pub fn refuse_shorter(key: &str, done: u64, wanted: u64) -> Result<()> {
    if done <= wanted {
        return Ok(());
    }
    let message = format!("{key}: expected {done} or more, where the run stands, found {wanted}");
    Err(Error::usage(message, "leave it out, or raise it to go on"))
}

/// Say what becomes of the learning rate where a run that goes on is to end elsewhere: `key` was `before` and is `now`.
pub fn note_other_end(key: &str, before: u64, now: u64, schedule: ScheduleKind) {
    let by_the_end = !matches!(schedule, ScheduleKind::InverseSqrt | ScheduleKind::Constant);
    if before != now && by_the_end {
        progress::note(format!(
            "{key} was {before} and is {now}: the learning rate goes on as if it had been {now} from the start"
        ));
    }
}

/// The configuration of a run folder.
pub fn saved_config(run: &Path) -> PathBuf {
    run.join(CONFIG)
}

/// Say so when parameters were learnt for another optimiser than the one that trains.
fn note_other_optimizer(path: &Path, optimizer: &OptimizerConfig) -> Result<()> {
    let trains = name_of(&optimizer.kind);
    if let Some(learnt) = safetensors_metadata(path)?.get(LEARNT_FOR).filter(|learnt| **learnt != trains) {
        progress::note(format!(
            "warning: {} was learnt for {learnt} (gradinit.optimizer), and {trains} trains",
            path.display()
        ));
    }
    Ok(())
}

/// Keys that may change between a run and its continuation, whatever is trained.
const MAY_CHANGE: [&str; 8] = [
    "training.update_frequency", // With another number of processes: RunOptions::check_batches_per_update.
    "training.log_every",
    "training.checkpoint_every",
    "training.keep_checkpoints",
    "training.detect_anomaly",
    "training.tensorboard",
    "validation.every_updates",
    "validation.patience",
];

/// Refuse to go on with a run under a configuration that would have made another run. GradInit has no part in training.
/// `may_change` has the further keys that make no difference to it.
fn check_unchanged<C: Configuration>(saved: &C, now: &C, path: &Path, may_change: &[&str]) -> Result<()> {
    let [saved, now] = [saved, now].map(|config| config.clone().without_unused(false));
    for (name, old, new) in differences(&saved, &now)? {
        if !MAY_CHANGE.iter().chain(may_change).any(|key| *key == name) {
            // Another network cannot begin where this one stands.
            let from_here = match ["network.", "model.", "init."].iter().any(|section| name.starts_with(section)) {
                true => String::new(),
                false => format!(", with --init {} from where this one stands", path.with_file_name(LAST).display()),
            };
            return Err(Error::usage(
                format!(
                    "{}: expected {name} = {old} as the run began, found {}",
                    path.display(),
                    new.map_or("none".into(), |new| new.to_string())
                ),
                format!(
                    "resume without the options that change it, and with config.toml as the run wrote it, or start a new \
                     run{from_here}"
                ),
            ));
        }
    }
    Ok(())
}
