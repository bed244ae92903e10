//! `nmt vision evaluate`: the accuracy of a trained network.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use nmt::Result;
use nmt::machine;
use nmt::progress::readable;
use nmt::vision::pictures::{PictureData, Split};
use nmt::vision::{Accuracy, classes_of, evaluate, percent};
use serde_json::json;

use super::column;
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
    /// Print a line for every class, too
    #[arg(long, conflicts_with = "json")]
    per_class: bool,
    /// Print one JSON object, with every class
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
        let pictures = self.pictures.open(self.split, &config)?;
        // An earlier version does not tell names with spaces apart.
        let same = |names: &Vec<String>| names.join(" ") == pictures.classes().join(" ");
        let classes = classes_of(&checkpoint)?.filter(|names| !same(names));
        let classes = classes.unwrap_or_else(|| pictures.classes().to_vec());
        let pictures = pictures.for_classes(&classes)?;
        let (batch_size, seed) = (self.trained.batch_size(&config), config.training.seed);
        let data = PictureData::new(pictures, config.augment.clone(), batch_size, seed, device)?;
        let (network, theta) = load(&checkpoint, &config, &classes, device)?;
        let found = evaluate(&network, &theta, &data, config.training.compute.kind());
        self.pictures.note_met(&data);
        let split = data.pictures().split().name();
        super::super::print(&self.text(split, &classes, &found?))
    }

    fn text(&self, split: &str, classes: &[String], found: &Accuracy) -> String {
        let Accuracy { correct, top_5, pictures, loss, by_class } = found;
        let of_classes = classes.iter().zip(by_class).map(|(name, (correct, all))| (name, *correct, *all));
        if self.json {
            let of_class = |(name, correct, pictures): (&String, i64, i64)| {
                let accuracy = percent(correct, pictures);
                json!({"class": name, "accuracy": accuracy, "correct": correct, "pictures": pictures})
            };
            let object = json!({
                "split": split,
                "accuracy": found.percent(),
                "correct": correct,
                "top_5_accuracy": percent(*top_5, *pictures),
                "pictures": pictures,
                "loss": loss,
                "classes": of_classes.map(of_class).collect::<Vec<_>>(),
            });
            return format!("{object}\n");
        }
        // Of few classes five are most.
        let five =
            if classes.len() > 10 { format!(", top 5 {:.2} %", percent(*top_5, *pictures)) } else { String::new() };
        let (accuracy, loss) = (found.percent(), readable(*loss, 4));
        let mut text = format!("{split}: accuracy {accuracy:.2} % ({correct} of {pictures}){five}, loss {loss}\n");
        if self.per_class {
            let line = |(name, correct, pictures): (&String, i64, i64)| {
                format!("{}\t{:.2} %\t{correct} of {pictures}\n", column(name), percent(correct, pictures))
            };
            text.extend(of_classes.map(line));
        }
        text
    }
}
