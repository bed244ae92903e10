//! `nmt inspect`: what initialisations look like, block by block.

use std::path::{Path, PathBuf};

use nmt::Result;
use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::error::Error;
use nmt::init::inspect::{Group, Inspection, inspect};
use nmt::machine;
use nmt::plot::{Format, inspection, inspection_csv};
use nmt::progress::{self, Progress};
use nmt::task::Task;
use nmt::train::load_weights;
use nmt::translation::{TranslationData, initialise, model_for};
use tch::Tensor;

use super::model_options::{ConfigOptions, name_of, parameters_parser, setting};
use super::signals;

/// Arguments of `nmt inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt inspect --data data --config configs/multi30k_gradinit_adam.toml --init init.safetensors --output init.svg
  nmt inspect --data data --config my.toml --files-only --init adam.safetensors --init sgd.safetensors --output both.png
The first draws what `nmt gradinit` with the same configuration and seed started from beside what it came to.")]
pub struct InspectArgs {
    /// The data folder that `nmt preprocess` or fairseq-preprocess made
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    #[command(flatten)]
    config: ConfigOptions,
    #[command(flatten)]
    drawing: DrawingOptions,
    /// Tokens of a minibatch: training.max_tokens
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// The seed of the parameters that are drawn and of the minibatches: training.seed
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Which initialisations are drawn, and where to: what `nmt inspect` and `nmt vision inspect` share.
#[derive(Debug, clap::Args)]
pub struct DrawingOptions {
    /// Parameters, of `nmt gradinit`, a checkpoint, or the folder of a run, which stands for its `best` (or `last`),
    /// beside the initialisation that the configuration draws, which comes first; may be repeated
    #[arg(long, value_name = "FILE.safetensors", value_parser = parameters_parser())]
    pub init: Vec<PathBuf>,
    /// The name of each --init in the picture, in their order [default: the names of the files]
    #[arg(long, value_name = "NAME", requires = "init")]
    name: Vec<String>,
    /// Only the files of --init, without the initialisation that the configuration draws
    #[arg(long, requires = "init")]
    pub files_only: bool,
    /// The picture to write, as its extension says: .svg or .png
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Also write the figures as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Minibatches of training data that the gradient's standard deviation is over
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub batches: u32,
}

impl InspectArgs {
    /// Measure, draw, and say what was written.
    pub fn run(&self) -> Result<()> {
        self.drawing.check()?;
        let seed = || setting("training.seed", self.seed);
        let config: Config = self.config.load(&[seed()])?;
        // The minibatches' size says nothing of the initialisation: Admin's is of the batches of training.
        let measured: Config = self.config.load(&[seed(), setting("training.max_tokens", self.max_tokens)])?;
        let names = self.drawing.names(&name_of(&config.init.method))?;
        self.config.note_default_model();
        let device = machine::device();
        let open = || ParallelDataset::open(&self.data, "train", None, None);
        let dataset = open()?;
        let (model, identity) = model_for(&dataset, &config)?;
        let stopped = signals::watch()?;
        let mut thetas: Vec<Tensor> = Vec::new();
        if !self.drawing.files_only {
            thetas.push(initialise(&config, &model, open, device, &stopped)?);
        }
        for path in &self.drawing.init {
            thetas.push(load_weights(path, model.layout(), &identity)?.to_device(device));
        }
        let data = TranslationData::new(dataset, &measured, measured.training.max_tokens, device)?;
        // The same for all, so that they differ in nothing else.
        let minibatches = data.batches_without_end().take(self.drawing.batches as usize).collect::<Result<Vec<_>>>()?;
        progress::note(format!(
            "{} blocks, {} parameters, {} minibatches of {} tokens",
            model.layout().blocks().len(),
            model.layout().total(),
            minibatches.len(),
            measured.training.max_tokens
        ));
        let batches = || minibatches.iter().map(|indices| data.collate(indices));
        self.drawing.draw(&model, &thetas, &names, batches, stopped)
    }
}

impl DrawingOptions {
    /// Refuse an output that is no picture.
    pub fn check(&self) -> Result<()> {
        Format::of(&self.output).map(|_| ())
    }

    /// Measure every θ on the same minibatches, draw, and say what was written.
    pub fn draw<T: Task, I: ExactSizeIterator<Item = Result<T::Batch>>>(
        &self,
        task: &T,
        thetas: &[Tensor],
        names: &[String],
        minibatches: impl Fn() -> I,
        stopped: impl Fn() -> Option<i32>,
    ) -> Result<()> {
        let mut bar = Progress::new("inspect", Some((minibatches().len() * thetas.len()) as u64));
        let mut inspections = Vec::new();
        for (theta, name) in thetas.iter().zip(names) {
            let batches = minibatches().map(|batch| {
                Error::if_interrupted(stopped())?;
                bar.add(1);
                batch
            });
            inspections.push(inspect(task, name, theta, batches)?);
        }
        drop(bar);
        for line in comparisons(&inspections) {
            progress::note(line);
        }
        inspection(&inspections, &self.output)?;
        let mut written = format!("{}\n", self.output.display());
        if let Some(csv) = &self.csv {
            inspection_csv(&inspections, csv)?;
            written.push_str(&format!("{}\n", csv.display()));
        }
        super::print(&written)
    }

    /// What each initialisation is called; `drawn` is the one that the configuration draws.
    pub fn names(&self, drawn: &str) -> Result<Vec<String>> {
        if !self.name.is_empty() && self.name.len() != self.init.len() {
            return Err(Error::usage(
                format!("--name: expected one for each of {} --init, found {}", self.init.len(), self.name.len()),
                "give --name after each --init, or none",
            ));
        }
        let mut names = if self.files_only { Vec::new() } else { vec![drawn.to_string()] };
        if self.name.is_empty() {
            let short: Vec<String> = self.init.iter().map(|path| short_name(path)).collect();
            let alone = |name: &String| short.iter().chain(&names).filter(|other| *other == name).count() == 1;
            let files = self.init.iter().zip(&short);
            let of_files =
                files.map(|(path, name)| if alone(name) { name.clone() } else { path.display().to_string() }).collect();
            names = [names, of_files].concat();
        } else {
            names.extend(self.name.iter().cloned());
        }
        Ok(names)
    }
}

/// `init.safetensors` is `init`; the checkpoints of all runs are called alike: `run/best`.
fn short_name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().and_then(Path::file_name).filter(|_| ["best", "last"].contains(&stem.as_str()));
    folder.map_or(stem.clone(), |folder| format!("{}/{stem}", folder.to_string_lossy()))
}

/// How every other initialisation differs from the first, in the blocks that the picture shows.
fn comparisons(inspections: &[Inspection]) -> Vec<String> {
    let Some((first, others)) = inspections.split_first() else { return Vec::new() };
    let against = |other: &Inspection| {
        let pairs = || first.blocks.iter().zip(&other.blocks).filter(|(block, _)| block.group != Group::Bias);
        let smaller = pairs().filter(|(a, b)| b.magnitude < a.magnitude).count();
        let steadier = pairs().filter(|(a, b)| b.gradient_std < a.gradient_std).count();
        format!(
            "{} against {}: of {} weights {smaller} are smaller, and of {steadier} the gradient varies less",
            other.name,
            first.name,
            pairs().count()
        )
    };
    others.iter().map(against).collect()
}
