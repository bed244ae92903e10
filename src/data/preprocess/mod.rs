//! Raw text to a binarised dataset: tokenise, clean, learn or take a byte-pair encoding, make dictionaries, binarise.
//!
//! The text is read once. Every distinct word gets a number and stays in memory with its counts; the numbers of the words
//! of a line go to temporary files inside the unfinished output folder. Merges and dictionaries are made from the counts,
//! every distinct word is cut into pieces once (under BPE-dropout, every word of the training text), and the temporary
//! files become `.bin` and `.idx`. Memory grows with the number of distinct words, but not with the text.

mod options;
mod output;
mod pieces_to_ids;
mod report;
mod spool;
mod text_to_words;
mod vocabulary;
mod words_to_pieces;

use std::fs;
use std::num::NonZero;
use std::path::Path;

use serde::Serialize;

pub use options::{Bpe, DictionaryOptions, DropoutOptions, PreprocessOptions, Recipe};
pub use report::{DictionaryReport, DroppedPairs, PreprocessReport, SideReport, SplitReport};

use super::agreement::file_hash;
use super::{Dictionary, DictionaryLimits, dictionary_path};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::{self, Progress};
use crate::text::{
    BpeDropout, LengthFilter, SETTINGS_FILE, SUBWORD_FILE, SentencePiece, Subword, TextPipeline, learn_merges,
    target_pieces_file,
};
use options::TRAIN;
use output::OutputFolder;
use pieces_to_ids::PiecesToIds;
use text_to_words::{TextToWords, spooled};
use vocabulary::{Vocabulary, both};
use words_to_pieces::{DropOut, Pieces};

/// Make a dataset: `dict.LANG.txt`, `SPLIT.SRC-TGT.LANG.bin` and `.idx` as fairseq-preprocess writes them,
/// `tokenizer.json` where there are pieces of words, and `preprocess.json` with the settings and the report, from
/// which [`TextPipeline::load`] takes up the way of the text again.
///
/// The output depends on the text and the options only, and appears whole or not at all. `signal` is asked from time to
/// time whether a signal has come, and which.
///
/// # Errors
/// [`Error::Usage`] for options that do not fit together, and a folder that may not be replaced;
/// [`Error::Content`] for a text that is missing, is not UTF-8, is empty or does not have two sides of the same length;
/// [`Error::Interrupted`] on a signal.
pub fn preprocess(options: &PreprocessOptions, signal: impl Fn() -> Option<i32>) -> Result<PreprocessReport> {
    let check_signal = || match signal() {
        Some(signal) => Err(Error::Interrupted {
            signal,
            saved: "nothing was written; to make the dataset, run the command again".to_string(),
        }),
        None => Ok(()),
    };
    let mut splits = options.splits()?;
    let [source, target] = options.languages();
    let pipelines = [TextPipeline::new(source, &options.text)?, TextPipeline::new(target, &options.text)?];
    let unigram = match &options.bpe {
        Bpe::Unigram([of_source, of_target]) => Some([unigram(of_source)?, unigram(of_target)?]),
        _ => None,
    };
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let output = OutputFolder::create(&options.output, options.overwrite)?;
    let spool = output.path().join("words");
    fs::create_dir(&spool).map_err(Error::io("create the folder", &spool))?;

    let unpacked = output.path().join("text");
    if let Some(recipe) = &options.recipe {
        fs::create_dir(&unpacked).map_err(Error::io("create the folder", &unpacked))?;
        splits = recipe.extract(options.languages(), &unpacked, options.has_dictionaries())?;
    }

    let mut vocabulary = Vocabulary::default();
    let mut reports = Vec::new();
    for split in &splits {
        let filter = if split.train { options.lengths } else { LengthFilter::default() };
        let unigram = unigram.as_ref();
        let stage = TextToWords { split, pipelines: &pipelines, unigram, filter, spool: &spool, threads };
        reports.extend(stage.run(&mut vocabulary, &check_signal)?);
    }
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(Error::io("remove", &unpacked))?;
    }
    let has_train = splits.iter().any(|split| split.train);

    let subword = match &options.bpe {
        Bpe::None | Bpe::Unigram(_) => None,
        // Without a training text there is nothing to learn from.
        Bpe::Merges(_) if !has_train => None,
        Bpe::Merges(merges) => Some(learn(&vocabulary, *merges, &check_signal)?),
        Bpe::File(path) => Some(Subword::read(path)?),
    };
    let whole = unigram.is_some();
    let mut pieces = Pieces::of(&vocabulary, subword.as_ref(), whole, threads, &check_signal)?;
    // Besides the pieces without dropout, of which other texts consist.
    let dropout = options.bpe_dropout.filter(|_| has_train && subword.is_some());
    if let (Some(given), Some(subword)) = (&dropout, &subword) {
        let encoding = BpeDropout::new(subword.merges(), given.probability, given.seed)?;
        let stage = DropOut { encoding: &encoding, copies: given.copies, words: &vocabulary, threads };
        for (side, language) in options.languages().into_iter().enumerate() {
            stage.run(&spooled(&spool, TRAIN, language), side, &mut pieces, &check_signal)?;
        }
    }
    drop(vocabulary);
    let dictionaries = dictionaries(options, &pieces.vocabulary)?;

    for report in &mut reports {
        let dropped_out = dropout.filter(|_| report.split == TRAIN);
        for (side, dictionary) in report.sides.iter_mut().zip(&dictionaries) {
            let prefix = output.path().join(format!("{}.{source}-{target}.{}", report.split, side.language));
            let path = spooled(&spool, &report.split, &side.language);
            let lines = report.kept * dropped_out.map_or(1, |given| given.copies);
            let progress = Progress::new(format!("binarise {}.{}", report.split, side.language), Some(lines));
            let stage = PiecesToIds { path: &path, pieces: &pieces, of_words: dropped_out.is_none(), dictionary };
            (side.tokens, side.unknown) = stage.run(&prefix, progress, &check_signal)?;
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    fs::remove_dir(&spool).map_err(Error::io("remove", &spool))?;

    for (language, dictionary) in options.languages().into_iter().zip(&dictionaries) {
        dictionary.save(&dictionary_path(output.path(), language))?;
    }
    let tokenizer = output.path().join(SUBWORD_FILE);
    match (&subword, &options.bpe) {
        (Some(subword), _) => subword.save(&tokenizer)?,
        (None, Bpe::Unigram([of_source, of_target])) => {
            files::copy_if_there(of_source, &tokenizer)?;
            files::copy_if_there(of_target, &output.path().join(target_pieces_file(target)))?;
        }
        (None, _) => {}
    }
    let entry = |language: &str, dictionary: &Dictionary| DictionaryReport {
        language: language.to_string(),
        size: dictionary.len(),
        hash: dictionary.hash(),
    };
    let report = PreprocessReport {
        dictionaries: [entry(source, &dictionaries[0]), entry(target, &dictionaries[1])],
        bpe_merges: subword.as_ref().map(|subword| subword.merges().len()),
        tokenizer_hash: tokenizer.exists().then(|| file_hash(&tokenizer)).transpose()?,
        bpe_dropout: dropout,
        splits: reports,
    };
    save_settings(&output.path().join(SETTINGS_FILE), options, &report)?;
    output.finish()?;
    if options.has_dictionaries() {
        report.note_unknown();
    }
    Ok(report)
}

/// The unigram model in `path`.
fn unigram(path: &Path) -> Result<SentencePiece> {
    SentencePiece::load_file(path)?.ok_or_else(|| {
        let found = if path.exists() { "another kind" } else { "no such file" };
        let next = "import the model again, from a folder with source.spm and target.spm";
        Error::content(path.display().to_string(), "a unigram model", found, next)
    })
}

/// What `preprocess.json` holds.
#[derive(Serialize)]
struct SettingsFile<'a> {
    program: &'static str,
    #[serde(flatten)]
    options: &'a PreprocessOptions,
    report: &'a PreprocessReport,
}

fn save_settings(path: &Path, options: &PreprocessOptions, report: &PreprocessReport) -> Result<()> {
    let file = SettingsFile { program: concat!("nmt ", env!("CARGO_PKG_VERSION")), options, report };
    let mut json = serde_json::to_string_pretty(&file).map_err(|error| {
        Error::content(path.display().to_string(), "settings that JSON can hold", error.to_string(), "")
    })?;
    json.push('\n');
    files::write_whole(path, json.as_bytes())
}

fn learn(vocabulary: &Vocabulary, merges: usize, check_signal: &dyn Fn() -> Result<()>) -> Result<Subword> {
    let mut progress = Progress::new("learn merges", Some(merges as u64));
    let learnt = |n: usize| {
        progress.set(n as u64, String::new);
        check_signal()
    };
    let wanted = merges;
    let merges = learn_merges(vocabulary.counts(both), merges, learnt)?;
    drop(progress);
    if merges.len() < wanted {
        progress::note(format!(
            "byte-pair encoding: {} merges of {wanted}: the text has no other two symbols that meet twice",
            merges.len()
        ));
    }
    Subword::from_merges(&merges, vocabulary.counts(both).flat_map(|(word, _)| word.chars()))
}

/// The dictionaries of source and target.
fn dictionaries(options: &PreprocessOptions, pieces: &Vocabulary) -> Result<[Dictionary; 2]> {
    let one = |dictionary: &DictionaryOptions, count: fn([u64; 2]) -> u64| match &dictionary.file {
        Some(path) => Dictionary::load(path),
        None => {
            let limits = DictionaryLimits {
                threshold: dictionary.threshold,
                words: dictionary.words,
                padding_factor: options.padding_factor,
            };
            Ok(Dictionary::from_counts(pieces.counts(count), &limits))
        }
    };
    let (source, target) = (&options.source_dictionary, &options.target_dictionary);
    if options.joined_dictionary {
        let given = if target.file.is_some() { target } else { source };
        let dictionary = one(given, both)?;
        return Ok([dictionary.clone(), dictionary]);
    }
    Ok([one(source, |[count, _]| count)?, one(target, |[_, count]| count)?])
}
