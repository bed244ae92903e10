//! What an experiment runs: a TOML file of methods, axes and seeds over one recipe.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::run_config::{RunConfig, Trained};
use crate::error::{Error, Result};
use crate::files;

/// An experiment.
///
/// ```
/// use nmt::experiment::Plan;
/// let text = r#"
/// title = "Which rate is stable?"
/// recipe = "recipe.toml"
/// seeds = [1, 2]
///
/// [[axis]]
/// key = "schedule.learning_rate"
/// values = [1e-3, 2e-3]
///
/// [[method]]
/// name = "Vanilla"
///
/// [[method]]
/// name = "GradInit"
/// gradinit = true
/// set = ["gradinit.gamma=inf"]
/// "#;
/// let plan = Plan::parse(text, "plan.toml")?;
/// let runs = plan.runs();
/// assert_eq!(runs.len(), 2 * 2 * 2);
/// assert_eq!(runs[0].folder.to_str(), Some("vanilla/learning_rate=0.001/seed-1"));
/// // What is learnt before training does not depend on the rate: it is learnt once.
/// assert_eq!(runs[4].init.as_ref().and_then(|init| init.to_str()), Some("gradinit/init-seed-1.safetensors"));
/// assert_eq!(runs[6].init, runs[4].init);
/// # Ok::<(), nmt::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The heading of the report.
    pub title: String,
    /// What is trained.
    #[serde(default)]
    pub task: Trained,
    /// What the experiment shows, for the report.
    #[serde(default)]
    pub about: String,
    /// The configuration of the methods that name none; a relative path is from the plan's folder.
    #[serde(default)]
    pub recipe: PathBuf,
    /// Settings (`key=value`) of all runs, over the recipe's.
    #[serde(default)]
    pub set: Vec<String>,
    /// The seeds: every method runs once with each.
    pub seeds: Vec<u64>,
    /// Stop every run after this update, of image networks after this epoch, short of the schedule's end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u64>,
    /// Translate and score the splits `validation.split` and `test` with the best checkpoint of every run.
    #[serde(default = "yes")]
    pub score: bool,
    /// Keys and the values that each of them takes in turn, every combination of them.
    #[serde(default, rename = "axis")]
    pub axes: Vec<Axis>,
    /// The methods that are compared.
    #[serde(rename = "method")]
    pub methods: Vec<Method>,
}

/// The key that `seeds` sets.
const SEED: &str = "training.seed";

fn yes() -> bool {
    true
}

/// A key of the configuration, and the values that it takes in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// Such as `schedule.learning_rate`.
    pub key: String,
    /// The values.
    pub values: Vec<toml::Value>,
}

impl Axis {
    /// The values as settings spell them.
    pub(super) fn texts(&self) -> Vec<String> {
        self.values.iter().map(text_of).collect()
    }
}

/// One row of a table, one panel of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name in the report.
    pub name: String,
    /// Its configuration, where that is another than the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<PathBuf>,
    /// Run GradInit first, and train from what it learnt.
    #[serde(default)]
    pub gradinit: bool,
    /// Settings of this method, over the plan's.
    #[serde(default)]
    pub set: Vec<String>,
}

/// One training run of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRun {
    /// What is trained.
    pub task: Trained,
    /// The method's name.
    pub method: String,
    /// The keys of the axes and their values, in the plan's order.
    pub point: Vec<(String, String)>,
    /// The seed.
    pub seed: u64,
    /// Its configuration.
    pub recipe: PathBuf,
    /// Settings over that, the seed included.
    pub settings: Vec<String>,
    /// What GradInit writes before, relative to the experiment's folder.
    pub init: Option<PathBuf>,
    /// Its settings: those that do not concern what GradInit learns are left out.
    pub init_settings: Vec<String>,
    /// The run folder, relative to the experiment's.
    pub folder: PathBuf,
}

impl Plan {
    /// Read a plan, and check every run's configuration.
    ///
    /// # Errors
    /// [`Error::Usage`] for a plan that is none, for a method whose configuration is refused, and for a stop beyond its end.
    pub fn load(path: &Path) -> Result<Plan> {
        let (text, place) = (files::read_text(path)?, path.display().to_string());
        let mut plan = Plan::parse(&text, &place)?;
        if let Some(folder) = path.parent() {
            plan.recipe = folder.join(&plan.recipe);
            for recipe in plan.methods.iter_mut().filter_map(|method| method.recipe.as_mut()) {
                *recipe = folder.join(&*recipe);
            }
        }
        for run in plan.runs() {
            let length = run.config().map_err(|error| run.refused(&text, &place, error))?.length();
            if let Some(stop) = plan.stop_after.filter(|stop| *stop > length) {
                let message =
                    format!("{place}: stop_after = {stop}: expected {length} at most, where {} ends", run.method);
                return Err(Error::usage(message, "leave it out, or make the runs longer"));
            }
        }
        Ok(plan)
    }

    /// Read the text of a plan; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Plan::load`], without the check of configurations.
    pub fn parse(text: &str, place: &str) -> Result<Plan> {
        let plan: Plan = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
            Error::usage(format!("{place}:{line}: {}", error.message()), "docs/experiments.md says what a plan holds")
        })?;
        let refuse = |message: &str| Err(Error::usage(format!("{place}: {message}"), ""));
        if plan.methods.is_empty() || plan.seeds.is_empty() || plan.axes.iter().any(|axis| axis.values.is_empty()) {
            return refuse("expected at least one [[method]], one seed and one value an axis, found none");
        }
        if plan.stop_after == Some(0) {
            return refuse("stop_after: expected 1 or more, found 0");
        }
        if let Some(method) = plan.methods.iter().find(|m| m.recipe.is_none() && plan.recipe.as_os_str().is_empty()) {
            return refuse(&format!(
                "expected a recipe for the method `{}`, or for the whole plan, found none",
                method.name
            ));
        }
        let varied = |key: &str| key == SEED || plan.axes.iter().any(|axis| axis.key == key);
        let mut settings = plan.set.iter().chain(plan.methods.iter().flat_map(|method| &method.set));
        if let Some(beaten) = settings.find(|setting| varied(setting.split('=').next().unwrap_or_default().trim())) {
            return refuse(&format!(
                "expected in `set` no key that the seeds or an axis set, found {beaten:?}, which would count for nothing"
            ));
        }
        if let Some(axis) = plan.axes.iter().find(|axis| axis.key == SEED) {
            return refuse(&format!("expected another key for an axis than {}: `seeds` has its values", axis.key));
        }
        let mut names: Vec<String> = plan.methods.iter().map(|method| folder_name(&method.name)).collect();
        names.sort();
        if names.windows(2).any(|pair| pair[0] == pair[1]) || names.iter().any(String::is_empty) {
            return refuse("expected methods whose names differ in letters or digits: each has a folder of that name");
        }
        let mut folders: Vec<PathBuf> = plan.runs().into_iter().map(|run| run.folder).collect();
        folders.sort();
        if let Some(pair) = folders.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(&format!(
                "expected seeds and values that differ, found two runs with the folder {}",
                pair[0].display()
            ));
        }
        Ok(plan)
    }

    /// All runs, method by method, point by point, seed by seed.
    pub fn runs(&self) -> Vec<PlannedRun> {
        let mut runs = Vec::new();
        for method in &self.methods {
            for point in self.points() {
                for &seed in &self.seeds {
                    runs.push(self.run(method, &point, seed));
                }
            }
        }
        runs
    }

    /// Every combination of the axes' values.
    pub fn points(&self) -> Vec<Vec<(String, String)>> {
        let mut points = vec![Vec::new()];
        for axis in &self.axes {
            let extended = |point: &Vec<(String, String)>| {
                let values = axis.texts().into_iter();
                let point = point.clone();
                values.map(move |value| [point.clone(), vec![(axis.key.clone(), value)]].concat())
            };
            points = points.iter().flat_map(extended).collect();
        }
        points
    }

    fn run(&self, method: &Method, point: &[(String, String)], seed: u64) -> PlannedRun {
        let common = || self.set.iter().chain(&method.set).cloned();
        let seed_setting = format!("{SEED}={seed}");
        let values = |for_init: bool| {
            point.iter().filter(move |(key, _)| !for_init || concerns_init(key)).map(|(key, value)| (key, value))
        };
        let name = |(key, value): (&String, &String)| folder_name(&format!("{}={value}", short(key)));
        let settings = |for_init: bool| {
            let at_point = values(for_init).map(|(key, value)| format!("{key}={value}"));
            common().chain(at_point).chain([seed_setting.clone()]).collect::<Vec<String>>()
        };
        let own = PathBuf::from(folder_name(&method.name));
        let folder = values(false).fold(own.clone(), |folder, value| folder.join(name(value)));
        let learnt = values(true).fold(own, |folder, value| folder.join(name(value)));
        PlannedRun {
            task: self.task,
            method: method.name.clone(),
            point: point.to_vec(),
            seed,
            recipe: method.recipe.clone().unwrap_or_else(|| self.recipe.clone()),
            settings: settings(false),
            init: method.gradinit.then(|| learnt.join(format!("init-seed-{seed}.safetensors"))),
            init_settings: settings(true),
            folder: folder.join(format!("seed-{seed}")),
        }
    }
}

impl PlannedRun {
    /// The configuration of the run.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn config(&self) -> Result<RunConfig> {
        RunConfig::load(self.task, &self.recipe, &self.settings)
    }

    /// Why the configuration is refused, with the line of the plan's text that has the setting which brings this error; as it
    /// is where the recipe itself does.
    fn refused(&self, text: &str, place: &str, error: Error) -> Error {
        let Error::Usage { message, next } = error else { return error };
        let brings_it = |count: &usize| {
            let tried = RunConfig::load(self.task, &self.recipe, &self.settings[..*count]);
            matches!(tried, Err(Error::Usage { message: found, .. }) if found == message)
        };
        let count = (0..=self.settings.len()).find(brings_it).unwrap_or(0);
        let Some(setting) = count.checked_sub(1).and_then(|index| self.settings.get(index)) else {
            return Error::usage(message, next);
        };
        // In quotes as `set` has it, or else its key, as an axis has it.
        let key = setting.split('=').next().unwrap_or(setting);
        let line_with = |word: &str| {
            let quoted = format!("\"{word}\"");
            text.lines().zip(1..).find(|(line, _)| line.contains(&quoted)).map(|(_, number)| number)
        };
        let line = line_with(setting).or_else(|| line_with(key));
        let line = line.map_or(String::new(), |number: u32| format!(":{number}"));
        Error::usage(format!("{place}{line}: {message}"), next)
    }

    /// What GradInit learns from, as text: equal where it would learn the same.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn init_description(&self) -> Result<String> {
        RunConfig::load(self.task, &self.recipe, &self.init_settings)?.init_description()
    }
}

/// Whether what GradInit learns depends on the key.
fn concerns_init(key: &str) -> bool {
    !["schedule.", "optimizer.", "validation.", "search."].iter().any(|section| key.starts_with(section))
}

/// The last part of a key.
pub(super) fn short(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// How a setting spells a value.
fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A name as that of a folder: lower-case letters, digits, `=`, `.`, `_` and `-`.
fn folder_name(name: &str) -> String {
    let spelt: String =
        name.to_lowercase().chars().map(|c| if c.is_alphanumeric() || "=._".contains(c) { c } else { '-' }).collect();
    let mut parts: Vec<&str> = spelt.split('-').filter(|part| !part.is_empty()).collect();
    if parts.first().is_some_and(|first| first.chars().all(|c| c == '.')) {
        parts.remove(0); // No way out of the experiment's folder.
    }
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_names_stay_inside() {
        for (name, expected) in [
            ("Vanilla, no warmup", "vanilla-no-warmup"),
            ("../GradInit + w_skip", "gradinit-w_skip"),
            ("..", ""),
            ("learning_rate=1e-3", "learning_rate=1e-3"),
        ] {
            assert_eq!(folder_name(name), expected);
        }
    }

    #[test]
    fn what_makes_no_experiment_is_named() {
        let whole = "title = \"t\"\nrecipe = \"r.toml\"\nseeds = [1]\n[[method]]\nname = \"a\"\n";
        Plan::parse(whole, "p.toml").unwrap();
        for (text, expected) in [
            (whole.replace("[1]", "[]"), "p.toml: expected at least one"),
            (whole.replace("seeds", "seed"), "p.toml:3: "),
            (whole.replace("[1]", "[1, 1]"), "two runs with the folder a/seed-1"),
            (
                format!("{whole}[[axis]]\nkey = \"optimizer.beta2\"\nvalues = [0.9, 0.90]\n"),
                "two runs with the folder a/beta2",
            ),
            (whole.replace("recipe = \"r.toml\"\n", ""), "expected a recipe for the method `a`"),
            (whole.replace("name", "names"), "p.toml:5: "),
            (format!("{whole}[[method]]\nname = \"A!\"\n"), "whose names differ"),
            (format!("{whole}[[axis]]\nkey = \"optimizer.beta2\"\nvalues = []\n"), "one value an axis"),
            (format!("{whole}set = [\"training.seed = 2\"]\n"), "found \"training.seed = 2\", which"),
            (
                format!(
                    "{whole}set = [\"optimizer.beta2=0.9\"]\n[[axis]]\nkey = \"optimizer.beta2\"\nvalues = [0.98]\n"
                ),
                "found \"optimizer.beta2=0.9\", which",
            ),
            (format!("{whole}[[axis]]\nkey = \"training.seed\"\nvalues = [1]\n"), "another key for an axis"),
        ] {
            let error = Plan::parse(&text, "p.toml").unwrap_err().to_string();
            assert!(error.contains(expected), "{error} for {text}");
        }
    }
}
