//! `nmt gradinit`: learn one scale for every parameter block.

use std::path::{Path, PathBuf};

use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::init::gradinit::{Branch, Target, gradinit, rescale};
use nmt::init::initial_theta;
use nmt::machine;
use nmt::model::Transformer;
use nmt::progress::{self, Progress};
use nmt::task::Task;
use nmt::train::{load_weights, save_weights};
use nmt::translation::{OverlappingHalves, TranslationData, identity};
use nmt::{Result, files};
use serde_json::json;
use tch::Tensor;

use super::model_options::{ConfigOptions, setting};
use super::signals;

/// Arguments of `nmt gradinit`.
#[derive(Debug, clap::Args)]
pub struct GradInitArgs {
    /// The data folder that `nmt preprocess` or fairseq-preprocess made
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
    /// The optimiser that will train: sets gradinit.optimizer; eta and gamma follow it unless they are given
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerName>,
    /// Where the rescaled parameters go; the scales and the trajectory are written beside it
    #[arg(long, value_name = "FILE.safetensors")]
    output: PathBuf,
    /// Rescale these parameters instead of freshly drawn ones
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Iterations T: gradinit.iterations
    #[arg(long, value_name = "N")]
    iterations: Option<u64>,
    /// The learning rate of the step that is looked ahead: gradinit.eta
    #[arg(long, value_name = "NUMBER")]
    eta: Option<f64>,
    /// The learning rate of the scales: gradinit.tau
    #[arg(long, value_name = "NUMBER")]
    tau: Option<f64>,
    /// The bound of the gradient's norm (inf: none): gradinit.gamma
    #[arg(long, value_name = "NUMBER")]
    gamma: Option<f64>,
    /// The seed of parameters and batches: training.seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Tokens of the batch that S and S̃ are cut from: gradinit.max_tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OptimizerName {
    Adam,
    Sgd,
}

impl GradInitArgs {
    fn resolve(&self) -> Result<Config> {
        let given = |name: &str| self.config.set.iter().any(|setting| setting.starts_with(name));
        let before = self.config.load(&[])?.gradinit.optimizer;
        // The paper's values for the other optimiser, where the configuration is for this one (section 4.2).
        let (name, eta, gamma) = match self.optimizer {
            Some(OptimizerName::Adam) if before != Target::Adam => (Some("adam"), Some(5e-4), Some(1000.0)),
            Some(OptimizerName::Sgd) if before != Target::Sgd => (Some("sgd"), Some(0.15), Some(1.0)),
            _ => (None, None, None),
        };
        self.config.load(&[
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
    pub fn run(&self) -> Result<()> {
        let config = self.resolve()?;
        let (device, seed) = (machine::device(), config.training.seed);
        let dataset = ParallelDataset::open(&self.data, "train", None, None)?;
        let (source, target) = (&dataset.source_dictionary, &dataset.target_dictionary);
        let identity = identity(dataset.folder.source_lang(), dataset.folder.target_lang(), source, target);
        let model =
            Transformer::new(&config.model, source.len() as i64, target.len() as i64, config.training.label_smoothing)?;
        let data = TranslationData::new(dataset, &config, config.gradinit.max_tokens, device)?;
        let theta0 = match &self.init {
            Some(path) => load_weights(path, model.layout(), &identity)?,
            None => initial_theta(&config.init, model.layout(), seed),
        }
        .to_device(device);
        let blocks = model.layout().blocks();
        let settings = &config.gradinit;
        progress::note(format!(
            "GradInit: {} blocks, {} parameters, {} iterations, γ {}, η {}, τ {}",
            blocks.len(),
            model.layout().total(),
            settings.iterations,
            settings.gamma,
            settings.eta,
            settings.tau
        ));

        let names: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        let mut trajectory =
            vec![json!({"event": "blocks", "names": names, "gamma": finite(settings.gamma)}).to_string()];
        let mut bar = Progress::new("gradinit", Some(settings.iterations));
        let stopped = signals::watch()?;
        let mut halves = OverlappingHalves::new(&data, seed)?;
        let scales = gradinit(
            &model,
            &theta0,
            settings,
            |_| halves.draw(),
            |iteration| {
                trajectory.push(
                    serde_json::to_string(iteration)
                        .map_err(|error| Error::content("the trajectory", "JSON", error.to_string(), ""))?,
                );
                bar.set(iteration.iteration + 1, || {
                    let branch = if iteration.branch == Branch::Constraint { "constraint" } else { "objective" };
                    format!("loss {:.3} gradient norm {:.1} {branch}", iteration.loss, iteration.gradient_norm)
                });
                match stopped() {
                    Some(signal) => Err(Error::Interrupted { signal, saved: "nothing was written".into() }),
                    None => Ok(()),
                }
            },
        )?;
        drop(bar);

        let m = Tensor::from_slice(&scales).to_kind(tch::Kind::Float).to_device(device);
        save_weights(&self.output, model.layout(), &rescale(model.layout(), &theta0, &m), &identity)?;
        let by_name: serde_json::Map<String, serde_json::Value> =
            names.iter().zip(&scales).map(|(name, scale)| (name.to_string(), json!(scale))).collect();
        let pretty = serde_json::to_string_pretty(&by_name)
            .map_err(|error| Error::content("the scales", "JSON", error.to_string(), ""))?;
        let (scales_path, trajectory_path) =
            (beside(&self.output, "scales.json"), beside(&self.output, "trajectory.jsonl"));
        files::write_whole(&scales_path, (pretty + "\n").as_bytes())?;
        files::write_whole(&trajectory_path, (trajectory.join("\n") + "\n").as_bytes())?;
        super::print(&format!("{}\n{}\n{}\n", self.output.display(), scales_path.display(), trajectory_path.display()))
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
