//! Raw text to words: tokenise, leave out what does not fit, number the words and count those of the training text.

use std::path::{Path, PathBuf};

use super::options::SplitFiles;
use super::report::{DroppedPairs, SideReport, SplitReport};
use super::spool::SpoolWriter;
use super::vocabulary::Vocabulary;
use crate::data::words;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::text::{LengthFilter, Misfit, PairReader, SentencePiece, TextPipeline, blank_separated, in_order};

/// Pairs of lines that a thread works on at a time.
const PAIRS: usize = 1000;

/// A split on its way from text to the numbers of words.
pub struct TextToWords<'a> {
    pub split: &'a SplitFiles,
    pub pipelines: &'a [TextPipeline; 2],
    /// What cuts raw text into pieces, which take the place of words.
    pub unigram: Option<&'a [SentencePiece; 2]>,
    pub filter: LengthFilter,
    /// The folder that the numbers wait in.
    pub spool: &'a Path,
    pub threads: usize,
}

/// Where the words of a split wait.
pub fn spooled(spool: &Path, split: &str, language: &str) -> PathBuf {
    spool.join(format!("{split}.{language}"))
}

/// The words of some pairs of lines.
#[derive(Default)]
struct WordLines {
    read: u64,
    misfits: Vec<Misfit>,
    vocabulary: Vocabulary,
    /// The words of the pairs that are kept, source and target, as numbers of this vocabulary.
    pairs: Vec<[Vec<u32>; 2]>,
}

impl TextToWords<'_> {
    /// The report of the split, and that of `valid` where some of its pairs go there.
    pub fn run(&self, vocabulary: &mut Vocabulary, check_signal: &dyn Fn() -> Result<()>) -> Result<Vec<SplitReport>> {
        let languages = self.pipelines.each_ref().map(TextPipeline::language);
        let mut kept = WordFiles::create(&self.split.name, self.spool, languages)?;
        let mut held_out = match self.split.valid_every {
            Some(every) => Some((every, WordFiles::create("valid", self.spool, languages)?)),
            None => None,
        };
        let mut kept_pairs = 0;
        let mut progress = Progress::new(format!("tokenise {}", self.split.name), None);
        let mut reader = PairReader::open(&self.split.source, &self.split.target)?;
        let next = || reader.read_pairs(PAIRS).map(|pairs| (!pairs.is_empty()).then_some(pairs));
        let take = |lines: WordLines| {
            check_signal()?;
            progress.add(lines.read);
            kept.report.read += lines.read;
            lines.misfits.into_iter().for_each(|misfit| kept.report.dropped.add(misfit));
            let ids: Vec<u32> = lines.vocabulary.words().map(|word| vocabulary.id(word)).collect();
            for pair in lines.pairs {
                let pair = pair.map(|words| words.into_iter().map(|word| ids[word as usize]).collect::<Vec<_>>());
                kept_pairs += 1;
                match &mut held_out {
                    Some((every, files)) if u64::is_multiple_of(kept_pairs, *every) => {
                        files.push(&pair)?;
                        files.report.read += 1;
                        kept.report.read -= 1;
                    }
                    _ => {
                        kept.push(&pair)?;
                        if self.split.counted {
                            for (side, words) in pair.iter().enumerate() {
                                words.iter().for_each(|&word| vocabulary.count_once(word, side));
                            }
                        }
                    }
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
        let mut done = WordLines { read: pairs.len() as u64, ..WordLines::default() };
        for (source, target) in pairs {
            let lines = match self.unigram {
                Some(_) => [source.clone(), target.clone()],
                None => [self.pipelines[0].apply(source), self.pipelines[1].apply(target)],
            };
            let [source_words, target_words] = lines.each_ref().map(|line| words(line).count());
            if let Some(misfit) = self.filter.misfit(source_words, target_words) {
                done.misfits.push(misfit);
                continue;
            }
            let vocabulary = &mut done.vocabulary;
            done.pairs.push(match self.unigram {
                Some([of_source, of_target]) => [of_source.pieces(&lines[0]), of_target.pieces(&lines[1])]
                    .map(|pieces| pieces.iter().map(|piece| vocabulary.id(piece)).collect()),
                None => lines.map(|line| blank_separated(&line).map(|word| vocabulary.id(word)).collect()),
            });
        }
        done
    }
}

/// Where the words of a split go, and what is said of it.
struct WordFiles {
    writers: [SpoolWriter; 2],
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
        let [source, target] = languages.map(|language| SpoolWriter::create(spooled(spool, split, language)));
        Ok(WordFiles { writers: [source?, target?], report })
    }

    fn push(&mut self, pair: &[Vec<u32>; 2]) -> Result<()> {
        for (writer, words) in self.writers.iter_mut().zip(pair) {
            writer.push(words.iter().copied())?;
        }
        self.report.kept += 1;
        Ok(())
    }

    fn finish(self) -> Result<SplitReport> {
        self.writers.into_iter().try_for_each(SpoolWriter::finish)?;
        Ok(self.report)
    }
}
