//! `nmt vision predict`: the classes of pictures that nobody has sorted.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nmt::Result;
use nmt::error::Error;
use nmt::machine;
use nmt::progress::Progress;
use nmt::vision::pictures::{Unlabelled, UnlabelledBatch};
use nmt::vision::{classes_of, predict};
use serde_json::json;

use super::column;
use super::options::{ReadingOptions, threads};
use super::trained::{TrainedOptions, load};

/// Arguments of `nmt vision predict`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt vision predict --model run cat.jpg pictures/
  find pictures -name '*.png' | nmt vision predict --model run --top 5 --json -")]
pub struct PredictArgs {
    #[command(flatten)]
    trained: TrainedOptions,
    /// Pictures, and folders, of which all pictures are taken; `-`: their names from standard input, one a line
    #[arg(required = true, value_name = "PICTURE")]
    pictures: Vec<PathBuf>,
    /// How many classes to name of every picture, the most probable first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    #[command(flatten)]
    reading: ReadingOptions,
    /// Print a JSON object for every picture
    #[arg(long)]
    json: bool,
}

impl PredictArgs {
    /// Print a line for every picture, in their order: its name, and class and probability, separated by tabs.
    pub fn run(&self) -> Result<()> {
        let (checkpoint, config) = self.trained.find()?;
        let architecture = config.network.architecture;
        let mut pictures =
            Unlabelled::find(architecture.takes(), &self.paths()?, self.reading.of(architecture, threads()))?;
        let classes = classes_of(&checkpoint)?.ok_or_else(|| {
            let next = "give a checkpoint that `nmt vision train` wrote";
            Error::content(checkpoint.display().to_string(), "the names of its classes", "none", next)
        })?;
        let device = machine::device();
        let (network, theta) = load(&checkpoint, &config, &classes, device)?;
        let (total, batch_size) = (pictures.files().len(), self.trained.batch_size(&config));
        let mut progress = Progress::new("predict", Some(total as u64));
        let mut outcome = Ok(());
        for start in (0..total).step_by(batch_size) {
            let UnlabelledBatch { places, pictures: batch, failed } = pictures.batch(start, batch_size, device)?;
            let found = batch.map_or(Ok(Vec::new()), |batch| {
                predict(&network, &theta, &batch, self.top as usize, config.training.compute.kind())
            })?;
            let line = |(place, found): (&usize, &Vec<(usize, f64)>)| {
                let named = found.iter().map(|(class, share)| (classes[*class].as_str(), *share)).collect::<Vec<_>>();
                self.line(&pictures.files()[*place], &named)
            };
            super::super::print(&places.iter().zip(&found).map(line).collect::<String>())?;
            if let Some(error) = failed {
                outcome = Err(error);
                break;
            }
            progress.add(batch_size.min(total - start) as u64);
        }
        drop(progress);
        pictures.note_met();
        outcome
    }

    /// What the arguments name, with what standard input names in the place of `-`.
    fn paths(&self) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for path in &self.pictures {
            if path != Path::new("-") {
                paths.push(path.clone());
                continue;
            }
            // Names of files are bytes.
            for line in std::io::stdin().lock().split(b'\n') {
                let mut line = line.map_err(Error::io("read", "standard input"))?;
                line.pop_if(|last| *last == b'\r');
                paths.extend((!line.is_empty()).then(|| PathBuf::from(OsString::from_vec(line))));
            }
        }
        Ok(paths)
    }

    fn line(&self, picture: &Path, found: &[(&str, f64)]) -> String {
        let picture = picture.display().to_string();
        if self.json {
            let class = |(class, share): &(&str, f64)| json!({"class": class, "probability": share});
            let classes: Vec<serde_json::Value> = found.iter().map(class).collect();
            return format!("{}\n", json!({"picture": picture, "classes": classes}));
        }
        let columns: String = found.iter().map(|(class, share)| format!("\t{}\t{share:.4}", column(class))).collect();
        format!("{}{columns}\n", column(&picture))
    }
}
