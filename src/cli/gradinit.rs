//! `nmt gradinit`: learn one scale for every parameter block.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::init::gradinit::{Branch, GradInitConfig, Iteration, Target, gradinit};
use nmt::init::rescale;
use nmt::machine;
use nmt::progress::{self, Progress};
use nmt::task::Task;
use nmt::train::{load_weights, save_weights};
use nmt::translation::{OverlappingHalves, TranslationData, initialise, model_for};
use nmt::{Result, files};
use serde_json::json;
use tch::Tensor;

use super::gradinit_grid::Grid;
use super::model_options::{ConfigOptions, name_of, setting};
use super::signals;

/// Arguments of `nmt gradinit`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt gradinit --data data --config configs/multi30k_gradinit_adam.toml --optimizer adam --output init.safetensors
  nmt train    --data data --config configs/multi30k_gradinit_adam.toml --init init.safetensors --no-warmup --output run
  nmt gradinit --data data --config configs/multi30k_deep.toml --grid gradinit.gamma=0.7,inf --grid gradinit.tau=0.005,0.01 \
    --set gradinit.gamma_unit=initial-norm --output init.safetensors
The model is that of --config and --set: give both commands the same ones. Without them it is the full-size model of the
paper, for which a machine without a GPU needs hours.")]
pub struct GradInitArgs {
    /// The data folder that `nmt preprocess` or fairseq-preprocess made
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
    /// The optimiser that will train: sets gradinit.optimizer; where the configuration is for another one, eta and gamma
    /// become the paper's for this one unless --eta, --gamma or --set gives them
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerName>,
    /// Where the rescaled parameters go; the scales and the trajectory are written beside it
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Replace the files of --output
    #[arg(long)]
    overwrite: bool,
    /// Rescale these parameters instead of freshly drawn ones
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Iterations T: gradinit.iterations
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// The learning rate of the step that is looked ahead: gradinit.eta
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    eta: Option<f64>,
    /// The learning rate of the scales: gradinit.tau
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    tau: Option<f64>,
    /// The bound of the gradient's norm (inf: none): gradinit.gamma
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    gamma: Option<f64>,
    /// The seed of parameters and batches: training.seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Tokens of the batch that S and S̃ are cut from: gradinit.max_tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Try several values of a key, such as gradinit.gamma=1000,4000,inf; repeated, every combination. Each is followed by a
    /// short training, they are ranked by its validation loss, and the best goes to --output
    #[arg(long, value_name = "KEY=VALUE,VALUE", requires = "config", conflicts_with = "init")]
    grid: Vec<String>,
    /// Updates of the short trainings of --grid
    #[arg(long, value_name = "N", default_value_t = 100, requires = "grid",
        value_parser = clap::value_parser!(u64).range(1..))]
    grid_updates: u64,
}

/// The entry of the file that names the optimiser whose first step was prepared.
pub const LEARNT_FOR: &str = "gradinit_optimizer";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OptimizerName {
    Adam,
    Sgd,
}

impl GradInitArgs {
    /// What the options set, in order, over `--set`.
    fn settings(&self) -> Result<Vec<Option<String>>> {
        let given = |name: &str| {
            self.config.set.iter().any(|setting| setting.split('=').next().is_some_and(|key| key.trim() == name))
        };
        let before = self.config.load(&[])?.gradinit.optimizer;
        // The paper's values for the other optimiser, where the configuration is for this one (section 4.2).
        let (name, eta, gamma) = match self.optimizer {
            Some(OptimizerName::Adam) if before != Target::Adam => (Some("adam"), Some(5e-4), Some(1000.0)),
            Some(OptimizerName::Sgd) if before != Target::Sgd => (Some("sgd"), Some(0.15), Some(1.0)),
            _ => (None, None, None),
        };
        if let (Some(name), Some(eta), Some(gamma)) = (name, eta, gamma) {
            progress::note(format!(
                "the configuration is for another optimiser: for {name} the paper's η {eta} and γ {gamma} are taken, \
                 unless --eta, --gamma or --set says otherwise"
            ));
        }
        Ok(vec![
            setting("gradinit.optimizer", name),
            setting("gradinit.eta", eta.filter(|_| !given("gradinit.eta"))),
            setting("gradinit.gamma", gamma.filter(|_| !given("gradinit.gamma"))),
            setting("gradinit.iterations", self.iterations),
            setting("gradinit.eta", self.eta.map(float)),
            setting("gradinit.tau", self.tau.map(float)),
            setting("gradinit.gamma", self.gamma.map(float)),
            setting("gradinit.max_tokens", self.max_tokens),
            setting("training.seed", self.seed),
        ])
    }

    /// Run GradInit and write what it learnt.
    pub fn run(&self, threads: Option<usize>) -> Result<()> {
        let settings = self.settings()?;
        let config = self.config.load(&settings)?;
        check_output(&self.output, self.overwrite)?;
        if let (Some(recipe), false) = (&self.config.config, self.grid.is_empty()) {
            let seed = config.training.seed;
            let settings = self.config.set.iter().cloned().chain(settings.into_iter().flatten()).collect();
            let Self { data, output, grid: axes, grid_updates: updates, .. } = self;
            return Grid { recipe, settings, axes, updates: *updates, seed, data, output, threads }.run();
        }
        self.config.note_default_model();
        let (device, seed) = (machine::device(), config.training.seed);
        let open = || ParallelDataset::open(&self.data, "train", None, None);
        let dataset = open()?;
        let (model, identity) = model_for(&dataset, &config)?;
        let data = TranslationData::new(dataset, &config, config.gradinit.max_tokens, device)?;
        let stopped = signals::watch()?;
        let theta0 = match &self.init {
            Some(path) => load_weights(path, model.layout(), &identity)?,
            None => initialise(&config, &model, open, device, &stopped)?,
        }
        .to_device(device);
        let mut halves = OverlappingHalves::new(&data, &config.gradinit, seed)?;
        learn(&model, &theta0, &config.gradinit, || halves.draw(), &self.output, identity, stopped)
    }
}

/// Refuse an output that `nmt train` would not take, or that is there.
pub fn check_output(output: &Path, overwrite: bool) -> Result<()> {
    if output.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(Error::usage(
            format!("--output: expected a name that ends with .safetensors, found {}", output.display()),
            format!("give {}", output.with_extension("safetensors").display()),
        ));
    }
    if output.exists() && !overwrite {
        let next = "give --overwrite to replace it, or another --output";
        return Err(Error::usage(format!("{} exists already", output.display()), next));
    }
    Ok(())
}

/// Run GradInit from `theta0` on what `draw` gives, and write the rescaled parameters to `output`, the scales and the
/// trajectory beside it; `identity` goes into the file.
pub fn learn<T: Task>(
    task: &T,
    theta0: &Tensor,
    settings: &GradInitConfig,
    mut draw: impl FnMut() -> Result<(T::Batch, T::Batch)>,
    output: &Path,
    identity: BTreeMap<String, String>,
    stopped: impl Fn() -> Option<i32>,
) -> Result<()> {
    let layout = task.layout();
    let blocks = layout.blocks();
    progress::note(format!(
        "GradInit: {} blocks, {} parameters, {} iterations, γ {}, η {}, τ {}",
        blocks.len(),
        layout.total(),
        settings.iterations,
        settings.gamma,
        settings.eta,
        settings.tau
    ));
    let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
    let mut trajectory = Vec::new();
    let mut summary = Summary::default();
    let mut bar = Progress::new("gradinit", Some(settings.iterations));
    let scales = gradinit(
        task,
        theta0,
        settings,
        |_| draw(),
        |iteration| {
            if trajectory.is_empty() {
                let gamma = finite(iteration.gamma);
                trajectory.push(json!({"event": "blocks", "names": names, "gamma": gamma}).to_string());
            }
            trajectory.push(
                serde_json::to_string(iteration)
                    .map_err(|error| Error::content("the trajectory", "JSON", error.to_string(), ""))?,
            );
            summary.add(iteration);
            bar.set(iteration.iteration + 1, || {
                let branch = if iteration.branch == Branch::Constraint { "constraint" } else { "objective" };
                format!("loss {:.3} gradient norm {:.1} {branch}", iteration.loss, iteration.gradient_norm)
            });
            Error::if_interrupted(stopped())
        },
    )?;
    drop(bar);
    progress::note(summary.describe());

    let m = Tensor::from_slice(&scales).to_kind(tch::Kind::Float).to_device(theta0.device());
    let mut metadata = identity;
    metadata.insert(LEARNT_FOR.into(), name_of(&settings.optimizer));
    let by_name: serde_json::Map<String, serde_json::Value> =
        names.iter().zip(&scales).map(|(name, scale)| (name.to_string(), json!(scale))).collect();
    let pretty = serde_json::to_string_pretty(&by_name)
        .map_err(|error| Error::content("the scales", "JSON", error.to_string(), ""))?;
    let (scales_path, trajectory_path) = (beside(output, "scales.json"), beside(output, "trajectory.jsonl"));
    files::write_whole(&scales_path, (pretty + "\n").as_bytes())?;
    files::write_whole(&trajectory_path, (trajectory.join("\n") + "\n").as_bytes())?;
    // Last: whoever finds it finds the others, too.
    save_weights(output, layout, &rescale(layout, theta0, &m), &metadata)?;
    super::print(&format!("{}\n{}\n{}\n", output.display(), scales_path.display(), trajectory_path.display()))
}

/// What a run of GradInit did, for its last note.
#[derive(Default)]
struct Summary {
    first_norm: Option<f64>,
    /// The bound of the norm.
    gamma: f64,
    last_norm: f64,
    constraint_steps: u64,
    objective_steps: u64,
    /// The loss after the look-ahead's step, of the first and of the last objective step.
    after_step: Option<(f64, f64)>,
}

impl Summary {
    fn add(&mut self, iteration: &Iteration) {
        self.first_norm.get_or_insert(iteration.gradient_norm);
        (self.gamma, self.last_norm) = (iteration.gamma, iteration.gradient_norm);
        match iteration.branch {
            Branch::Constraint => self.constraint_steps += 1,
            Branch::Objective => self.objective_steps += 1,
        }
        if let Some(loss) = iteration.loss_after_step {
            self.after_step = Some((self.after_step.map_or(loss, |(first, _)| first), loss));
        }
    }

    /// The norms, whether γ was ever reached, and what the objective gained.
    fn describe(&self) -> String {
        let Some(first) = self.first_norm else { return "GradInit: no iteration".to_string() };
        let (gamma, last, steps) = (self.gamma, self.last_norm, self.constraint_steps);
        let all = steps + self.objective_steps;
        let mut text = format!(
            "GradInit: gradient norm {first:.1} at first, {last:.1} at last, γ {gamma:.1}: {steps} of {all} steps lowered it"
        );
        if let Some((first, last)) = self.after_step {
            text.push_str(&format!(
                "; the other steps: loss after one step of the optimiser from {first:.3} to {last:.3}"
            ));
        }
        if steps == 0 && gamma.is_finite() {
            text.push_str(&format!(
                "\nγ never bound: the norm grows with the number of parameters. 0.7 of the first norm, --gamma {:.0}, is a \
                 start",
                0.7 * first
            ));
        } else if self.objective_steps == 0 {
            text.push_str(
                "\nno step lowered the loss: γ was not reached. Raise --gamma (0.7 of the first norm is a start) or \
                 --iterations",
            );
        }
        text
    }
}

/// JSON has no infinity.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// A number as TOML has it.
fn float(value: f64) -> String {
    format!("{value:?}")
}

/// `init.safetensors` and `scales.json` to `init.scales.json`.
fn beside(output: &Path, suffix: &str) -> PathBuf {
    output.with_extension(suffix)
}
