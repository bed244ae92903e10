//! Which ids does a text become? Words to pieces, with or without BPE-dropout; pieces to ids.

use std::borrow::Cow;
use std::path::Path;

use super::options::DropoutOptions;
use super::{Counts, LINES, add_counts, count_words};
use crate::data::{Dictionary, IndexedWriter, UNK, words};
use crate::error::Result;
use crate::progress::Progress;
use crate::text::{BpeDropout, LineReader, Subword, in_order};

/// Words to pieces.
#[derive(Clone, Copy)]
pub(super) enum Pieces<'a> {
    /// Words stay whole.
    Words,
    /// One segmentation a word.
    Bpe(&'a Subword),
    /// A segmentation that depends on the number of the text and the line.
    Dropout(&'a BpeDropout, u64),
}

impl<'a> Pieces<'a> {
    /// A segmentation a word, where there is an encoding.
    pub fn plain(subword: Option<&'a Subword>) -> Pieces<'a> {
        subword.map_or(Pieces::Words, Pieces::Bpe)
    }

    /// The copies of a side (0 or 1) of the training text under dropout.
    pub fn copies(dropout: &'a BpeDropout, options: &DropoutOptions, side: usize) -> Vec<Pieces<'a>> {
        (0..options.copies).map(|copy| Pieces::Dropout(dropout, 2 * copy + side as u64)).collect()
    }

    fn segment<'l>(&self, line: &'l str, number: u64) -> Cow<'l, str> {
        match self {
            Pieces::Words => Cow::Borrowed(line),
            Pieces::Bpe(subword) => Cow::Owned(subword.segment(line)),
            Pieces::Dropout(dropout, text) => Cow::Owned(dropout.segment(line, *text, number)),
        }
    }
}

/// How often the pieces occur that words so frequent consist of. A word here may hold white space other than blanks,
/// at which a dictionary separates.
pub(super) fn piece_counts(counts: &Counts, subword: Option<&Subword>) -> Counts {
    let mut pieces = Counts::new();
    for (word, &count) in counts {
        match subword {
            Some(subword) => count_words(words(&subword.segment_word(word)), count, &mut pieces),
            None => count_words(words(word), count, &mut pieces),
        }
    }
    pieces
}

/// The words of a file as pieces, in one or more copies.
pub(super) struct WordFile<'a> {
    /// A line of words a sentence.
    pub path: &'a Path,
    /// How each copy is cut into pieces.
    pub copies: &'a [Pieces<'a>],
    /// How many threads work.
    pub threads: usize,
}

impl WordFile<'_> {
    /// How often the pieces of all copies occur.
    pub fn count(&self, mut progress: Progress, check_signal: &dyn Fn() -> Result<()>) -> Result<Counts> {
        let mut all = Counts::new();
        let count = |lines: Vec<Cow<'_, str>>| {
            let mut counts = Counts::new();
            lines.iter().for_each(|line| count_words(words(line), 1, &mut counts));
            (lines.len(), counts)
        };
        self.each(count, |(lines, counts)| {
            check_signal()?;
            progress.add(lines as u64);
            add_counts(&mut all, counts);
            Ok(())
        })?;
        Ok(all)
    }

    /// Write the ids as a dataset; the numbers of tokens and of unknown ones.
    pub fn binarise(
        &self,
        dictionary: &Dictionary,
        prefix: &Path,
        mut progress: Progress,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<(u64, u64)> {
        let mut writer = IndexedWriter::create(prefix, dictionary.len())?;
        let (mut tokens, mut unknown) = (0, 0);
        let encode = |lines: Vec<Cow<'_, str>>| lines.iter().map(|line| encode(line, dictionary)).collect::<Vec<_>>();
        self.each(encode, |sentences| {
            check_signal()?;
            progress.add(sentences.len() as u64);
            for (ids, unknown_ids) in sentences {
                tokens += ids.len() as u64;
                unknown += unknown_ids;
                writer.push(&ids)?;
            }
            Ok(())
        })?;
        writer.finish()?;
        Ok((tokens, unknown))
    }

    /// `work` on the pieces of some lines at a time, `take` in their order, copy after copy.
    fn each<Done: Send>(
        &self,
        work: impl Fn(Vec<Cow<'_, str>>) -> Done + Sync,
        mut take: impl FnMut(Done) -> Result<()>,
    ) -> Result<()> {
        for pieces in self.copies {
            let mut reader = LineReader::open(self.path)?;
            let mut read = 0;
            let next = || {
                let (first, lines) = (read, reader.read_lines(LINES)?);
                read += lines.len() as u64;
                Ok((!lines.is_empty()).then_some((first, lines)))
            };
            let segment = |(first, lines): (u64, Vec<String>)| {
                work(lines.iter().zip(first..).map(|(line, number)| pieces.segment(line, number)).collect())
            };
            in_order(self.threads, next, segment, &mut take)?;
        }
        Ok(())
    }
}

/// The ids of a line and how many of its words are unknown; a literal `<unk>` is not, as fairseq counts.
fn encode(line: &str, dictionary: &Dictionary) -> (Vec<i64>, u64) {
    let unknown = words(line).filter(|word| dictionary.index(word) == UNK && *word != "<unk>").count();
    (dictionary.encode(line), unknown as u64)
}
