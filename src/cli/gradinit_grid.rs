//! `nmt gradinit --grid`: which of GradInit's settings train best? Each is tried by a short training.

use std::path::{Path, PathBuf};

use nmt::experiment::{Axis, Method, Plan, Trained, ranking};
use nmt::{Error, Result, files, progress};

use super::experiment::Runner;
use super::runner::Shell;
use super::signals;
use super::vision::ReadingOptions;

/// What a grid is made of.
pub struct Grid<'a> {
    /// The recipe.
    pub recipe: &'a Path,
    /// Settings over it.
    pub settings: Vec<String>,
    /// `KEY=VALUE,VALUE…` each.
    pub axes: &'a [String],
    /// Updates of every short training.
    pub updates: u64,
    /// The seed of all.
    pub seed: u64,
    /// The data folder.
    pub data: &'a Path,
    /// Where the best goes; the runs are in a folder beside it.
    pub output: &'a Path,
    /// Threads of each command.
    pub threads: Option<usize>,
}

impl Grid<'_> {
    /// Where the runs are of the grid whose best goes to `output`.
    pub fn folder(output: &Path) -> PathBuf {
        output.with_extension("grid")
    }

    /// Run every combination that has not ended yet, print them from the best to the worst, and copy the best.
    ///
    /// # Errors
    /// [`Error::Usage`] for an axis that is none, [`Error::Content`] when no training came to a loss.
    pub fn run(&self) -> Result<()> {
        let plan = self.plan()?;
        let folder = Grid::folder(self.output);
        let runs = plan.runs();
        let signal = signals::watch()?;
        let shell = Shell { quiet: progress::quiet(), threads: self.threads, signal: &signal };
        let runner = Runner::new(&plan, self.data, ReadingOptions::default(), &folder, shell)?; // It checks every configuration.
        let mut outcomes = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            progress::note(format!("{} of {}: {}", number + 1, runs.len(), describe(&run.point)));
            outcomes.push(match runner.ended(run)? {
                Some(outcome) => outcome,
                None => runner.run(run)?,
            });
        }
        let ranked = ranking(&outcomes);
        let mut text = format!("validation nll after {} updates, bits a token\n", self.updates);
        for outcome in &ranked {
            let loss = match (&outcome.failure, outcome.validation_nll) {
                (None, Some(loss)) => format!("{loss:.4}"),
                (Some(failure), _) => format!("failed ({})", failure.message),
                (None, None) => "none".into(),
            };
            text.push_str(&format!("{loss}\t{}\n", describe(&outcome.point)));
        }
        let best = ranked.first().filter(|best| best.failure.is_none() && best.validation_nll.is_some());
        let learnt = best.and_then(|best| runs.iter().find(|run| run.point == best.point)?.init.as_ref());
        let learnt = learnt.ok_or_else(|| {
            let place = folder.display().to_string();
            Error::content(place, "a training that came to a loss", "none", "widen the grid: smaller tau, larger gamma")
        })?;
        for suffix in ["scales.json", "trajectory.jsonl", "safetensors"] {
            let from = folder.join(learnt).with_extension(suffix);
            let content = std::fs::read(&from).map_err(Error::io("read", &from))?;
            files::write_whole(&self.output.with_extension(suffix), &content)?;
        }
        progress::note(format!("the best is in {}; all runs are in {}", self.output.display(), folder.display()));
        super::print(&text)
    }

    fn plan(&self) -> Result<Plan> {
        let mut axes: Vec<Axis> = Vec::new();
        for axis in self.axes {
            let usage = |message: &str| {
                Error::usage(format!("--grid {axis}: {message}"), "such as gradinit.gamma=1000,4000,inf")
            };
            let (key, values) = axis.split_once('=').ok_or_else(|| usage("expected KEY=VALUE,VALUE"))?;
            let key = key.trim();
            if !key.contains('.') || values.split(',').any(|value| value.trim().is_empty()) {
                return Err(usage("expected a key such as gradinit.gamma and values with commas between them"));
            }
            // Settings check the type; here a value is what stands there.
            let values: Vec<toml::Value> =
                values.split(',').map(|value| toml::Value::String(value.trim().to_string())).collect();
            if axes.iter().any(|axis| axis.key == key) {
                return Err(usage("this key was given before"));
            }
            axes.push(Axis { key: key.to_string(), values });
        }
        let mut set = self.settings.clone();
        set.push("validation.bleu=false".into());
        Ok(Plan {
            task: Trained::Translation,
            title: "GradInit's settings".into(),
            about: String::new(),
            recipe: self.recipe.to_path_buf(),
            set,
            seeds: vec![self.seed],
            stop_after: Some(self.updates),
            score: false,
            axes,
            methods: vec![Method { name: "GradInit".into(), recipe: None, gradinit: true, set: Vec::new() }],
        })
    }
}

fn describe(point: &[(String, String)]) -> String {
    point.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
