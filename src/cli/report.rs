//! `nmt report`: runs on one page that opens without a network.

use std::path::{Path, PathBuf};

use nmt::data::ParallelDataset;
use nmt::plot::{RunLog, learning_curve, scale_trajectory};
use nmt::report::{Figure, Page, RunSummary, Sample, samples};
use nmt::translation::ModelFolder;
use nmt::{Error, Result, files, machine};

use super::plot::named;
use super::translate::SearchOptions;

/// Arguments of `nmt report`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt report run-1 run-2 --gradinit init.trajectory.jsonl --output report.html
  nmt report run --data data --split test --samples 10 --figure init.svg --output report.html")]
pub struct ReportArgs {
    /// Run folders
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page to write
    #[arg(long, value_name = "FILE.html")]
    output: PathBuf,
    /// Translate some sentences of this data folder with the first run's model, and show what its decoder looked at
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Their split
    #[arg(long, value_name = "SPLIT", default_value = "valid", requires = "data")]
    split: String,
    /// How many, spread over the split
    #[arg(long, value_name = "N", default_value_t = 6, requires = "data", value_parser = clap::value_parser!(u16).range(1..=1000))]
    samples: u16,
    /// Draw the trajectory that `nmt gradinit` wrote; may be repeated
    #[arg(long, value_name = "TRAJECTORY.jsonl")]
    gradinit: Vec<PathBuf>,
    /// Put a picture on the page, .svg or .png, such as that of `nmt inspect`; may be repeated
    #[arg(long, value_name = "FILE")]
    figure: Vec<PathBuf>,
    /// The page's title
    #[arg(long, value_name = "TEXT", default_value = "Training runs")]
    title: String,
    #[command(flatten)]
    search: SearchOptions,
}

impl ReportArgs {
    /// Whether sentences are translated for it.
    pub fn translates(&self) -> bool {
        self.data.is_some()
    }

    /// Write the page without translations.
    ///
    /// # Errors
    /// [`Error::Usage`] for options of a search that there is none of.
    pub fn run_on_text(&self) -> Result<()> {
        if let Some(option) = self.search.given() {
            let next = "give --data, or leave it out";
            return Err(Error::usage(format!("{option} is for translating: expected --data, too"), next));
        }
        self.write(Vec::new(), String::new())
    }

    /// Write the page.
    pub fn run(&self) -> Result<()> {
        let Some(data) = &self.data else { return self.run_on_text() };
        let (samples, samples_of) = self.translations(data)?;
        self.write(samples, samples_of)
    }

    fn write(&self, samples: Vec<Sample>, samples_of: String) -> Result<()> {
        let logs = named(&self.runs)?;
        let runs: Vec<RunSummary> =
            logs.iter().map(|(name, log)| RunSummary::read(name, log)).collect::<Result<_>>()?;
        // A run that has just begun, or whose every loss is not a number, has no curve.
        let (mut of_text, mut of_pictures) = (Vec::new(), Vec::new());
        for (name, log) in logs {
            match RunLog::read(&name, &log) {
                Ok(run) if run.of_pictures() => of_pictures.push((name, log)),
                Ok(_) => of_text.push((name, log)),
                Err(_) => {}
            }
        }
        let mut figures = Vec::new();
        for runs in [of_text, of_pictures] {
            if !runs.is_empty() {
                figures.push(drawn("Learning curves", |path| learning_curve(&runs, path))?);
            }
        }
        for path in &self.gradinit {
            let caption = format!("GradInit: {}", path.display());
            figures.push(drawn(&caption, |picture| scale_trajectory(path, picture))?);
        }
        for path in &self.figure {
            figures.push(picture(path)?);
        }
        let page = Page { title: self.title.clone(), runs, figures, samples_of, samples };
        files::write_whole(&self.output, page.html().as_bytes())?;
        super::print(&format!("{}\n", self.output.display()))
    }

    fn translations(&self, data: &Path) -> Result<(Vec<Sample>, String)> {
        let Some(run) = self.runs.first() else { return Ok((Vec::new(), String::new())) };
        let device = machine::device();
        let model = ModelFolder::open(run, device)?;
        let options = self.search.resolve(&model.config)?;
        let dataset = ParallelDataset::open(data, &self.split, Some(&model.source_lang), Some(&model.target_lang))?;
        model.check_dictionaries(data, &dataset.source_dictionary, &dataset.target_dictionary)?;
        let found = samples(&model, &dataset, &options, usize::from(self.samples), device)?;
        let of = format!(
            "{} of the {} sentences of the split {}, by {} with a beam of {}.",
            found.len(),
            dataset.len(),
            self.split,
            model.checkpoint.display(),
            options.search.beam
        );
        Ok((found, of))
    }
}

/// A picture that `draw` writes to a file.
fn drawn(caption: &str, draw: impl FnOnce(&Path) -> Result<()>) -> Result<Figure> {
    let folder = tempfile::tempdir().map_err(Error::io("make", "a temporary folder"))?;
    let path = folder.path().join("picture.svg");
    draw(&path)?;
    Ok(Figure { caption: caption.to_string(), ..picture(&path)? })
}

fn picture(path: &Path) -> Result<Figure> {
    let media_type = match nmt::plot::Format::of(path)? {
        nmt::plot::Format::Svg => "image/svg+xml",
        nmt::plot::Format::Png => "image/png",
    };
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    Ok(Figure { caption: path.display().to_string(), media_type, bytes })
}
