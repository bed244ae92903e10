//! `nmt import`: another program's model as a run folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nmt::config::{Config, Configuration, describe};
use nmt::data::{DataFolder, Dictionary, dictionary_path, is_name};
use nmt::error::Error;
use nmt::import::{FairseqCheckpoint, MarianModel, OptimizerState};
use nmt::model::Transformer;
use nmt::params::Layout;
use nmt::task::Task;
use nmt::text::{
    SETTINGS_FILE, SUBWORD_FILE, SentencePiece, Subword, TextSettings, Tokenization, language_code, target_pieces_file,
};
use nmt::train::{BEST, CONFIG, Checkpoint, LAST, LOG};
use nmt::translation::identity;
use nmt::{Result, files, progress};
use tch::{Device, Kind, Tensor};

/// The weights as they were imported.
const IMPORTED: &str = "imported.safetensors";

/// Arguments of `nmt import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nmt import --checkpoint checkpoints/checkpoint_best.pt --data data-bin --output run
  nmt import --checkpoint model.pt --data data-bin --bpe codes --tokenizer moses --output run   for raw text
  nmt import --marian opus-mt-de-en --output run                                                 of Hugging Face
  nmt score  --model run --data data-bin
  nmt train  --data data-bin --output run --resume --max-updates 60000                           go on with it
Nothing in the checkpoint is executed.")]
pub struct ImportArgs {
    /// A checkpoint of fairseq-train, transformer_iwslt_de_en and its kin
    #[arg(long, value_name = "FILE.pt", required_unless_present = "marian")]
    checkpoint: Option<PathBuf>,
    /// Its data folder, or a folder with its dict.LANG.txt
    #[arg(long, value_name = "DIR", required_unless_present = "marian")]
    data: Option<PathBuf>,
    /// A folder of Hugging Face's MarianMTModel, such as one of Helsinki-NLP's opus-mt models, instead
    #[arg(long, value_name = "DIR", conflicts_with_all = ["checkpoint", "data", "bpe", "tokenizer", "lowercase"])]
    marian: Option<PathBuf>,
    /// The run folder to make
    #[arg(long, value_name = "RUN")]
    output: PathBuf,
    /// The byte-pair encoding of its text, subword-nmt's codes or a tokenizer.json
    #[arg(long, value_name = "FILE")]
    bpe: Option<PathBuf>,
    /// How raw text was tokenised. With none of --bpe, --tokenizer and --lowercase text is treated as the data folder says, where
    /// `nmt preprocess` made it
    #[arg(long, value_enum)]
    tokenizer: Option<Tokenization>,
    /// Raw text was lower-cased
    #[arg(long)]
    lowercase: bool,
    /// Set one key of the configuration over what the checkpoint says, such as schedule.learning_rate=1e-4; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The language translated from, where neither the checkpoint nor the data folder tells
    #[arg(long, value_name = "LANG")]
    source_lang: Option<String>,
    /// The language translated into
    #[arg(long, value_name = "LANG")]
    target_lang: Option<String>,
}

impl ImportArgs {
    /// Import.
    pub fn run(&self) -> Result<()> {
        if self.output.exists() {
            let message = format!("{} exists already", self.output.display());
            return Err(Error::usage(message, "choose another --output, or move what is there away"));
        }
        let imported = match (&self.checkpoint, &self.data, &self.marian) {
            (Some(checkpoint), Some(data), None) => self.of_fairseq(checkpoint, data)?,
            (None, None, Some(folder)) => self.of_marian(folder)?,
            _ => return Err(Error::usage("expected --checkpoint and --data, or --marian", "see `nmt import --help`")),
        };
        let Imported { config, languages, dictionaries, model, theta, optimizer, .. } = &imported;
        let identity = identity(&languages[0], &languages[1], &dictionaries[0], &dictionaries[1]);
        files::write_folder(&self.output, |run| {
            for (lang, dictionary) in languages.iter().zip(dictionaries) {
                dictionary.save(&dictionary_path(run, lang))?;
            }
            match &imported.pieces {
                Some(pieces) => {
                    let words = dictionaries[0].iter().map(|(word, _)| word);
                    let codes: Vec<&str> = words.filter(|word| language_code(word) == *word).collect();
                    pieces.save(&run.join(SUBWORD_FILE), &codes)?;
                    if let Some(of_target) = &imported.target_pieces {
                        of_target.save(&run.join(target_pieces_file(&languages[1])), &[])?;
                    }
                }
                None => self.write_text_settings(run)?,
            }
            let described = describe(config)?;
            // Nothing was trained here yet: of a run that goes on the log begins here.
            files::write_whole(&run.join(LOG), b"")?;
            files::write_whole(&run.join(CONFIG), described.as_bytes())?;
            let built = config.optimizer.build(theta, model.layout());
            let mut whole = Checkpoint::start(theta.shallow_clone(), built);
            whole.state.config = described;
            if let Some(state) = optimizer {
                restore(&mut whole, state, model.layout());
                whole.save(&run.join(LAST), model, &identity)?;
            }
            // The first validation of a run that goes on makes a new `best`: what was imported stays beside it.
            whole.save_weights(&run.join(IMPORTED), model, &identity)?;
            whole.save_weights(&run.join(BEST), model, &identity)
        })?;
        note(&imported);
        super::print(&format!("{}\n", self.output.display()))
    }

    fn of_fairseq(&self, path: &Path, data: &Path) -> Result<Imported> {
        let checkpoint = FairseqCheckpoint::open(path)?;
        let mut config = self.over(&checkpoint.config()?)?;
        let languages = self.languages(&checkpoint, data)?;
        let [source, target] = languages.each_ref().map(|lang| Dictionary::load(&dictionary_path(data, lang)));
        let dictionaries = [source?, target?];
        let optimizer = checkpoint.optimizer_state()?;
        let updates = optimizer.as_ref().map_or(0, |state| state.updates);
        config.training.max_updates = config.training.max_updates.max(updates);
        let (model, theta) = built(&config, &dictionaries, path, &checkpoint.weights()?)?;
        Ok(Imported { config, languages, dictionaries, model, theta, optimizer, pieces: None, target_pieces: None })
    }

    fn of_marian(&self, folder: &Path) -> Result<Imported> {
        let marian = MarianModel::open(folder)?;
        let config = self.over(&marian.config()?)?;
        let [source, target] = marian.languages();
        let languages = match (self.source_lang.as_deref().or(source), self.target_lang.as_deref().or(target)) {
            (Some(source), Some(target)) if source != target && is_name(source) && is_name(target) => {
                [source.to_string(), target.to_string()]
            }
            (source, target) => {
                let found = [source, target].map(|lang| lang.unwrap_or("none")).join(" and ");
                let message = format!("{}: expected two languages, such as de and en, found {found}", folder.display());
                return Err(Error::usage(message, "give --source-lang and --target-lang"));
            }
        };
        let dictionaries = marian.dictionaries();
        let (model, theta) = built(&config, &dictionaries, folder, &marian.weights()?)?;
        let pieces = Some(marian.pieces()?);
        let target_pieces = marian.target_pieces().unwrap_or_else(|error| {
            progress::note(format!("warning: {error}"));
            None
        });
        Ok(Imported { config, languages, dictionaries, model, theta, optimizer: None, pieces, target_pieces })
    }

    /// The imported settings with what `--set` says over them.
    fn over(&self, config: &Config) -> Result<Config> {
        let mut config = Config::parse(&config.to_toml()?, "the model's settings", &self.set)?;
        config.training.compute = config.training.compute.resolved();
        Ok(config)
    }

    fn languages(&self, checkpoint: &FairseqCheckpoint, data: &Path) -> Result<[String; 2]> {
        let [source, target] = checkpoint.languages();
        let given = [self.source_lang.as_deref().or(source), self.target_lang.as_deref().or(target)];
        if let [Some(source), Some(target)] = given {
            let folder = DataFolder::open(data, None, None);
            if folder.is_ok_and(|folder| (folder.source_lang(), folder.target_lang()) == (target, source)) {
                progress::note(format!(
                    "warning: the data are {target} → {source}, and {source} → {target} was asked for"
                ));
            }
            return Ok([source.to_string(), target.to_string()]);
        }
        let folder = DataFolder::open(data, given[0], given[1]).map_err(|error| match error {
            Error::Content { .. } => Error::usage(
                format!("{}: neither the checkpoint nor the names of its files tell the languages", data.display()),
                "give --source-lang and --target-lang",
            ),
            other => other,
        })?;
        Ok([folder.source_lang().to_string(), folder.target_lang().to_string()])
    }

    /// How raw text becomes what the model reads: as the options say, or else as the data folder does.
    fn write_text_settings(&self, run: &Path) -> Result<()> {
        let as_data = self.bpe.is_none() && self.tokenizer.is_none() && !self.lowercase;
        if let (Some(data), true) = (&self.data, as_data) {
            files::copy_if_there(&data.join(SUBWORD_FILE), &run.join(SUBWORD_FILE))?;
            return files::copy_if_there(&data.join(SETTINGS_FILE), &run.join(SETTINGS_FILE));
        }
        if let Some(path) = &self.bpe {
            Subword::read(path)?.save(&run.join(SUBWORD_FILE))?;
        }
        let tokenizer = self.tokenizer.unwrap_or(Tokenization::None);
        let text = TextSettings { tokenizer, lowercase: self.lowercase, ..TextSettings::default() };
        let settings = serde_json::json!({"text": text});
        files::write_json(&run.join(SETTINGS_FILE), &settings)
    }
}

/// A model of another program, in the terms of this one.
struct Imported {
    config: Config,
    languages: [String; 2],
    dictionaries: [Dictionary; 2],
    model: Transformer,
    theta: Tensor,
    optimizer: Option<OptimizerState>,
    /// How raw text becomes pieces, where the model says it itself.
    pieces: Option<SentencePiece>,
    /// The same of the target's, for texts to train on.
    target_pieces: Option<SentencePiece>,
}

/// The network, and its weights as θ.
fn built(
    config: &Config,
    dictionaries: &[Dictionary; 2],
    path: &Path,
    weights: &BTreeMap<String, Tensor>,
) -> Result<(Transformer, Tensor)> {
    let [source, target] = dictionaries.each_ref().map(|dictionary| dictionary.len() as i64);
    let model = Transformer::new(&config.model, source, target, config.training.label_smoothing)?;
    let (layout, place) = (model.layout(), path.display().to_string());
    if let Some(unknown) = weights.keys().find(|name| !layout.knows(name)) {
        let found = format!("`{unknown}`, which is none of its tensors");
        let next = "such networks cannot be imported";
        return Err(Error::content(place, "the Transformer of its settings", found, next));
    }
    let theta = layout.gather(&place, |name| Ok(weights.get(name).map(Tensor::shallow_clone)))?;
    Ok((model, theta))
}

fn note(imported: &Imported) {
    let Imported { config, model, optimizer, .. } = imported;
    let resumed = match optimizer {
        Some(state) => format!("Adam's memory of {} updates, so that --resume goes on with it", state.updates),
        None if imported.pieces.is_some() && imported.target_pieces.is_none() => {
            "without target.spm, which cuts what it is trained on, it translates alone".into()
        }
        None if imported.pieces.is_some() => {
            "train on from it by `nmt preprocess --model RUN`, and then --config RUN/config.toml --init RUN/best.safetensors".into()
        }
        None => "no memory of an optimiser that goes with the weights: train on from it by --init RUN/best.safetensors"
            .into(),
    };
    progress::note(format!(
        "{} + {} layers of width {}, {} parameters; {resumed}",
        config.model.encoder_layers,
        config.model.decoder_layers,
        config.model.embed_dim,
        model.layout().total()
    ));
}

/// Take over what fairseq's Adam remembers.
fn restore(checkpoint: &mut Checkpoint, state: &OptimizerState, layout: &Layout) {
    let vectors = [0, 1].map(|which| {
        let vector = Tensor::zeros([layout.total()], (Kind::Float, Device::Cpu));
        for block in layout.blocks() {
            let Some(pair) = state.moments.get(&block.name) else { continue };
            let moment = if which == 0 { &pair.0 } else { &pair.1 };
            vector.narrow(0, block.offset, block.numel()).copy_(&moment.reshape([-1]));
        }
        vector
    });
    checkpoint.optimizer.restore(vectors.into(), state.updates);
    checkpoint.state.update = state.updates;
    checkpoint.state.epoch = state.epoch;
    if state.at_start && state.epoch > 1 {
        // The epoch before is done, as a run here counts: whether there is another one is decided when it goes on.
        checkpoint.state.epoch -= 1;
        checkpoint.state.batches_done = u32::MAX as usize;
    }
}
