//! `nmt vision evaluate`: the accuracy of a trained network.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use nmt::Result;
use nmt::machine;
use nmt::progress::readable;
use nmt::vision::evaluate;
use nmt::vision::pictures::Split;
use serde_json::json;

use super::options::PictureOptions;
use super::trained::{TrainedOptions, load};

/// Arguments of `nmt vision evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt vision evaluate --model run --data cifar10")]
pub struct EvaluateArgs {
    #[command(flatten)]
    pictures: PictureOptions,
    #[command(flatten)]
    trained: TrainedOptions,
    /// Which pictures; where there is no test, `test` is `val`, and the other way round; those of `train` are taken without
    /// what training changes
    #[arg(long, default_value = "test", value_parser = splits())]
    split: Split,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn splits() -> impl TypedValueParser<Value = Split> {
    PossibleValuesParser::new(Split::ALL.map(Split::name)).try_map(|name| name.parse::<Split>())
}

impl EvaluateArgs {
    /// Classify, and print how much was right.
    pub fn run(&self) -> Result<()> {
        let (checkpoint, config) = self.trained.find()?;
        let device = machine::device();
        let data = self.pictures.batches(self.split, &config, self.trained.batch_size(&config), device)?;
        let (network, theta) = load(&checkpoint, &config, data.pictures().classes(), device)?;
        let found = evaluate(&network, &theta, &data, config.training.compute.kind());
        self.pictures.note_met(&data);
        let (found, split) = (found?, data.pictures().split().name());
        if self.json {
            let (correct, pictures) = (found.correct, found.pictures);
            let object = json!({
                "split": split,
                "accuracy": found.percent(),
                "correct": correct,
                "pictures": pictures,
                "loss": found.loss,
            });
            return super::super::print(&format!("{object}\n"));
        }
        super::super::print(&format!(
            "{split}: accuracy {:.2} % ({} of {}), loss {}\n",
            found.percent(),
            found.correct,
            found.pictures,
            readable(found.loss, 4)
        ))
    }
}
