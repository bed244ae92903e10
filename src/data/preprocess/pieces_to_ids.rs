//! Which ids does a text become? Look its pieces up in the dictionary and write.

use std::path::Path;

use super::spool::SpoolReader;
use super::words_to_pieces::Pieces;
use crate::data::{Dictionary, EOS, IndexedWriter, UNK};
use crate::error::Result;
use crate::progress::Progress;

/// Lines between two questions for a signal.
const LINES: u64 = 1000;

/// A spooled text on its way to a dataset.
pub struct PiecesToIds<'a> {
    pub path: &'a Path,
    pub pieces: &'a Pieces,
    /// Whether the numbers in the file are those of words; otherwise those of pieces.
    pub of_words: bool,
    pub dictionary: &'a Dictionary,
}

impl PiecesToIds<'_> {
    /// Write the ids as a dataset; the numbers of tokens and of unknown ones. A literal `<unk>` is not unknown, as
    /// fairseq counts.
    pub fn run(
        &self,
        prefix: &Path,
        mut progress: Progress,
        check_signal: &dyn Fn() -> Result<()>,
    ) -> Result<(u64, u64)> {
        let known = |piece: &str| (self.dictionary.index(piece), piece != "<unk>");
        let known: Vec<(i64, bool)> = self.pieces.vocabulary.words().map(known).collect();
        let mut reader = SpoolReader::open(self.path)?;
        let mut writer = IndexedWriter::create(prefix, self.dictionary.len())?;
        let (mut lines, mut tokens, mut unknown) = (0, 0, 0);
        let (mut line, mut ids) = (Vec::new(), Vec::new());
        while reader.read_line(&mut line)? {
            ids.clear();
            for number in &line {
                let pieces = if self.of_words { self.pieces.of_word(*number) } else { std::slice::from_ref(number) };
                for &piece in pieces {
                    let (id, counted) = known[piece as usize];
                    unknown += u64::from(id == UNK && counted);
                    ids.push(id);
                }
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
