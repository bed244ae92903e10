//! A run folder as a model: configuration, dictionaries, text pipeline and weights in one place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Device, Tensor};

use super::model_text::ModelText;
use crate::config::{Config, Configuration, note_edited};
use crate::data::{DataFolder, Dictionary, ParallelDataset, dictionary_path, is_name};
use crate::decode::{BatchSearch, Translator};
use crate::error::{Error, Result};
use crate::files;
use crate::model::Transformer;
use crate::params::safetensors_metadata;
use crate::progress;
use crate::task::Task;
use crate::text::{SETTINGS_FILE, SUBWORD_FILE, target_pieces_file};
use crate::train::{CONFIG, checkpoint_of, load_weights, trained_with};

/// What a checkpoint must have been trained with: languages and dictionaries. It is written into every checkpoint.
pub fn identity(
    source_lang: &str,
    target_lang: &str,
    source: &Dictionary,
    target: &Dictionary,
) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("source_lang".to_string(), source_lang.to_string()),
        ("target_lang".to_string(), target_lang.to_string()),
        ("source_dictionary".to_string(), source.hash()),
        ("target_dictionary".to_string(), target.hash()),
    ])
}

/// The Transformer of a configuration for the dictionaries of a dataset, and the identity of its checkpoints.
///
/// # Errors
/// As [`Transformer::new`]; [`Error::Usage`] for data of a model's own pieces that are turned round: they are of one direction.
pub fn model_for(dataset: &ParallelDataset, config: &Config) -> Result<(Transformer, BTreeMap<String, String>)> {
    let folder = &dataset.folder;
    let turned = folder.dir().join(target_pieces_file(folder.source_lang()));
    if turned.exists() {
        return Err(Error::usage(
            format!(
                "{}: expected data of {} as the source, found it as the target",
                turned.display(),
                folder.source_lang()
            ),
            "train in the direction of the model that the data were made for",
        ));
    }
    let (source, target) = (&dataset.source_dictionary, &dataset.target_dictionary);
    let identity = identity(dataset.folder.source_lang(), dataset.folder.target_lang(), source, target);
    let (symbols, smoothing) = ([source.len() as i64, target.len() as i64], config.training.label_smoothing);
    Ok((Transformer::new(&config.model, symbols[0], symbols[1], smoothing)?, identity))
}

/// Copy what a model needs of its data folder into a run folder: dictionaries, and tokenizer and preprocessing where
/// the folder has them.
pub fn copy_data_files(data: &DataFolder, run: &Path) -> Result<()> {
    let mut names = vec![SUBWORD_FILE.to_string(), SETTINGS_FILE.to_string(), target_pieces_file(data.target_lang())];
    names.extend([data.source_lang(), data.target_lang()].map(|lang| format!("dict.{lang}.txt")));
    for name in names {
        files::copy_if_there(&data.dir().join(&name), &run.join(&name))?;
    }
    Ok(())
}

/// Source and target language of a checkpoint.
///
/// # Errors
/// [`Error::Content`] where it does not say them.
pub fn languages_of(checkpoint: &Path) -> Result<[String; 2]> {
    let metadata = safetensors_metadata(checkpoint)?;
    let language = |key: &str| {
        let found = metadata.get(key);
        // It becomes part of a path.
        found.filter(|language| is_name(language)).cloned().ok_or_else(|| {
            let found = found.map_or("none".to_string(), |found| format!("{found:?}"));
            let next = "give a checkpoint that `nmt train` wrote";
            let expected = format!("a language code in the entry `{key}`");
            Error::content(checkpoint.display().to_string(), expected, found, next)
        })
    };
    Ok([language("source_lang")?, language("target_lang")?])
}

/// A trained model, ready to translate.
pub struct ModelFolder {
    /// The folder.
    pub folder: PathBuf,
    /// The checkpoint that was read.
    pub checkpoint: PathBuf,
    /// The configuration it was trained with.
    pub config: Config,
    /// The language translated from.
    pub source_lang: String,
    /// The language translated into.
    pub target_lang: String,
    /// Raw text to source ids, target ids to text.
    pub text: ModelText,
    /// The network.
    pub model: Transformer,
    /// Its parameters.
    pub theta: Tensor,
    /// Networks of other run folders over the same dictionaries, with their parameters, that translate together with this one.
    companions: Vec<(PathBuf, Transformer, Tensor)>,
}

impl ModelFolder {
    /// Open several run folders or checkpoints that translate together, each token by the mean of their probabilities. Text is
    /// treated, and configured, as in the first.
    ///
    /// # Errors
    /// As [`ModelFolder::open`]; [`Error::Content`] for models of other languages or dictionaries than the first's, and
    /// [`Error::Usage`] for none.
    pub fn open_all(folders: &[PathBuf], device: Device) -> Result<ModelFolder> {
        let Some((first, others)) = folders.split_first() else {
            return Err(Error::usage("expected a model, found none", "give the --output folder of `nmt train`"));
        };
        let mut model = ModelFolder::open(first, device)?;
        for other in others {
            let other = ModelFolder::open(other, device)?;
            let pair = |model: &ModelFolder| format!("{} → {}", model.source_lang, model.target_lang);
            if pair(&other) != pair(&model) {
                let (expected, found) = (format!("a model of {}", pair(&model)), format!("one of {}", pair(&other)));
                let next = "models that translate together translate the same languages";
                return Err(Error::content(other.checkpoint.display().to_string(), expected, found, next));
            }
            let ModelText { source_dictionary, target_dictionary, .. } = &other.text;
            model.check_dictionaries(&other.folder, source_dictionary, target_dictionary)?;
            if other.config.search != model.config.search {
                progress::note(format!(
                    "{} was trained with another [search] than {}, whose search.beam {} and search.length_penalty {} count \
                     where no option says otherwise",
                    other.folder.display(),
                    model.folder.display(),
                    model.config.search.beam,
                    model.config.search.length_penalty
                ));
            }
            model.companions.push((other.checkpoint, other.model, other.theta));
        }
        Ok(model)
    }

    /// The checkpoints of all models that translate together.
    pub fn checkpoints(&self) -> String {
        let all = std::iter::once(&self.checkpoint).chain(self.companions.iter().map(|(checkpoint, ..)| checkpoint));
        all.map(|checkpoint| checkpoint.display().to_string()).collect::<Vec<_>>().join(" + ")
    }

    /// Open the run folder `folder`, or the checkpoint `folder` inside one: `best`, or `last` where there is no best.
    ///
    /// # Errors
    /// When a file is missing, damaged, or belongs to other dictionaries.
    pub fn open(folder: &Path, device: Device) -> Result<ModelFolder> {
        let (folder, checkpoint) = checkpoint_of(folder)?;
        let is_checkpoint = checkpoint.extension().is_some_and(|extension| extension == "safetensors");
        let refuse = |found: &str| {
            Error::content(
                checkpoint.display().to_string(),
                "a checkpoint (.safetensors) of `nmt train`",
                found,
                "give the --output folder of `nmt train` (what `nmt gradinit` writes is a start for it, no trained model; \
                 `nmt import` makes one of fairseq's checkpoint); \
                 translations in files are scored with --references instead of --data",
            )
        };
        if !is_checkpoint {
            return Err(refuse("another file"));
        }
        let beside = folder.join(CONFIG);
        let (text, place) = match trained_with(&checkpoint) {
            Err(Error::Io { .. }) if checkpoint.is_file() && !beside.exists() => {
                return Err(refuse(&format!("one without a configuration, and no {CONFIG} beside it")));
            }
            found => found?,
        };
        let config = Config::parse_saved(&text, &place.display().to_string(), &[])?;
        note_edited(&config, &beside, &["model", "search"])?;
        let [source_lang, target_lang] = languages_of(&checkpoint)?;
        let text = ModelText::load(&folder, &source_lang, &target_lang)?;
        let (source, target) = (&text.source_dictionary, &text.target_dictionary);
        let symbols = [source, target].map(|dictionary| dictionary.len() as i64);
        let model = Transformer::new(&config.model, symbols[0], symbols[1], config.training.label_smoothing)?;
        let identity = identity(&source_lang, &target_lang, source, target);
        let theta = load_weights(&checkpoint, model.layout(), &identity)?.to_device(device);
        let companions = Vec::new();
        Ok(ModelFolder { folder, checkpoint, config, source_lang, target_lang, text, model, theta, companions })
    }

    /// What translates source ids ([`ModelText::encode`]) as these options say.
    ///
    /// # Errors
    /// None for a folder that was opened.
    pub fn translator(&self, options: &BatchSearch) -> Result<Translator<'_>> {
        let companions = self.companions.iter().map(|(_, model, theta)| (model, theta));
        let members: Vec<(&Transformer, &Tensor)> =
            std::iter::once((&self.model, &self.theta)).chain(companions).collect();
        Translator::new(&members, options)
    }

    /// Refuse data that were binarised with other dictionaries.
    pub fn check_dictionaries(&self, dir: &Path, source: &Dictionary, target: &Dictionary) -> Result<()> {
        let ours = [&self.text.source_dictionary, &self.text.target_dictionary];
        for (ours, theirs, lang) in [(ours[0], source, &self.source_lang), (ours[1], target, &self.target_lang)] {
            if ours.hash() != theirs.hash() {
                return Err(Error::content(
                    dictionary_path(dir, lang).display().to_string(),
                    format!(
                        "the dictionary that the model in {} was trained with ({} entries)",
                        self.folder.display(),
                        ours.len()
                    ),
                    format!("another one ({} entries)", theirs.len()),
                    "use the data folder that the model was trained on, or preprocess with its dictionaries and tokenizer",
                ));
            }
        }
        Ok(())
    }
}
