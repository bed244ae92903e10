//! `nmt export`: a trained model for other programs.

use std::path::{Path, PathBuf};

use nmt::error::Error;
use nmt::export::{MODEL_FILE, Precision, Unskipped, ctranslate2, plain};
use nmt::task::Task;
use nmt::text::SUBWORD_FILE;
use nmt::translation::ModelFolder;
use nmt::{Result, files, progress};
use tch::Device;

use super::model_options::check_new;

/// Arguments of `nmt export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt export --model run --to ctranslate2 --output run-ct2        ctranslate2.Translator(\"run-ct2\")
  nmt export --model run --to safetensors --precision fp16 --output weights.safetensors
docs/export.md says what each holds, and how text is treated around it.")]
pub struct ExportArgs {
    /// A run folder of `nmt train`, or one checkpoint in it
    #[arg(long, value_name = "RUN")]
    model: PathBuf,
    /// For which program
    #[arg(long, value_enum)]
    to: Program,
    /// The folder to write; of safetensors the file
    #[arg(long, value_name = "PATH")]
    output: PathBuf,
    /// What the numbers are
    #[arg(long, value_enum, default_value = "fp32")]
    precision: Precision,
    /// Replace --output
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Program {
    /// CTranslate2, from version 3.16 on
    Ctranslate2,
    /// Every block under fairseq's name
    Safetensors,
}

impl ExportArgs {
    /// Export.
    pub fn run(&self) -> Result<()> {
        check_new(&self.output, self.overwrite)?;
        let model = ModelFolder::open(&self.model, Device::Cpu)?;
        match self.to {
            Program::Safetensors => plain(&self.output, model.model.layout(), &model.theta, self.precision)?,
            Program::Ctranslate2 => {
                // Replacing a folder takes everything in it away.
                if self.output.exists() && !self.output.join(MODEL_FILE).is_file() {
                    let message = format!("{} is no folder of CTranslate2's, found other files", self.output.display());
                    return Err(Error::usage(message, "choose another --output"));
                }
                files::write_folder(&self.output, |folder| self.ctranslate2(&model, folder))?;
            }
        }
        super::print(&format!("{}\n", self.output.display()))
    }

    fn ctranslate2(&self, model: &ModelFolder, folder: &Path) -> Result<()> {
        let config = &model.config.model;
        let positions = model.model.positions();
        let place = model.checkpoint.display().to_string();
        let network = Unskipped::new(&place, config, model.model.layout(), &model.theta, &positions)?;
        if network.folded {
            progress::note("w_skip is folded into the weights beside it: rounding apart it is the same network");
        }
        let dictionaries = [&model.text.source_dictionary, &model.text.target_dictionary];
        ctranslate2(folder, config, &network, dictionaries, self.precision)?;
        files::copy_if_there(&model.folder.join(SUBWORD_FILE), &folder.join(SUBWORD_FILE))
    }
}
