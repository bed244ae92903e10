//! `nmt experiment`: the runs of a plan, one after the other, and their report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::data::ParallelDataset;
use nmt::experiment::{
    Failure, Fingerprints, Outcome, Plan, PlannedRun, RunConfig, Trained, csv, last_gradient_norm, markdown, picture,
};
use nmt::train::CONFIG;
use nmt::vision::pictures::{Pictures, Split};
use nmt::{Error, Result, files, machine, progress};

use super::runner::{Ran, Shell};
use super::signals;
use super::vision::ReadingOptions;

/// Arguments of `nmt experiment`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt experiment configs/experiments/multi30k_table2.toml --data data --output runs/table2 --report results/table2.md
Every run is the commands that a user types: `nmt gradinit` where the method has it, `nmt train --resume`, `nmt score`. What
has ended is not run again: the same command goes on after an interruption. docs/experiments.md says what a plan holds.")]
pub struct ExperimentArgs {
    /// The plan: a TOML file of methods, axes and seeds over one recipe
    #[arg(value_name = "PLAN.toml")]
    plan: PathBuf,
    /// The data folder that `nmt preprocess` made; of a plan of image networks what `nmt vision train --data` takes
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    reading: ReadingOptions,
    /// The folder of all runs
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The report to write after every run: a table, with one line a run as .csv beside it, and for a plan of one or two
    /// axes a picture as .svg [default: report.md in --output]
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Only this method of the plan, by its name or its folder in --output; repeated: these
    #[arg(long, value_name = "METHOD")]
    only: Vec<String>,
    /// Only these seeds of the plan, such as 1,2
    #[arg(long, value_name = "SEED", value_delimiter = ',')]
    seeds: Vec<u64>,
    /// List the runs that are left, and run none
    #[arg(long)]
    dry_run: bool,
}

impl ExperimentArgs {
    /// Run what has not ended yet.
    pub fn run(&self, quiet: bool, threads: Option<usize>) -> Result<()> {
        let plan = Plan::load(&self.plan)?;
        self.check(&plan)?;
        let report = self.report.clone().unwrap_or_else(|| self.output.join("report.md"));
        if report.extension().is_none_or(|extension| extension != "md") {
            let message = format!("--report: expected a name that ends with .md, found {}", report.display());
            return Err(Error::usage(message, "the table as CSV and the picture as SVG are written beside it"));
        }
        let signal = signals::watch()?;
        let shell = Shell { quiet, threads, signal: &signal };
        let runner = Runner::new(&plan, &self.data, self.reading, &self.output, shell)?;
        let runs = plan.runs();
        let mut left = Vec::new();
        for run in &runs {
            let chosen = (self.only.is_empty() || self.only.iter().any(|only| self.means(only, &plan, run)))
                && (self.seeds.is_empty() || self.seeds.contains(&run.seed));
            if runner.ended(run)?.is_none() && chosen {
                left.push(run);
            }
        }
        // Seed by seed, so that an unfinished table compares all methods.
        left.sort_by_key(|run| plan.seeds.iter().position(|seed| *seed == run.seed));
        if self.dry_run {
            let line = |run: &&PlannedRun| format!("{}\n", self.output.join(&run.folder).display());
            return super::print(&left.iter().map(line).collect::<String>());
        }
        self.write_report(&runner, &runs, &report)?;
        for (number, run) in left.iter().enumerate() {
            progress::note(format!("run {} of {}: {}", number + 1, left.len(), run.folder.display()));
            runner.run(run)?;
            self.write_report(&runner, &runs, &report)?;
        }
        super::print(&format!("{}\n", report.display()))
    }

    /// Whether `--only` means a run: by its method's name, or by its folder or one above it, with --output before it or not.
    fn means(&self, only: &str, plan: &Plan, run: &PlannedRun) -> bool {
        if plan.methods.iter().any(|method| method.name == only) {
            return run.method == only;
        }
        let folder = Path::new(only).strip_prefix(&self.output).unwrap_or(Path::new(only));
        folder != Path::new("") && run.folder.starts_with(folder)
    }

    /// Refuse methods and seeds that the plan does not have.
    fn check(&self, plan: &Plan) -> Result<()> {
        let runs = plan.runs();
        if let (Some(option), Trained::Translation) = (self.reading.arguments().first(), plan.task) {
            let message = format!("{option}: expected a plan of image networks, found one of translation");
            return Err(Error::usage(message, format!("leave {option} out")));
        }
        if let Some(unknown) = self.only.iter().find(|only| !runs.iter().any(|run| self.means(only, plan, run))) {
            let names: Vec<String> = plan.methods.iter().map(|method| format!("{:?}", method.name)).collect();
            let message = format!("--only {unknown}: expected a method of {}, or its folder", self.plan.display());
            return Err(Error::usage(message, format!("it has: {}", names.join(", "))));
        }
        if let Some(unknown) = self.seeds.iter().find(|seed| !plan.seeds.contains(seed)) {
            let message = format!("--seeds {unknown}: expected a seed of {}", self.plan.display());
            return Err(Error::usage(message, format!("it has: {:?}", plan.seeds)));
        }
        Ok(())
    }

    fn write_report(&self, runner: &Runner, runs: &[PlannedRun], report: &Path) -> Result<()> {
        let plan = runner.plan;
        let mut outcomes = Vec::new();
        for run in runs {
            outcomes.extend(runner.ended(run)?);
        }
        let plan_file = self.plan.display();
        let data = [vec!["DATA".to_string()], self.reading.arguments()].concat().join(" ");
        let command = format!("nmt experiment {plan_file} --data {data} --output RUNS --report {}", report.display());
        let found = machine::machine();
        let processor = found.processor.unwrap_or_else(|| "unknown processor".into());
        let facts = format!("nmt {}, {} cores, {processor}.", env!("CARGO_PKG_VERSION"), found.cores);
        files::write_whole(report, markdown(plan, &outcomes, &command, &facts).as_bytes())?;
        files::write_whole(&report.with_extension("csv"), csv(plan, &outcomes)?.as_bytes())?;
        if let Err(error) = picture(plan, &outcomes, &report.with_extension("svg")) {
            progress::note(format!("no picture: {error}"));
        }
        Ok(())
    }
}

/// Runs what a plan says.
pub struct Runner<'a> {
    plan: &'a Plan,
    data: &'a Path,
    /// Of what the runs read.
    fingerprints: Fingerprints,
    /// How pictures are read.
    reading: ReadingOptions,
    output: &'a Path,
    shell: Shell<'a>,
}

impl<'a> Runner<'a> {
    /// Refuse data without what the runs read, or with damage.
    ///
    /// # Errors
    /// [`Error::Usage`] with the splits that there are, and as [`ParallelDataset::open`] and [`Pictures::open_for`].
    pub fn new(
        plan: &'a Plan,
        data: &'a Path,
        reading: ReadingOptions,
        output: &'a Path,
        shell: Shell<'a>,
    ) -> Result<Runner<'a>> {
        let (mut splits, mut networks) = (Vec::new(), BTreeMap::new());
        for run in plan.runs() {
            match run.config()? {
                RunConfig::Translation(config) => {
                    splits.extend(["train".to_string(), config.validation.split]);
                    splits.extend(plan.score.then(|| "test".to_string()));
                }
                RunConfig::Vision(config) => {
                    let architecture = config.network.architecture;
                    networks.insert(architecture.takes().1, architecture);
                }
            }
        }
        splits.sort();
        splits.dedup();
        let mut fingerprints = BTreeMap::new();
        for split in splits {
            let fingerprint = ParallelDataset::open(data, &split, None, None)?.fingerprint();
            fingerprints.insert(split, fingerprint);
        }
        // Networks for pictures of one size take the same ones.
        for (side, architecture) in networks {
            for split in [Split::Train, Split::Validation] {
                let options = reading.of(architecture, shell.threads);
                let pictures = Pictures::open_for(architecture.takes(), data, split, options)?;
                let name = format!("{side} pixels, {}", split.name());
                fingerprints.insert(name, pictures.fingerprint().to_string());
                Error::if_interrupted((shell.signal)())?;
            }
        }
        Ok(Runner { plan, data, reading, fingerprints: Fingerprints::Named(fingerprints), output, shell })
    }

    /// The outcome of a run, where it has ended.
    ///
    /// # Errors
    /// [`Error::Usage`] where it is of another configuration or length than the plan says.
    pub fn ended(&self, run: &PlannedRun) -> Result<Option<Outcome>> {
        let folder = self.output.join(&run.folder);
        let outcome = Outcome::load(&folder)?;
        let other = |what: &str| {
            let message = format!("{}: expected a run of this plan, found one with {what}", folder.display());
            Error::usage(message, "choose another --output, or delete the folder, and what GradInit learnt for it")
        };
        let (config, saved) = (run.config()?, folder.join(CONFIG));
        let saved = saved.exists().then(|| RunConfig::load_saved(run.task, &saved)).transpose()?;
        let Some(outcome) = outcome else {
            // Training refuses to go on with other settings, but for a run that is to be longer or shorter, as people may want it.
            return match saved.filter(|saved| saved.length() != config.length()) {
                Some(saved) => {
                    Err(other(&format!("{} {} instead of {}", saved.length(), run.task.unit(), config.length())))
                }
                None => Ok(None),
            };
        };
        if !outcome.data.may_be(&self.fingerprints) {
            return Err(other(&format!("other data than {}", self.data.display())));
        }
        let place = folder.join(Outcome::FILE).display().to_string();
        let saved = match (saved, &outcome.config) {
            (None, Some(text)) => Some(RunConfig::parse_saved(run.task, text, &place)?),
            (saved, _) => saved,
        };
        if let Some(saved) = saved
            && let Some(difference) = config.difference(&saved, run.init.is_some())?
        {
            return Err(other(&difference));
        }
        let stop_after = self.plan.stop_after.unwrap_or(u64::MAX);
        let (done, may_end_early) = match &config {
            RunConfig::Translation(config) => {
                let early = config.validation.patience > 0 || config.training.max_epochs > 0;
                (outcome.updates, early)
            }
            RunConfig::Vision(config) => (outcome.epochs, config.validation.patience > 0),
        };
        let planned = stop_after.min(config.length());
        // A run that may end early has not where it was stopped.
        let may_end_early = may_end_early && outcome.stop_after.is_none_or(|stop| stop > done || stop >= planned);
        if done > planned || (done < planned && !may_end_early && outcome.failure.is_none()) {
            return Err(other(&format!("{done} {} for {planned}", run.task.unit())));
        }
        let scored = self.plan.score && run.task == Trained::Translation && outcome.failure.is_none();
        if scored && outcome.test_bleu.is_none() {
            return Ok(None);
        }
        Ok(Some(Outcome { gradient_norm: self.gradient_norm(run), ..outcome }))
    }

    /// ‖g‖ of the last iteration of GradInit, where a run begins with what it learnt.
    fn gradient_norm(&self, run: &PlannedRun) -> Option<f64> {
        last_gradient_norm(&self.output.join(run.init.as_ref()?))
    }

    /// One run: learn the initialisation, train, score, and write the outcome.
    ///
    /// # Errors
    /// What its commands say; a loss that is not finite is an outcome.
    pub fn run(&self, run: &PlannedRun) -> Result<Outcome> {
        let folder = self.output.join(&run.folder);
        let failure = self.train(run, &folder)?;
        let config = (!folder.join(CONFIG).exists()).then(|| run.config()?.to_toml()).transpose()?;
        let mut outcome = Outcome {
            data: self.fingerprints.clone(),
            stop_after: self.plan.stop_after,
            config,
            gradient_norm: self.gradient_norm(run),
            ..Outcome::of(run, &folder, failure)
        };
        if let RunConfig::Translation(config) = run.config()?
            && self.plan.score
            && outcome.failure.is_none()
        {
            outcome.validation_bleu = Some(self.bleu(&folder, &config.validation.split)?);
            outcome.test_bleu = Some(self.bleu(&folder, "test")?);
        }
        std::fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
        outcome.save(&folder)?;
        Ok(outcome)
    }

    fn train(&self, run: &PlannedRun, folder: &Path) -> Result<Option<Failure>> {
        let init = run.init.as_ref().map(|init| self.output.join(init));
        if let Some(init) = &init
            && let Some(failure) = self.gradinit(run, init)?
        {
            return Ok(Some(failure));
        }
        let mut arguments = self.common("train", run, &run.settings);
        arguments.extend(["--output".into(), folder.display().to_string(), "--resume".into()]);
        if let Some(init) = init {
            arguments.extend(["--init".into(), init.display().to_string()]);
        }
        if let Some(update) = self.plan.stop_after {
            let option = if run.task == Trained::Vision { "--stop-after-epoch" } else { "--stop-after" };
            arguments.extend([option.into(), update.to_string()]);
        }
        Ok(match self.shell.nmt(&arguments)? {
            Ran::NotFinite(message) => Some(Failure { command: "train".into(), message }),
            Ran::Done(_) => None,
        })
    }

    /// Learn `init`, unless that was done. What it was learnt from is noted beside it.
    fn gradinit(&self, run: &PlannedRun, init: &Path) -> Result<Option<Failure>> {
        let (note, description) = (init.with_extension("toml"), run.init_description()?);
        if note.exists() {
            if files::read_text(&note)? == description {
                return Ok(None);
            }
            let message =
                format!("{}: expected what GradInit learns by this plan, found other settings", note.display());
            return Err(Error::usage(message, "delete it and the runs that began with it, or choose another --output"));
        }
        let mut arguments = self.common("gradinit", run, &run.init_settings);
        // What has no note beside it is not known to be this plan's, but for what was stopped, which says what it is of.
        let again = if init.with_extension("partial.json").exists() { "--resume" } else { "--overwrite" };
        arguments.extend([again.into(), "--output".into(), init.display().to_string()]);
        if let Ran::NotFinite(message) = self.shell.nmt(&arguments)? {
            return Ok(Some(Failure { command: "gradinit".into(), message }));
        }
        files::write_whole(&note, description.as_bytes())?;
        Ok(None)
    }

    /// BLEU of the best checkpoint: detokenised, lower-cased.
    fn bleu(&self, folder: &Path, split: &str) -> Result<f64> {
        let mut arguments: Vec<String> = ["score", "--model"].map(String::from).to_vec();
        arguments.extend([folder.display().to_string(), "--data".into(), self.data.display().to_string()]);
        arguments
            .extend(["--split", split, "--detokenize", "--lowercase", "--metrics", "bleu", "--json"].map(String::from));
        let (Ran::Done(text) | Ran::NotFinite(text)) = self.shell.nmt(&arguments)?;
        let found: Option<f64> =
            serde_json::from_str(&text).ok().and_then(|found: serde_json::Value| found["bleu"]["score"].as_f64());
        found.ok_or_else(|| Error::content("nmt score --json", "a BLEU score", text, ""))
    }

    fn common(&self, command: &str, run: &PlannedRun, settings: &[String]) -> Vec<String> {
        let mut arguments = if run.task == Trained::Vision { vec!["vision".to_string()] } else { Vec::new() };
        arguments.extend([command.to_string(), "--data".into(), self.data.display().to_string()]);
        if run.task == Trained::Vision {
            arguments.extend(self.reading.arguments());
        }
        arguments.extend(["--config".into(), run.recipe.display().to_string()]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set".to_string(), setting.clone()]));
        arguments
    }
}
