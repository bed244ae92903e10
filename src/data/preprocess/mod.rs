//! Raw text to a binarised dataset: tokenise, clean, learn or take a byte-pair encoding, make dictionaries, binarise.
//!
//! The text is read once. Its words go to temporary files inside the unfinished output folder and their counts stay in
//! memory; merges and dictionaries are made from the counts, and the temporary files become `.bin` and `.idx`. Memory
//! grows with the number of distinct words, and by four bytes a sentence, but not with the text.

mod binarise;
mod options;
mod output;
mod report;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use options::{Bpe, DictionaryOptions, DropoutOptions, PreprocessOptions, Recipe};
pub use report::{DictionaryReport, DroppedPairs, PreprocessReport, SideReport, SplitReport};

use super::{Dictionary, DictionaryLimits, dictionary_path, words};
use crate::error::{Error, Result};
use crate::files;
use crate::progress::Progress;
use crate::text::{
    BpeDropout, LengthFilter, Misfit, PairReader, SETTINGS_FILE, SUBWORD_FILE, Subword, TextPipeline, blank_separated,
    in_order, learn_merges,
};
use binarise::{Pieces, WordFile, piece_counts};
use options::{SplitFiles, TRAIN};
use output::OutputFolder;

/// Lines that a thread works on at a time.
const LINES: usize = 1000;

type Counts = HashMap<String, u64>;

/// Make a dataset: `dict.LANG.txt`, `SPLIT.SRC-TGT.LANG.bin` and `.idx` as fairseq-preprocess writes them,
/// `tokenizer.json` where there is a byte-pair encoding, and `preprocess.json` with the settings and the report, from
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
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    let output = OutputFolder::create(&options.output, options.overwrite)?;
    let spool = output.path().join("words");
    fs::create_dir(&spool).map_err(Error::io("create the folder", &spool))?;

    let unpacked = output.path().join("text");
    if let Some(recipe) = &options.recipe {
        fs::create_dir(&unpacked).map_err(Error::io("create the folder", &unpacked))?;
        splits = recipe.extract(options.languages(), &unpacked, options.has_dictionaries())?;
    }

    let mut counts = [Counts::new(), Counts::new()];
    let mut reports = Vec::new();
    for split in &splits {
        let filter = if split.train { options.lengths } else { LengthFilter::default() };
        let stage = TextToWords { split, pipelines: &pipelines, filter, spool: &spool, threads };
        reports.extend(stage.run(&mut counts, &check_signal)?);
    }
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(Error::io("remove", &unpacked))?;
    }
    let has_train = splits.iter().any(|split| split.train);

    let subword = match &options.bpe {
        Bpe::None => None,
        // Without a training text there is nothing to learn from.
        Bpe::Merges(_) if !has_train => None,
        Bpe::Merges(merges) => Some(learn(&counts, *merges, &check_signal)?),
        Bpe::File(path) => Some(Subword::read(path)?),
    };
    let dropout = match (&options.bpe_dropout, &subword) {
        (Some(given), Some(subword)) if has_train => {
            Some((given, BpeDropout::new(subword.merges(), given.probability, given.seed)?))
        }
        _ => None,
    };
    let copies = |train: bool, side: usize| match &dropout {
        Some((given, dropout)) if train => Pieces::copies(dropout, given, side),
        _ => vec![Pieces::plain(subword.as_ref())],
    };
    let mut pieces = match options.has_dictionaries() {
        true => [Counts::new(), Counts::new()],
        false => counts.map(|counts| piece_counts(&counts, subword.as_ref())),
    };
    if dropout.is_some() && !options.has_dictionaries() {
        // Besides the pieces without dropout, of which other texts consist.
        for (side, (counts, language)) in pieces.iter_mut().zip(options.languages()).enumerate() {
            let (path, copies) = (spooled(&spool, TRAIN, language), copies(true, side));
            let file = WordFile { path: &path, copies: &copies, threads };
            add_counts(counts, file.count(Progress::new(format!("count pieces of {language}"), None), &check_signal)?);
        }
    }
    let dictionaries = dictionaries(options, &pieces)?;
    drop(pieces);

    for report in &mut reports {
        for (i, (side, dictionary)) in report.sides.iter_mut().zip(&dictionaries).enumerate() {
            let prefix = output.path().join(format!("{}.{source}-{target}.{}", report.split, side.language));
            let path = spooled(&spool, &report.split, &side.language);
            let copies = copies(report.split == TRAIN, i);
            let title = format!("binarise {}.{}", report.split, side.language);
            let progress = Progress::new(title, Some(report.kept * copies.len() as u64));
            let file = WordFile { path: &path, copies: &copies, threads };
            (side.tokens, side.unknown) = file.binarise(dictionary, &prefix, progress, &check_signal)?;
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    fs::remove_dir(&spool).map_err(Error::io("remove", &spool))?;

    for (language, dictionary) in options.languages().into_iter().zip(&dictionaries) {
        dictionary.save(&dictionary_path(output.path(), language))?;
    }
    if let Some(subword) = &subword {
        subword.save(&output.path().join(SUBWORD_FILE))?;
    }
    let entry = |language: &str, dictionary: &Dictionary| DictionaryReport {
        language: language.to_string(),
        size: dictionary.len(),
        hash: dictionary.hash(),
    };
    let report = PreprocessReport {
        dictionaries: [entry(source, &dictionaries[0]), entry(target, &dictionaries[1])],
        bpe_merges: subword.as_ref().map(|subword| subword.merges().len()),
        bpe_dropout: dropout.map(|(given, _)| *given),
        splits: reports,
    };
    save_settings(&output.path().join(SETTINGS_FILE), options, &report)?;
    output.finish()?;
    Ok(report)
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

/// Where the words of a split wait to be binarised.
fn spooled(spool: &Path, split: &str, language: &str) -> PathBuf {
    spool.join(format!("{split}.{language}.txt"))
}

/// Raw text to words: tokenise, leave out what does not fit, count the words of the training text.
struct TextToWords<'a> {
    split: &'a SplitFiles,
    pipelines: &'a [TextPipeline; 2],
    filter: LengthFilter,
    spool: &'a Path,
    threads: usize,
}

/// The words of some lines.
#[derive(Default)]
struct WordLines {
    read: u64,
    misfits: Vec<Misfit>,
    /// Those that are kept, source and target.
    pairs: Vec<[String; 2]>,
    counts: [Counts; 2],
}

/// Where the words of a split go, and what is said of it.
struct WordFiles {
    paths: [PathBuf; 2],
    writers: [BufWriter<File>; 2],
    report: SplitReport,
}

impl WordFiles {
    fn create(split: &str, spool: &Path, languages: [&str; 2]) -> Result<WordFiles> {
        let side = |language: &str| SideReport { language: language.to_string(), tokens: 0, unknown: 0 };
        let report = SplitReport {
            split: split.to_string(),
            read: 0,
            kept: 0,
            dropped: DroppedPairs::default(),
            sides: languages.map(side),
        };
        let paths = languages.map(|language| spooled(spool, split, language));
        let create = |path: &PathBuf| File::create(path).map(BufWriter::new).map_err(Error::io("write", path));
        Ok(WordFiles { writers: [create(&paths[0])?, create(&paths[1])?], paths, report })
    }

    fn push(&mut self, pair: &[String; 2]) -> Result<()> {
        for ((writer, path), line) in self.writers.iter_mut().zip(&self.paths).zip(pair) {
            writer
                .write_all(line.as_bytes())
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(Error::io("write", path))?;
        }
        self.report.kept += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<SplitReport> {
        for (writer, path) in self.writers.iter_mut().zip(&self.paths) {
            writer.flush().map_err(Error::io("write", path))?;
        }
        Ok(self.report)
    }
}

impl TextToWords<'_> {
    /// The report of the split, and that of `valid` where some of its pairs go there.
    fn run(&self, counts: &mut [Counts; 2], check_signal: &dyn Fn() -> Result<()>) -> Result<Vec<SplitReport>> {
        let languages = self.pipelines.each_ref().map(TextPipeline::language);
        let mut kept = WordFiles::create(&self.split.name, self.spool, languages)?;
        let mut held_out = match self.split.valid_every {
            Some(every) => Some((every, WordFiles::create("valid", self.spool, languages)?)),
            None => None,
        };
        let mut kept_pairs = 0;
        let mut progress = Progress::new(format!("tokenise {}", self.split.name), None);
        let mut reader = PairReader::open(&self.split.source, &self.split.target)?;
        let next = || reader.read_pairs(LINES).map(|pairs| (!pairs.is_empty()).then_some(pairs));
        let take = |lines: WordLines| {
            check_signal()?;
            progress.add(lines.read);
            kept.report.read += lines.read;
            lines.misfits.into_iter().for_each(|misfit| kept.report.dropped.add(misfit));
            counts.iter_mut().zip(lines.counts).for_each(|(all, some)| add_counts(all, some));
            for pair in &lines.pairs {
                kept_pairs += 1;
                match &mut held_out {
                    Some((every, files)) if u64::is_multiple_of(kept_pairs, *every) => {
                        files.push(pair)?;
                        files.report.read += 1;
                        kept.report.read -= 1;
                        pair.iter().zip(counts.iter_mut()).for_each(|(line, counts)| take_back(line, counts));
                    }
                    _ => kept.push(pair)?,
                }
            }
            Ok(())
        };
        in_order(self.threads, next, |pairs| self.work(&pairs), take)?;
        let report = kept.finish()?;
        if report.kept == 0 {
            return Err(Error::content(
                format!("{} and {}", self.split.source.display(), self.split.target.display()),
                "sentence pairs that pass the limits on lengths",
                format!("none among {}", report.read),
                "widen --min-length, --max-length and --max-ratio",
            ));
        }
        if let Some((every, files)) = &held_out
            && files.report.kept == 0
        {
            return Err(Error::content(
                format!("{} and {}", self.split.source.display(), self.split.target.display()),
                format!("at least {every} training pairs that pass the limits on lengths, of which one goes to valid"),
                format!("{} among {}", report.kept, report.read),
                "give the whole archive, or texts of your own with --train and --valid",
            ));
        }
        let held_out = held_out.map(|(_, files)| files.finish()).transpose()?;
        Ok(std::iter::once(report).chain(held_out).collect())
    }

    fn work(&self, pairs: &[(String, String)]) -> WordLines {
        let mut done = WordLines::default();
        for (source, target) in pairs {
            done.read += 1;
            let lines = [self.pipelines[0].apply(source), self.pipelines[1].apply(target)];
            let [source_words, target_words] = lines.each_ref().map(|line| words(line).count());
            if let Some(misfit) = self.filter.misfit(source_words, target_words) {
                done.misfits.push(misfit);
                continue;
            }
            if self.split.counted {
                for (line, counts) in lines.iter().zip(&mut done.counts) {
                    count_words(blank_separated(line), 1, counts);
                }
            }
            done.pairs.push(lines);
        }
        done
    }
}

fn count_words<'a>(words: impl Iterator<Item = &'a str>, times: u64, counts: &mut Counts) {
    for word in words {
        match counts.get_mut(word) {
            Some(count) => *count += times,
            None => {
                counts.insert(word.to_string(), times);
            }
        }
    }
}

fn add_counts(all: &mut Counts, some: Counts) {
    some.into_iter().for_each(|(word, count)| *all.entry(word).or_default() += count);
}

/// The words of a line that was counted are not training text after all.
fn take_back(line: &str, counts: &mut Counts) {
    for word in blank_separated(line) {
        if let Some(count) = counts.get_mut(word) {
            *count -= 1;
            if *count == 0 {
                counts.remove(word);
            }
        }
    }
}

/// The counts of both sides together.
fn both(counts: &[Counts; 2]) -> Counts {
    let mut all = counts[0].clone();
    add_counts(&mut all, counts[1].clone());
    all
}

fn learn(counts: &[Counts; 2], merges: usize, check_signal: &dyn Fn() -> Result<()>) -> Result<Subword> {
    let mut progress = Progress::new("learn merges", Some(merges as u64));
    let learnt = |n: usize| {
        progress.set(n as u64, String::new);
        check_signal()
    };
    let counts = both(counts);
    let merges = learn_merges(&counts, merges, learnt)?;
    Subword::from_merges(&merges, counts.keys().flat_map(|word| word.chars()))
}

/// The dictionaries of source and target, given or made of the pieces of each.
fn dictionaries(options: &PreprocessOptions, pieces: &[Counts; 2]) -> Result<[Dictionary; 2]> {
    let one = |dictionary: &DictionaryOptions, counts: &Counts| match &dictionary.file {
        Some(path) => Dictionary::load(path),
        None => {
            let limits = DictionaryLimits {
                threshold: dictionary.threshold,
                words: dictionary.words,
                padding_factor: options.padding_factor,
            };
            Ok(Dictionary::from_counts(counts, &limits))
        }
    };
    let (source, target) = (&options.source_dictionary, &options.target_dictionary);
    if options.joined_dictionary {
        let given = if target.file.is_some() { target } else { source };
        let dictionary = one(given, &both(pieces))?;
        return Ok([dictionary.clone(), dictionary]);
    }
    Ok([one(source, &pieces[0])?, one(target, &pieces[1])?])
}
