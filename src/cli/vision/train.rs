//! `nmt vision train`: train an image network.

use std::path::PathBuf;

use nmt::config::describe;
use nmt::error::Error;
use nmt::optim::Optimizer;
use nmt::progress;
use nmt::task::Task;
use nmt::train::{Checkpoint, LAST, Run, load_weights, train};
use nmt::vision::pictures::Split;
use nmt::vision::{VisionConfig, evaluate, initialise};
use nmt::{Result, files, machine};
use tch::{Kind, Tensor};

use super::super::model_options::{name_of, setting};
use super::super::signals;
use super::super::train::{check_unchanged, note_other_optimizer, report, taken_up};
use super::options::{NetworkOptions, PictureOptions, network_for, saved_config};

/// Arguments of `nmt vision train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt vision train --arch vgg19 --data cifar10 --init init.safetensors --output run
  nmt vision train --arch resnet110 --no-bn --set optimizer.clip_norm=1 --data cifar10 --stop-after-epoch 1 --output run
  nmt vision train --data cifar10 --output run --resume                     go on with a run that was stopped")]
pub struct VisionTrainArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    network: NetworkOptions,
    /// The run folder: configuration, checkpoints and log
    #[arg(long, value_name = "RUN")]
    output: PathBuf,
    /// Start from these parameters, such as those of `nmt vision gradinit`
    #[arg(long, value_name = "FILE.safetensors")]
    init: Option<PathBuf>,
    /// Go on from the checkpoint `last` of the run folder; start where there is none
    #[arg(long)]
    resume: bool,
    /// Epochs: training.max_epochs
    #[arg(long, value_name = "N")]
    max_epochs: Option<u64>,
    /// Stop after this epoch, validated and saved; the schedule still ends with training.max_epochs, and --resume goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after_epoch: Option<u64>,
}

/// Keys that may change between a run and its continuation.
const MAY_CHANGE: [&str; 4] =
    ["training.log_every", "training.checkpoint_every", "validation.every_updates", "validation.patience"];

impl VisionTrainArgs {
    /// Train.
    pub fn run(&self) -> Result<()> {
        let run = &self.output;
        let resume = taken_up(run, self.resume, !self.network.is_empty())?;
        let config = self.resolve(resume)?;
        let device = machine::device();
        let data = self.pictures.batches(Split::Train, &config, config.training.batch_size, device)?;
        let test = self.pictures.batches(Split::Test, &config, config.training.batch_size, device)?;
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        let signal = signals::watch()?;
        let layout = network.layout();
        let optimizer = |theta: &Tensor| -> Box<dyn Optimizer> { config.optimizer.build(theta, layout) };
        let checkpoint = if resume {
            let empty = Tensor::zeros([layout.total()], (Kind::Float, device));
            Checkpoint::load(&run.join(LAST), &network, optimizer(&empty), &identity)?
        } else {
            let theta = match &self.init {
                Some(path) => {
                    note_other_optimizer(path, &config.optimizer)?;
                    load_weights(path, layout, &identity)?.to_device(device)
                }
                None => initialise(&config, &network, &data, device, &signal)?,
            };
            let optimizer = optimizer(&theta);
            Checkpoint::start(theta, optimizer)
        };
        std::fs::create_dir_all(run).map_err(Error::io("create the folder", run))?;
        files::write_whole(&saved_config(run), describe(&config)?.as_bytes())?;
        let settings = config.training_loop(data.pictures().len());
        progress::note(format!(
            "{} pictures of {} classes, {} to validate on; {}, {} parameters, {}, {} threads{}",
            data.pictures().len(),
            data.pictures().classes().len(),
            test.pictures().len(),
            config.network.architecture.name(),
            layout.total(),
            name_of(&config.training.compute),
            tch::get_num_threads(),
            if resume { format!(", going on after update {}", checkpoint.state.update) } else { String::new() }
        ));
        let updates_before = checkpoint.state.update;
        let stop_after = self.stop_after_epoch.map(|epoch| epoch * settings.max_updates / config.training.max_epochs);
        let outcome = train(
            &network,
            &data,
            &settings,
            checkpoint,
            Run { folder: run, identity: &identity, stop_after },
            |theta| Ok(evaluate(&network, theta, &test, settings.compute)?.into()),
            signal,
        )?;
        report(&outcome, updates_before, "accuracy", run)
    }

    /// The configuration, with everything automatic resolved.
    fn resolve(&self, resume: bool) -> Result<VisionConfig> {
        let saved_path = saved_config(&self.output);
        let options = if resume { self.network.or_config(saved_path.clone()) } else { self.network.clone() };
        let mut config = options.load(&[setting("training.max_epochs", self.max_epochs)])?;
        config.training.compute = config.training.compute.resolved();
        if resume {
            let saved = VisionConfig::load(Some(&saved_path), &[])?;
            check_unchanged(&saved, &config, &saved_path, &MAY_CHANGE)?;
            if let Some(init) = &self.init {
                progress::note(format!("--init {} is not read: the run goes on from {LAST}", init.display()));
            }
        }
        Ok(config)
    }
}
