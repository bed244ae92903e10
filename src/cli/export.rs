//! `nmt export`: a trained model for other programs.

use std::path::{Path, PathBuf};

use nmt::error::Error;
use nmt::export::{
    HuggingFaceText, MODEL_FILE, Precision, SOURCE_VOCABULARY, Unskipped, ctranslate2, hugging_face, plain,
};
use nmt::task::Task;
use nmt::text::{SUBWORD_FILE, Tokenization};
use nmt::translation::ModelFolder;
use nmt::{Result, files, progress};
use tch::Device;

use super::model_options::check_new;

/// Arguments of `nmt export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt export --model run --to ctranslate2 --output run-ct2        ctranslate2.Translator(\"run-ct2\")
  nmt export --model run --to huggingface --output run-hf        FSMTForConditionalGeneration.from_pretrained(\"run-hf\")
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
    /// Hugging Face's transformers: FSMT, fairseq's Transformer there
    #[value(name = "huggingface")]
    HuggingFace,
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
                self.check_replaced(MODEL_FILE, "CTranslate2's")?;
                files::write_folder(&self.output, |folder| self.ctranslate2(&model, folder))?;
            }
            Program::HuggingFace => {
                self.check_replaced(SOURCE_VOCABULARY, "FSMT's")?;
                files::write_folder(&self.output, |folder| self.hugging_face(&model, folder))?;
            }
        }
        super::print(&format!("{}\n", self.output.display()))
    }

    /// Replacing a folder takes everything in it away.
    fn check_replaced(&self, file: &str, whose: &str) -> Result<()> {
        if self.output.exists() && !self.output.join(file).is_file() {
            let message = format!("{} is no folder of {whose}, found other files", self.output.display());
            return Err(Error::usage(message, "choose another --output"));
        }
        Ok(())
    }

    fn hugging_face(&self, model: &ModelFolder, folder: &Path) -> Result<()> {
        let settings = model.text.settings();
        let text = HuggingFaceText {
            languages: [&model.source_lang, &model.target_lang],
            dictionaries: [&model.text.source_dictionary, &model.text.target_dictionary],
            merges: model.text.merges(),
            lowercase: settings.is_some_and(|settings| settings.lowercase || settings.lowercase_first),
        };
        let alike = settings.is_some_and(|settings| {
            settings.tokenizer == Tokenization::Moses
                && settings.normalize
                && settings.aggressive_hyphens
                && !settings.no_escape
        });
        let place = model.checkpoint.display().to_string();
        let network = (model.model.layout(), &model.theta);
        hugging_face(folder, &place, &model.config, network, &text, self.precision)?;
        if !alike || text.merges.is_empty() {
            progress::note(
                "FSMTTokenizer normalises punctuation, tokenises as Moses does with -a, and cuts words by byte-pair encoding; \
                 the text of this model was treated otherwise (`nmt preprocess --normalize --aggressive-hyphens` treats it so): give it words (docs/export.md)",
            );
        }
        Ok(())
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
