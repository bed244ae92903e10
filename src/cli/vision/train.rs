//! `nmt vision train`: train an image network.

use std::path::Path;

use nmt::config::describe;
use nmt::error::Error;
use nmt::task::Task;
use nmt::train::{Outcome, Run, StopAfter, load_weights, train};
use nmt::vision::pictures::Split;
use nmt::vision::{VisionConfig, VisionInitMethod, draw, evaluate, initialise, with_new_head};
use nmt::{Result, progress};

use super::super::model_options::{PrintConfig, name_of, setting};
use super::super::processes::Processes;
use super::super::run_options::{RunOptions, note_other_end, refuse_shorter};
use super::options::{NetworkOptions, PictureOptions, network_for, note_small};

/// Arguments of `nmt vision train`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt vision train --arch vgg19 --data cifar10 --init init.safetensors --output run
  nmt vision train --arch resnet110 --no-bn --data cifar10 --stop-after-epoch 1 --output run
  nmt vision train --data cifar10 --output run --resume                     go on with a run that was stopped
  nmt vision train --arch resnet50 --data flowers --init resnet50.safetensors --new-head --max-epochs 20 \\
    --set schedule.learning_rate=0.01 --output run                          train what is trained on other classes")]
pub struct VisionTrainArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten)]
    run: RunOptions,
    #[command(flatten)]
    print: PrintConfig,
    /// Draw the linear layer anew, for the classes of --data, and take only the rest from --init
    #[arg(long, requires = "init")]
    new_head: bool,
    /// Epochs: training.max_epochs
    #[arg(long, value_name = "N")]
    max_epochs: Option<u64>,
    /// Stop after this epoch, validated and saved; the schedule still ends with training.max_epochs, and --resume goes on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after_epoch: Option<u64>,
}

/// An error of parameters that do not fit, which they may with another linear layer.
fn for_other_classes(error: Error) -> Error {
    match error {
        Error::Content { place, expected, found, next } => {
            let next = format!("{next}; where only the classes are others, add --new-head");
            Error::Content { place, expected, found, next }
        }
        other => other,
    }
}

/// Further keys that may change between a run and its continuation.
const MAY_CHANGE: [&str; 1] = [MAX_EPOCHS];
const MAX_EPOCHS: &str = "training.max_epochs";

impl VisionTrainArgs {
    /// Train; `threads` are those that were asked for.
    pub fn run(&self, threads: Option<usize>) -> Result<()> {
        let run = &self.run.output;
        let processes = Processes::join(self, threads)?;
        let resume = self.run.going_on(!self.network.is_empty())?;
        let further = self.network.settings(&[setting(MAX_EPOCHS, self.max_epochs)]);
        let (config, began_with) =
            self.run.configuration::<VisionConfig>(resume, &self.network.config, &further, &MAY_CHANGE, &processes)?;
        let max_epochs = config.training.max_epochs;
        if self.print.printed(&config)? {
            return Ok(());
        }
        let device = processes.device;
        let data = self.pictures.batches(Split::Train, &config, config.training.batch_size, device)?;
        note_small("training.batch_size", config.training.batch_size, &data);
        if config.init.method == VisionInitMethod::Metainit && !resume {
            note_small("metainit.batch_size", config.metainit_batch_size(), &data);
        }
        let validation = self.pictures.batches(Split::Validation, &config, config.training.batch_size, device)?;
        let (network, identity) = network_for(&config, data.pictures().classes(), device);
        let settings = config.training_loop(data.pictures().len(), processes.all.size());
        let stop_after = self.stop_after_epoch.map(StopAfter::Epoch);
        // By every method but MetaInit the linear layer is drawn.
        let draws = self.new_head && config.init.method != VisionInitMethod::Metainit;
        self.run.note_unused(resume || draws, &self.network.config, stop_after, &settings);
        let signal = self.run.watch()?;
        let read = |path: &Path| match self.new_head {
            true => with_new_head(path, &network, &config.network, &draw(&config, &network)),
            false => load_weights(path, network.layout(), &identity).map_err(for_other_classes),
        };
        let fresh = || initialise(&config, &network, &data, device, &signal);
        let start = || self.run.start(&network, &config.optimizer, read, fresh);
        let (mut checkpoint, _lock) =
            self.run.begin(resume, &network, &config.optimizer, &identity, &processes, start)?;
        refuse_shorter(MAX_EPOCHS, if resume { checkpoint.state.epoch } else { 0 }, max_epochs)?;
        if let Some(before) = began_with {
            note_other_end(MAX_EPOCHS, before.training.max_epochs, max_epochs, config.schedule.kind);
        }
        let validated = format!("pictures of `{}`", validation.pictures().split().name());
        self.run.validates_on(&mut checkpoint, validation.pictures().fingerprint().to_string(), &validated)?;
        self.run.note_config(&data, &mut checkpoint, describe(&config)?, &processes)?;
        if self.run.dry_run {
            return self.run.rehearse(&network, &data, &settings, checkpoint, stop_after, &processes);
        }
        progress::note(format!(
            "{} pictures of {} classes, {} of `{}` to validate on; {}, {} parameters, {}, {}{}",
            data.pictures().len(),
            data.pictures().classes().len(),
            validation.pictures().len(),
            validation.pictures().split().name(),
            config.network.architecture.name(),
            network.layout().total(),
            name_of(&config.training.compute),
            processes.describe(),
            if resume { format!(", going on after update {}", checkpoint.state.update) } else { String::new() }
        ));
        let updates_before = checkpoint.state.update;
        let outcome = train(
            &network,
            &data,
            &settings,
            checkpoint,
            Run { folder: run, identity: &identity, stop_after, processes: &*processes.all },
            |theta| Ok(evaluate(&network, theta, &validation, settings.compute)?.into()),
            signal,
        );
        [&data, &validation].into_iter().for_each(|data| self.pictures.note_met(data));
        // The updates of all epochs are the limit that the loop knows.
        let outcome = outcome.map(|outcome| match outcome.reason {
            "max updates" => Outcome { reason: "max epochs", ..outcome },
            _ => outcome,
        });
        self.run.report(&outcome?, updates_before, "accuracy")
    }
}
