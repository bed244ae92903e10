//! Which pieces do the words consist of? Every distinct word is cut once; under BPE-dropout, every word of a text.

use std::fs;
use std::path::Path;

use super::spool::{SpoolReader, SpoolWriter};
use super::vocabulary::Vocabulary;
use crate::data::words;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::text::{BpeDropout, Subword, in_order};

/// Words that a thread cuts at a time.
const WORDS: usize = 2000;
/// Numbers of words after which a piece of work is large enough.
const NUMBERS: usize = 20_000;

/// What the words of a vocabulary consist of.
#[derive(Default)]
pub struct Pieces {
    /// The distinct pieces, counted as often as their words are.
    pub vocabulary: Vocabulary,
    /// The pieces of all words, one word after the other.
    of_words: Vec<u32>,
    /// Where those of each word end.
    ends: Vec<usize>,
}

impl Pieces {
    /// Cut the words by `subword`, where there is one. A word here may hold white space other than blanks, at which a
    /// dictionary separates; where words are pieces already, they stay `whole`.
    pub fn of(
        vocabulary: &Vocabulary,
        subword: Option<&Subword>,
        whole: bool,
        threads: usize,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<Pieces> {
        let mut pieces = Pieces::default();
        let mut rest = vocabulary.iter();
        let next = || {
            let some: Vec<_> = rest.by_ref().take(WORDS).collect();
            Ok((!some.is_empty()).then_some(some))
        };
        let cut = |word| subword.map_or_else(|| String::from(word), |subword| subword.segment_word(word));
        let work = |some: Vec<_>| some.into_iter().map(|(word, counts)| (cut(word), counts)).collect::<Vec<_>>();
        let take = |some: Vec<(String, [u64; 2])>| {
            check_signal()?;
            for (segmented, counts) in some {
                let mut push = |piece: &str| {
                    let id = pieces.vocabulary.id(piece);
                    pieces.vocabulary.count(id, counts);
                    pieces.of_words.push(id);
                };
                if whole {
                    push(&segmented);
                } else {
                    words(&segmented).for_each(push);
                }
                pieces.ends.push(pieces.of_words.len());
            }
            Ok(())
        };
        in_order(threads, next, work, take)?;
        Ok(pieces)
    }

    /// The numbers of a word's pieces.
    pub fn of_word(&self, word: u32) -> &[u32] {
        let word = word as usize;
        let start = if word == 0 { 0 } else { self.ends[word - 1] };
        &self.of_words[start..self.ends[word]]
    }
}

/// BPE-dropout of a text.
pub struct DropOut<'a> {
    pub encoding: &'a BpeDropout,
    /// How many times the text comes, each time in other pieces.
    pub copies: u64,
    pub words: &'a Vocabulary,
    pub threads: usize,
}

impl DropOut<'_> {
    /// Replace the words of a spooled text, that of a side (0: source, 1: target), by their pieces, which are counted.
    pub fn run(
        &self,
        path: &Path,
        side: usize,
        pieces: &mut Pieces,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        // Words wait under names with a full stop.
        let cut = path.with_file_name("pieces");
        let mut writer = SpoolWriter::create(cut.clone())?;
        let mut progress = Progress::new("drop merges out", None);
        for copy in 0..self.copies {
            let text = 2 * copy + side as u64;
            let mut reader = SpoolReader::open(path)?;
            let mut read = 0;
            let next = || {
                let (first, lines) = (read, reader.read_lines(NUMBERS)?);
                read += lines.len() as u64;
                Ok((!lines.is_empty()).then_some((first, lines)))
            };
            let work = |(first, lines): (u64, Vec<Vec<u32>>)| {
                let mut local = Vocabulary::default();
                let mut cut = |(line, number): (Vec<u32>, u64)| {
                    let line = line.into_iter().map(|word| self.words.word(word)).collect::<Vec<_>>().join(" ");
                    let segmented = self.encoding.segment(&line, text, number);
                    words(&segmented).map(|piece| local.id(piece)).collect::<Vec<_>>()
                };
                let lines: Vec<Vec<u32>> = lines.into_iter().zip(first..).map(&mut cut).collect();
                (local, lines)
            };
            let take = |(local, lines): (Vocabulary, Vec<Vec<u32>>)| {
                check_signal()?;
                progress.add(lines.len() as u64);
                let ids: Vec<u32> = local.words().map(|piece| pieces.vocabulary.id(piece)).collect();
                for line in lines {
                    let line = || line.iter().map(|&piece| ids[piece as usize]);
                    line().for_each(|piece| pieces.vocabulary.count_once(piece, side));
                    writer.push(line())?;
                }
                Ok(())
            };
            in_order(self.threads, next, work, take)?;
        }
        writer.finish()?;
        fs::rename(&cut, path).map_err(Error::io("replace", path))
    }
}
