//! `nmt preprocess`: raw text to a binarised dataset.

use std::path::{Path, PathBuf};

use nmt::data::{
    Bpe, Dictionary, DictionaryOptions, DropoutOptions, PreprocessOptions, Recipe, check_agreement, dictionary_path,
    preprocess,
};
use nmt::error::Error;
use nmt::progress;
use nmt::text::moses::Version;
use nmt::text::{
    LengthFilter, SETTINGS_FILE, SUBWORD_FILE, SentencePiece, TextPipeline, TextSettings, Tokenization,
    target_pieces_file,
};
use nmt::train::checkpoint_of;
use nmt::translation::languages_of;

use super::signals;

/// Make a dataset from raw text: tokenise, clean, cut into pieces, number, binarise.
///
/// A PREFIX stands for two files, PREFIX.SRC and PREFIX.TGT (or PREFIX.SRC.gz and PREFIX.TGT.gz) with a sentence a
/// line. DIR gets what fairseq-preprocess writes, and tokenizer.json and preprocess.json, with which `nmt translate`
/// treats raw text in the same way. What became of the text is printed as a table.
#[derive(Debug, clap::Args)]
pub struct PreprocessArgs {
    /// The language translated from: what the names of its files end with (de, with a recipe)
    #[arg(long, value_name = "SRC", required_unless_present_any = ["recipe", "model"])]
    source_lang: Option<String>,
    /// The language translated into (en, with a recipe)
    #[arg(long, value_name = "TGT", required_unless_present_any = ["recipe", "model"])]
    target_lang: Option<String>,
    /// Make a corpus of papers from its archive, as fairseq does: tokenise (Moses), leave pairs out of more than 175
    /// words or a ratio above 1.5, lower-case, every 23rd pair to valid, five TED sets to test, 10,000 merges
    #[arg(long, value_enum, requires = "archive", conflicts_with_all = [
        "train", "valid", "test", "tokenizer", "lowercase", "lowercase_first", "normalize", "moses_version",
        "aggressive_hyphens", "no_escape", "min_length", "max_length", "max_ratio",
    ])]
    recipe: Option<RecipeName>,
    /// Make data for a trained model, the run folder of `nmt train` or `nmt import`: its languages, which the names of the
    /// files end with, its treatment of text, its pieces and its dictionaries
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "recipe", "source_lang", "target_lang", "tokenizer", "lowercase", "lowercase_first", "normalize", "moses_version",
        "aggressive_hyphens", "no_escape", "bpe_merges", "bpe", "joined_dictionary", "source_dictionary",
        "target_dictionary", "threshold_source", "threshold_target", "words_source", "words_target", "padding_factor",
    ])]
    model: Option<PathBuf>,
    /// The archive of the recipe, a .tgz, or the folder that it unpacks to
    #[arg(long, value_name = "FILE", requires = "recipe")]
    archive: Option<PathBuf>,
    /// The training text; may be absent when dictionaries are given
    #[arg(long, value_name = "PREFIX")]
    train: Option<PathBuf>,
    /// The validation text
    #[arg(long, value_name = "PREFIX")]
    valid: Option<PathBuf>,
    /// A test text; may be given several times. The split is called NAME, or test, test1, test2 … in turn
    #[arg(long, value_name = "[NAME=]PREFIX")]
    test: Vec<String>,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Replace the dataset in DIR
    #[arg(long)]
    overwrite: bool,
    /// How lines are cut into words
    #[arg(long, value_enum, default_value = "moses", help_heading = "Text")]
    tokenizer: Tokenization,
    /// Lower-case the words after tokenising, as for IWSLT'14
    #[arg(long, help_heading = "Text")]
    lowercase: bool,
    /// Lower-case the raw text before everything else, as for Multi30k
    #[arg(long, conflicts_with = "lowercase", help_heading = "Text")]
    lowercase_first: bool,
    /// Normalise punctuation before tokenising, as Moses' normalize-punctuation.perl
    #[arg(long, help_heading = "Text")]
    normalize: bool,
    /// The edition of the Moses scripts: that of December 2017 leaves the full stop on numbers and abbreviations that
    /// end a line, and is what Multi30k's files were made with
    #[arg(long, value_enum, default_value = "current", help_heading = "Text")]
    moses_version: Version,
    /// Write a hyphen between letters as @-@
    #[arg(long, help_heading = "Text")]
    aggressive_hyphens: bool,
    /// Do not write & | < > ' " [ ] as &amp; and so on
    #[arg(long, help_heading = "Text")]
    no_escape: bool,
    /// Learn a byte-pair encoding of N merges from both sides of the training text together
    #[arg(long, value_name = "N", help_heading = "Pieces", value_parser = merges)]
    bpe_merges: Option<usize>,
    /// Take a finished byte-pair encoding: a tokenizer.json, or the codes of subword-nmt
    #[arg(long, value_name = "FILE", conflicts_with = "bpe_merges", help_heading = "Pieces")]
    bpe: Option<PathBuf>,
    /// Leave every merge out with probability P in the training text, anew at every step (BPE-dropout); 0.1 is usual
    #[arg(long, value_name = "P", help_heading = "Pieces")]
    bpe_dropout: Option<f64>,
    /// Give the training text N times, each time in other pieces
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bpe_dropout", help_heading = "Pieces",
        value_parser = clap::value_parser!(u64).range(1..=1000))]
    bpe_dropout_copies: u64,
    /// The seed of BPE-dropout
    #[arg(long, value_name = "N", default_value_t = 1, requires = "bpe_dropout", help_heading = "Pieces")]
    seed: u64,
    /// Leave training pairs out of which a side has fewer than N words; like the next two, counted after tokenising,
    /// as Moses' clean-corpus-n.perl does
    #[arg(long, value_name = "N", help_heading = "Cleaning")]
    min_length: Option<usize>,
    /// Leave training pairs out of which a side has more than N words
    #[arg(long, value_name = "N", help_heading = "Cleaning")]
    max_length: Option<usize>,
    /// Leave training pairs out of which a side has more than RATIO times the words of the other
    #[arg(long, value_name = "RATIO", value_parser = ratio, help_heading = "Cleaning")]
    max_ratio: Option<f64>,
    /// Make one dictionary for both languages
    #[arg(long, help_heading = "Dictionaries")]
    joined_dictionary: bool,
    /// Take a finished dictionary for the source
    #[arg(long, value_name = "FILE", help_heading = "Dictionaries")]
    source_dictionary: Option<PathBuf>,
    /// Take a finished dictionary for the target
    #[arg(long, value_name = "FILE", help_heading = "Dictionaries")]
    target_dictionary: Option<PathBuf>,
    /// Leave words out that the training text has fewer than N times (fairseq's --thresholdsrc)
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Dictionaries")]
    threshold_source: u64,
    /// The same for the target
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Dictionaries")]
    threshold_target: u64,
    /// Keep at most N entries, the four specials included (fairseq's --nwordssrc)
    #[arg(long, value_name = "N", help_heading = "Dictionaries")]
    words_source: Option<usize>,
    /// The same for the target
    #[arg(long, value_name = "N", help_heading = "Dictionaries")]
    words_target: Option<usize>,
    /// Fill a dictionary up to a multiple of N entries
    #[arg(long, value_name = "N", default_value_t = 8, help_heading = "Dictionaries")]
    padding_factor: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum RecipeName {
    /// IWSLT'14, talks (TED): de-en.tgz of WIT3
    Iwslt14,
}

impl PreprocessArgs {
    /// Make the dataset with so many threads; the table goes to standard output.
    pub fn run(&self, threads: Option<usize>) -> nmt::Result<()> {
        let mut options = self.options(threads);
        if let Some(model) = &self.model {
            treat_as(model, &mut options)?;
        }
        super::print(&format!("{}\n", preprocess(&options, signals::watch()?)?))
    }

    fn options(&self, threads: Option<usize>) -> PreprocessOptions {
        let dictionary =
            |file: &Option<PathBuf>, threshold, words| DictionaryOptions { file: file.clone(), threshold, words };
        let recipe =
            self.recipe.zip(self.archive.clone()).map(|(RecipeName::Iwslt14, archive)| Recipe::Iwslt14(archive));
        let iwslt14 = recipe.is_some();
        let language = |given: &Option<String>, default: &str| given.clone().unwrap_or_else(|| default.to_string());
        PreprocessOptions {
            source_language: language(&self.source_lang, "de"),
            target_language: language(&self.target_lang, "en"),
            recipe,
            train: self.train.clone(),
            valid: self.valid.clone(),
            tests: name_tests(&self.test),
            text: TextSettings {
                tokenizer: self.tokenizer,
                lowercase: self.lowercase || iwslt14,
                lowercase_first: self.lowercase_first,
                normalize: self.normalize,
                moses_version: self.moses_version,
                aggressive_hyphens: self.aggressive_hyphens,
                no_escape: self.no_escape,
            },
            bpe: match (self.bpe_merges, &self.bpe) {
                (Some(merges), _) => Bpe::Merges(merges),
                (None, Some(path)) => Bpe::File(path.clone()),
                (None, None) if iwslt14 => Bpe::Merges(10_000),
                (None, None) => Bpe::None,
            },
            bpe_dropout: self.bpe_dropout.map(|probability| DropoutOptions {
                probability,
                seed: self.seed,
                copies: self.bpe_dropout_copies,
            }),
            lengths: if iwslt14 {
                LengthFilter { min: Some(1), max: Some(175), ratio: Some(1.5) }
            } else {
                LengthFilter { min: self.min_length, max: self.max_length, ratio: self.max_ratio }
            },
            joined_dictionary: self.joined_dictionary,
            source_dictionary: dictionary(&self.source_dictionary, self.threshold_source, self.words_source),
            target_dictionary: dictionary(&self.target_dictionary, self.threshold_target, self.words_target),
            padding_factor: self.padding_factor,
            output: self.output.clone(),
            overwrite: self.overwrite,
            threads,
        }
    }
}

/// Have text treated as that of a trained model was.
fn treat_as(model: &Path, options: &mut PreprocessOptions) -> nmt::Result<()> {
    let (folder, checkpoint) = checkpoint_of(model)?;
    let [source, target] = languages_of(&checkpoint)?;
    let dictionaries = [&source, &target].map(|language| dictionary_path(&folder, language));
    let [of_source, of_target] = dictionaries.each_ref().map(|path| Dictionary::load(path));
    check_agreement(&folder, [(&source, &of_source?), (&target, &of_target?)])?;
    let pieces = folder.join(SUBWORD_FILE);
    let pieces_of_target = folder.join(target_pieces_file(&target));
    if pieces_of_target.exists() && !pieces.exists() {
        let next = "put it back, or import the model again";
        return Err(Error::content(pieces.display().to_string(), "the pieces of source text", "no such file", next));
    }
    options.bpe = if SentencePiece::load(&folder)?.is_some() {
        Bpe::Unigram([pieces, pieces_of_target])
    } else if pieces.exists() {
        Bpe::File(pieces)
    } else {
        Bpe::None
    };
    options.text = match TextPipeline::load(&folder, &source)? {
        Some(text) => *text.settings(),
        None => {
            if !matches!(options.bpe, Bpe::Unigram(_)) {
                let folder = folder.display();
                progress::note(format!("{folder} has no {SETTINGS_FILE}: words are taken to stand between blanks"));
            }
            TextSettings { tokenizer: Tokenization::None, ..TextSettings::default() }
        }
    };
    let [of_source, of_target] = dictionaries;
    (options.source_dictionary.file, options.target_dictionary.file) = (Some(of_source), Some(of_target));
    (options.source_language, options.target_language) = (source, target);
    Ok(())
}

/// The test texts with the names of their splits: those of `NAME=PREFIX`, then fairseq's numbering.
fn name_tests(tests: &[String]) -> Vec<(String, PathBuf)> {
    let mut unnamed = 0;
    let mut named = |test: &String| match test.split_once('=') {
        Some((name, prefix)) if !name.contains(['/', '\\']) => (name.to_string(), PathBuf::from(prefix)),
        _ => {
            let name = if unnamed == 0 { "test".to_string() } else { format!("test{unnamed}") };
            unnamed += 1;
            (name, PathBuf::from(test))
        }
    };
    tests.iter().map(&mut named).collect()
}

fn merges(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(merges) if merges >= 1 => Ok(merges),
        _ => Err("expected a number from 1, such as 10000; leave the option out for whole words".to_string()),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(ratio) if ratio >= 1.0 => Ok(ratio),
        _ => Err("expected a number from 1, such as 1.5".to_string()),
    }
}
