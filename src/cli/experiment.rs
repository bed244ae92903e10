//! `nmt experiment`: the runs of a plan, one after the other, and their report.

use std::path::{Path, PathBuf};

use nmt::experiment::{Failure, Outcome, Plan, PlannedRun, csv, maps, markdown};
use nmt::plot::heat_maps;
use nmt::train::BEST;
use nmt::{Error, Result, config::Config, files, machine, progress};

use super::runner::{Ran, nmt};

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
    /// The data folder that `nmt preprocess` made
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The folder of all runs
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The report to write after every run: a table, with one line a run as .csv beside it, and for a plan of two axes a
    /// map as .svg [default: report.md in --output]
    #[arg(long, value_name = "FILE.md")]
    report: Option<PathBuf>,
    /// Only these methods of the plan
    #[arg(long, value_name = "METHOD")]
    only: Vec<String>,
    /// Only these seeds of the plan
    #[arg(long, value_name = "SEED", num_args = 1..)]
    seeds: Vec<u64>,
    /// List the runs that are left, and run none
    #[arg(long)]
    dry_run: bool,
}

impl ExperimentArgs {
    /// Run what has not ended yet.
    pub fn run(&self, quiet: bool, threads: Option<usize>) -> Result<()> {
        let plan = Plan::load(&self.plan)?;
        let names: Vec<&str> = plan.methods.iter().map(|method| method.name.as_str()).collect();
        if let Some(unknown) = self.only.iter().find(|name| !names.contains(&name.as_str())) {
            let message = format!("--only {unknown}: expected a method of {}", self.plan.display());
            return Err(Error::usage(message, format!("it has: {}", names.join(", "))));
        }
        let report = self.report.clone().unwrap_or_else(|| self.output.join("report.md"));
        let chosen = |run: &&PlannedRun| {
            (self.only.is_empty() || self.only.contains(&run.method))
                && (self.seeds.is_empty() || self.seeds.contains(&run.seed))
        };
        let runs = plan.runs();
        let mut left: Vec<&PlannedRun> = runs
            .iter()
            .filter(chosen)
            .filter(|run| !self.output.join(&run.folder).join(Outcome::FILE).exists())
            .collect();
        // Seed by seed, so that an unfinished table compares all methods.
        left.sort_by_key(|run| plan.seeds.iter().position(|seed| *seed == run.seed));
        if self.dry_run {
            let lines: Vec<String> =
                left.iter().map(|run| format!("{}\n", self.output.join(&run.folder).display())).collect();
            return super::print(&lines.concat());
        }
        let runner = Runner { plan: &plan, data: &self.data, output: &self.output, quiet, threads };
        self.write_report(&plan, &runs, &report)?;
        for (number, run) in left.iter().enumerate() {
            progress::note(format!("run {} of {}: {}", number + 1, left.len(), run.folder.display()));
            runner.run(run)?;
            self.write_report(&plan, &runs, &report)?;
        }
        super::print(&format!("{}\n", report.display()))
    }

    fn write_report(&self, plan: &Plan, runs: &[PlannedRun], report: &Path) -> Result<()> {
        let outcomes = outcomes(&self.output, runs)?;
        let command =
            format!("nmt experiment {} --data DATA --output RUNS --report {}", self.plan.display(), report.display());
        let found = machine::machine();
        let processor = found.processor.unwrap_or_else(|| "unknown processor".into());
        let facts = format!("nmt {}, {} cores, {processor}.", env!("CARGO_PKG_VERSION"), found.cores);
        files::write_whole(report, markdown(plan, &outcomes, &command, &facts).as_bytes())?;
        files::write_whole(&report.with_extension("csv"), csv(plan, &outcomes).as_bytes())?;
        match maps(plan, &outcomes) {
            Some(maps) if !outcomes.is_empty() => heat_maps(&maps, &report.with_extension("svg")),
            _ => Ok(()),
        }
    }
}

/// What has ended.
fn outcomes(folder: &Path, runs: &[PlannedRun]) -> Result<Vec<Outcome>> {
    let mut found = Vec::new();
    for run in runs {
        found.extend(Outcome::load(&folder.join(&run.folder))?);
    }
    Ok(found)
}

/// Runs what a plan says.
pub struct Runner<'a> {
    pub plan: &'a Plan,
    pub data: &'a Path,
    pub output: &'a Path,
    pub quiet: bool,
    pub threads: Option<usize>,
}

impl Runner<'_> {
    /// One run: learn the initialisation, train, score, and write the outcome.
    ///
    /// # Errors
    /// When a command is interrupted or used wrongly; a failure of training is an outcome.
    pub fn run(&self, run: &PlannedRun) -> Result<Outcome> {
        let folder = self.output.join(&run.folder);
        let failure = self.train(run, &folder)?;
        let mut outcome = Outcome::of(run, &folder, failure);
        if self.plan.score && folder.join(BEST).exists() {
            let config = Config::load(Some(&run.recipe), &run.settings)?;
            outcome.validation_bleu = Some(self.bleu(&folder, &config.validation.split)?);
            outcome.test_bleu = Some(self.bleu(&folder, "test")?);
        }
        std::fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
        outcome.save(&folder)?;
        Ok(outcome)
    }

    fn train(&self, run: &PlannedRun, folder: &Path) -> Result<Option<Failure>> {
        let init = run.init.as_ref().map(|init| self.output.join(init));
        if let Some(init) = init.as_ref().filter(|init| !init.exists()) {
            let mut arguments = self.common("gradinit", run, &run.init_settings);
            arguments.extend(["--output".into(), init.display().to_string()]);
            if let Ran::Failed(message) = self.nmt(&arguments)? {
                return Ok(Some(Failure { command: "gradinit".into(), message }));
            }
        }
        let mut arguments = self.common("train", run, &run.settings);
        arguments.extend(["--output".into(), folder.display().to_string(), "--resume".into()]);
        if let Some(init) = init {
            arguments.extend(["--init".into(), init.display().to_string()]);
        }
        if let Some(update) = self.plan.stop_after {
            arguments.extend(["--stop-after".into(), update.to_string()]);
        }
        Ok(match self.nmt(&arguments)? {
            Ran::Failed(message) => Some(Failure { command: "train".into(), message }),
            Ran::Done(_) => None,
        })
    }

    /// BLEU of the best checkpoint: detokenised, lower-cased.
    fn bleu(&self, folder: &Path, split: &str) -> Result<f64> {
        let mut arguments: Vec<String> = ["score", "--model"].map(String::from).to_vec();
        arguments.extend([folder.display().to_string(), "--data".into(), self.data.display().to_string()]);
        arguments
            .extend(["--split", split, "--detokenize", "--lowercase", "--metrics", "bleu", "--json"].map(String::from));
        let text = match self.nmt(&arguments)? {
            Ran::Done(text) => text,
            Ran::Failed(message) => return Err(Error::content(folder.display().to_string(), "a score", message, "")),
        };
        let found: Option<f64> =
            serde_json::from_str(&text).ok().and_then(|found: serde_json::Value| found["bleu"]["score"].as_f64());
        found.ok_or_else(|| Error::content("nmt score --json", "a BLEU score", text, ""))
    }

    fn common(&self, command: &str, run: &PlannedRun, settings: &[String]) -> Vec<String> {
        let mut arguments = vec![command.to_string(), "--data".into(), self.data.display().to_string()];
        arguments.extend(["--config".into(), run.recipe.display().to_string()]);
        arguments.extend(settings.iter().flat_map(|setting| ["--set".to_string(), setting.clone()]));
        arguments
    }

    fn nmt(&self, arguments: &[String]) -> Result<Ran> {
        nmt(arguments, self.quiet, self.threads)
    }
}
