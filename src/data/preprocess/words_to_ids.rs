//! Words to ids: cut every distinct word into pieces once, then look up and write.

use std::path::Path;

use super::spool::SpoolReader;
use super::vocabulary::Vocabulary;
use crate::data::{Dictionary, EOS, IndexedWriter, UNK, words};
use crate::error::Result;
use crate::progress::Progress;
use crate::text::{Subword, in_order};

/// Words that a thread cuts at a time.
const WORDS: usize = 2000;
/// Lines between two questions for a signal.
const LINES: u64 = 1000;

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
    /// dictionary separates.
    pub fn of(
        vocabulary: &Vocabulary,
        subword: Option<&Subword>,
        threads: usize,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<Pieces> {
        let mut pieces = Pieces::default();
        let mut rest = vocabulary.iter();
        let next = || {
            let some: Vec<_> = rest.by_ref().take(WORDS).collect();
            Ok((!some.is_empty()).then_some(some))
        };
        let cut = |word| subword.map_or_else(|| String::from(word), |subword| subword.segment(word));
        let work = |some: Vec<_>| some.into_iter().map(|(word, counts)| (cut(word), counts)).collect::<Vec<_>>();
        let take = |some: Vec<(String, [u64; 2])>| {
            check_signal()?;
            for (segmented, counts) in some {
                for piece in words(&segmented) {
                    let id = pieces.vocabulary.id(piece);
                    pieces.vocabulary.count(id, counts);
                    pieces.of_words.push(id);
                }
                pieces.ends.push(pieces.of_words.len());
            }
            Ok(())
        };
        in_order(threads, next, work, take)?;
        Ok(pieces)
    }

    fn of_word(&self, word: u32) -> &[u32] {
        let word = word as usize;
        let start = if word == 0 { 0 } else { self.ends[word - 1] };
        &self.of_words[start..self.ends[word]]
    }

    /// Binarise the spooled words of a file; the numbers of tokens and of unknown ones. A literal `<unk>` is not
    /// unknown, as fairseq counts.
    pub fn binarise(
        &self,
        path: &Path,
        dictionary: &Dictionary,
        prefix: &Path,
        mut progress: Progress,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<(u64, u64)> {
        let known = |piece: &str| (dictionary.index(piece), piece != "<unk>");
        let pieces: Vec<(i64, bool)> = self.vocabulary.words().map(known).collect();
        let mut reader = SpoolReader::open(path)?;
        let mut writer = IndexedWriter::create(prefix, dictionary.len())?;
        let (mut lines, mut tokens, mut unknown) = (0, 0, 0);
        let (mut line, mut ids) = (Vec::new(), Vec::new());
        while reader.read_line(&mut line)? {
            ids.clear();
            for &piece in line.iter().flat_map(|&word| self.of_word(word)) {
                let (id, counted) = pieces[piece as usize];
                unknown += u64::from(id == UNK && counted);
                ids.push(id);
            }
            ids.push(EOS);
            writer.push(&ids)?;
            tokens += ids.len() as u64;
            lines += 1;
            if lines % LINES == 0 {
                check_signal()?;
                progress.set(lines, String::new);
            }
        }
        writer.finish()?;
        Ok((tokens, unknown))
    }
}
