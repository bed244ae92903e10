//! `nmt gradinit`: learn one scale for every parameter block.

use std::path::PathBuf;

use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::init::gradinit::Target;
use nmt::task::Task;
use nmt::train::TrainingData;
use nmt::translation::{OverlappingHalves, TranslationData, initialise, model_for};
use nmt::{Error, Result, machine, progress};

use super::gradinit_grid::Grid;
use super::gradinit_learn::LearnOptions;
use super::model_options::{ConfigOptions, PrintConfig, name_of, setting};
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
    #[command(flatten)]
    print: PrintConfig,
    /// The optimiser that will train: sets gradinit.optimizer; where the configuration is for another one, eta and gamma
    /// become the paper's for this one unless --eta, --gamma or --set gives them
    #[arg(long, value_enum)]
    optimizer: Option<OptimizerName>,
    #[command(flatten)]
    learn: LearnOptions,
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
        let own_eta = self.learn.eta.is_some() || given("gradinit.eta");
        let own_gamma = self.learn.gamma.is_some() || given("gradinit.gamma");
        let before = self.config.load::<Config>(&[])?.gradinit.optimizer;
        if given("gradinit.optimizer") {
            let name = name_of(&before);
            if self.optimizer.is_some() {
                let message = "--optimizer and --set gradinit.optimizer: expected one of them";
                return Err(Error::usage(message, "leave out what you do not mean"));
            }
            if !own_eta || !own_gamma {
                progress::note(format!(
                    "--set changes the optimiser alone; --optimizer {name} takes the paper's η and γ for it, too"
                ));
            }
        }
        // The paper's values for the other optimiser, where the configuration is for this one (section 4.2).
        let (name, eta, gamma) = match self.optimizer {
            Some(OptimizerName::Adam) if before != Target::Adam => (Some("adam"), Some(5e-4), Some(1000.0)),
            Some(OptimizerName::Sgd) if before != Target::Sgd => (Some("sgd"), Some(0.15), Some(1.0)),
            _ => (None, None, None),
        };
        let (eta, gamma) = (eta.filter(|_| !own_eta), gamma.filter(|_| !own_gamma));
        for (key, value) in [("η", eta), ("γ", gamma)] {
            if let (Some(name), Some(value)) = (name, value) {
                progress::note(format!(
                    "the configuration is for another optimiser: for {name} the paper's {key} {value} is taken, unless \
                     --eta, --gamma or --set says otherwise"
                ));
            }
        }
        let mut settings =
            vec![setting("gradinit.optimizer", name), setting("gradinit.eta", eta), setting("gradinit.gamma", gamma)];
        settings.extend(self.learn.settings());
        settings.extend([setting("gradinit.max_tokens", self.max_tokens), setting("training.seed", self.seed)]);
        Ok(settings)
    }

    /// Run GradInit and write what it learnt.
    pub fn run(&self, threads: Option<usize>) -> Result<()> {
        let settings = self.settings()?;
        let config: Config = self.config.load(&settings)?;
        if self.print.printed(&config)? {
            return Ok(());
        }
        let _lock = self.learn.take_output()?;
        if let (Some(recipe), false) = (&self.config.config, self.grid.is_empty()) {
            let seed = config.training.seed;
            let settings = self.config.set.iter().cloned().chain(settings.into_iter().flatten()).collect();
            self.learn.check_grid()?;
            let Self { data, learn: LearnOptions { output, .. }, grid: axes, grid_updates: updates, .. } = self;
            return Grid { recipe, settings, axes, updates: *updates, seed, data, output, threads }.run();
        }
        self.config.note_default_model();
        let (device, seed) = (machine::device(), config.training.seed);
        let open = || ParallelDataset::open(&self.data, "train", None, None);
        let dataset = open()?;
        let (model, identity) = model_for(&dataset, &config)?;
        let data = TranslationData::new(dataset, &config, config.gradinit.max_tokens, device)?;
        if self.learn.has_ended(model.layout(), &identity, &config, &data.fingerprint())? {
            return Ok(());
        }
        let stopped = signals::watch()?;
        let fresh = || initialise(&config, &model, open, device, &stopped);
        let theta0 = self.learn.theta0(model.layout(), &identity, device, fresh)?;
        let mut halves = OverlappingHalves::new(&data, &config.gradinit, seed)?;
        self.learn.learn(&model, &theta0, (&config, data.fingerprint()), &mut halves, identity, stopped)
    }
}
