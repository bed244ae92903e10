//! What number does a word have? fairseq's `dict.LANG.txt`.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files;

/// The id of `<s>`, the beginning of a sentence.
pub const BOS: i64 = 0;
/// The id of `<pad>`, which fills a batch up.
pub const PAD: i64 = 1;
/// The id of `</s>`, the end of every sentence.
pub const EOS: i64 = 2;
/// The id of `<unk>`, any word that is not in the dictionary.
pub const UNK: i64 = 3;

const SPECIALS: [&str; 4] = ["<s>", "<pad>", "</s>", "<unk>"];
const OVERWRITE: &str = "#fairseq:overwrite";

/// Words and their ids: the four specials have 0 to 3, the words of the file follow from 4.
///
/// ```
/// use nmt::data::{Dictionary, DictionaryLimits};
/// let counts = [("Haus", 5), ("ein", 9), ("am", 5)];
/// let limits = DictionaryLimits { padding_factor: 1, ..DictionaryLimits::default() };
/// let dictionary = Dictionary::from_counts(counts, &limits);
/// assert_eq!(dictionary.len(), 7);
/// assert_eq!(dictionary.index("ein"), 4); // the most frequent word
/// assert_eq!(dictionary.index("Haus"), 5); // as frequent as "am", but first by code point
/// assert_eq!(dictionary.index("Maus"), 3); // unknown
/// assert_eq!(dictionary.encode("ein  Haus"), [4, 5, 2]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    symbols: Vec<String>,
    counts: Vec<u64>,
    indices: HashMap<String, i64>,
}

/// Which words a dictionary keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DictionaryLimits {
    /// Words seen less often than this are left out.
    pub threshold: u64,
    /// The greatest number of words kept, the four specials included; `None` keeps all.
    pub words: Option<usize>,
    /// The size becomes a multiple of this through `madeupword0000`, `madeupword0001` …
    pub padding_factor: usize,
}

impl Default for DictionaryLimits {
    fn default() -> DictionaryLimits {
        DictionaryLimits { threshold: 0, words: None, padding_factor: 8 }
    }
}

impl Dictionary {
    fn with_specials() -> Dictionary {
        let mut dictionary = Dictionary { symbols: Vec::new(), counts: Vec::new(), indices: HashMap::new() };
        for special in SPECIALS {
            dictionary.push(special, 1);
        }
        dictionary
    }

    fn push(&mut self, word: &str, count: u64) {
        self.indices.insert(word.to_string(), self.symbols.len() as i64);
        self.symbols.push(word.to_string());
        self.counts.push(count);
    }

    /// The dictionary of a text whose distinct words were counted: by falling count, ties by code point, as fairseq
    /// orders it. Specials that stand in the text keep their own ids.
    pub fn from_counts<'a>(counts: impl IntoIterator<Item = (&'a str, u64)>, limits: &DictionaryLimits) -> Dictionary {
        let mut dictionary = Dictionary::with_specials();
        let is_new = |(word, count): &(&str, u64)| *count >= limits.threshold && !SPECIALS.contains(word);
        let mut words: Vec<(&str, u64)> = counts.into_iter().filter(is_new).collect();
        words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        words.truncate(limits.words.map_or(usize::MAX, |words| words.saturating_sub(SPECIALS.len())));
        for (word, count) in words {
            dictionary.push(word, count);
        }
        let mut number = 0;
        while limits.padding_factor > 1 && !dictionary.len().is_multiple_of(limits.padding_factor) {
            let word = format!("madeupword{number:04}");
            if !dictionary.indices.contains_key(&word) {
                dictionary.push(&word, 0);
            }
            number += 1;
        }
        dictionary
    }

    /// The dictionary of `words` in this order after the specials, of whose counts nothing is known.
    pub fn in_order<'a>(words: impl IntoIterator<Item = &'a str>) -> Dictionary {
        let mut dictionary = Dictionary::with_specials();
        for word in words {
            dictionary.push(word, 1);
        }
        dictionary
    }

    /// Read a `dict.LANG.txt`: `WORD COUNT` lines, optionally with fairseq's flag `#fairseq:overwrite`.
    ///
    /// # Errors
    /// [`Error::Content`] with file and line for a line without a count and for a word that comes twice.
    pub fn load(path: &Path) -> Result<Dictionary> {
        let text = files::read_text(path)?;
        let mut dictionary = Dictionary::with_specials();
        for (number, line) in text.split_terminator('\n').enumerate() {
            let place = || format!("{}:{}", path.display(), number + 1);
            let (word, count, overwrite) = entry(line).ok_or_else(|| {
                Error::content(
                    place(),
                    "a word, a blank and a count",
                    format!("{line:?}"),
                    "give a dict.LANG.txt made by `nmt preprocess` or fairseq-preprocess",
                )
            })?;
            if !overwrite && let Some(earlier) = dictionary.indices.get(word) {
                let earlier = match usize::try_from(*earlier).unwrap_or(0).checked_sub(SPECIALS.len()) {
                    Some(earlier) => format!("that of line {} again", earlier + 1),
                    None => "a special that every dictionary has".to_string(),
                };
                return Err(Error::content(
                    place(),
                    "a new word",
                    format!("{word:?}, {earlier}"),
                    format!("remove the line, or append {OVERWRITE} to it to replace the earlier entry"),
                ));
            }
            dictionary.push(word, count);
        }
        Ok(dictionary)
    }

    /// Write a `dict.LANG.txt`: a `WORD COUNT` line for every word but the specials.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_atomically(path, |writer| {
            for (id, (word, count)) in self.symbols.iter().zip(&self.counts).enumerate().skip(SPECIALS.len()) {
                let replaces = self.symbols.iter().take(SPECIALS.len()).any(|special| special == word)
                    || self.indices.get(word) != Some(&(id as i64));
                let flag = if replaces { format!(" {OVERWRITE}") } else { String::new() };
                writeln!(writer, "{word} {count}{flag}").map_err(Error::io("write", path))?;
            }
            Ok(())
        })
    }

    /// The number of entries, specials included.
    #[allow(clippy::len_without_is_empty)] // The specials are always there.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// The id of a word; that of `<unk>` when the dictionary does not have it.
    pub fn index(&self, word: &str) -> i64 {
        self.indices.get(word).copied().unwrap_or(UNK)
    }

    /// The word of an id; `<unk>` when there is no such id.
    pub fn symbol(&self, id: i64) -> &str {
        usize::try_from(id).ok().and_then(|id| self.symbols.get(id)).map_or("<unk>", String::as_str)
    }

    /// All entries in the order of their ids, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.symbols.iter().map(String::as_str).zip(self.counts.iter().copied())
    }

    /// The ids of a line's [`words`], with `</s>` at the end; an empty line is `[</s>]`.
    pub fn encode(&self, line: &str) -> Vec<i64> {
        words(line).map(|word| self.index(word)).chain([EOS]).collect()
    }

    /// The words of `ids`, joined by blanks; `<s>`, `<pad>` and `</s>` are left out.
    pub fn decode(&self, ids: &[i64]) -> String {
        let words: Vec<&str> =
            ids.iter().filter(|id| !matches!(**id, BOS | PAD | EOS)).map(|&id| self.symbol(id)).collect();
        words.join(" ")
    }

    /// SHA-256, in hexadecimal, of the words in the order of their ids. Two dictionaries with one hash give every
    /// word the same id; counts do not matter.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for word in &self.symbols {
            hasher.update(word.as_bytes());
            hasher.update(b"\n");
        }
        hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `WORD COUNT [#fairseq:overwrite]`: the word, the count, the flag.
fn entry(line: &str) -> Option<(&str, u64, bool)> {
    let (mut rest, mut last) = line.trim_end().rsplit_once(' ')?;
    let overwrite = last == OVERWRITE;
    if overwrite {
        (rest, last) = rest.rsplit_once(' ')?;
    }
    let count = last.parse().ok()?;
    (!rest.is_empty()).then_some((rest, count, overwrite))
}

/// The words of a line: what stands between white space as Python's `str.split()` sees it, which is Unicode's
/// white space and the four separators U+001C to U+001F.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Dictionary> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dict.de.txt");
        std::fs::write(&path, text).unwrap();
        Dictionary::load(&path)
    }

    #[test]
    fn limits_and_padding() {
        let counts = [("a", 3), ("b", 3), ("ä", 7), ("<unk>", 50), ("madeupword0000", 1), ("z", 1)];
        let limits = DictionaryLimits { threshold: 1, words: Some(8), padding_factor: 8 };
        let dictionary = Dictionary::from_counts(counts, &limits);
        let words: Vec<&str> = dictionary.iter().map(|(word, _)| word).collect();
        assert_eq!(words, ["<s>", "<pad>", "</s>", "<unk>", "ä", "a", "b", "madeupword0000"]);
        // A made-up word that the text has already is not added a second time.
        let limits = DictionaryLimits { threshold: 1, words: None, padding_factor: 5 };
        let dictionary = Dictionary::from_counts(counts, &limits);
        assert_eq!(dictionary.len(), 10);
        assert_eq!(dictionary.symbol(9), "madeupword0001");
        // Fewer words than specials is no words.
        let limits = DictionaryLimits { threshold: 0, words: Some(2), padding_factor: 1 };
        assert_eq!(Dictionary::from_counts(counts, &limits).len(), 4);
    }

    #[test]
    fn saved_and_loaded_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dict.de.txt");
        let dictionary = load("ein 4\n</s> 3 #fairseq:overwrite\nHaus 1\n").unwrap();
        assert_eq!(dictionary.index("</s>"), 5);
        dictionary.save(&path).unwrap();
        assert_eq!(Dictionary::load(&path).unwrap(), dictionary);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ein 4\n</s> 3 #fairseq:overwrite\nHaus 1\n");
    }

    #[test]
    fn the_hash_depends_on_words_and_order_only() {
        let hash = load("ein 4\nHaus 1\n").unwrap().hash();
        assert_eq!(hash.len(), 64);
        assert_eq!(hash, load("ein 9\nHaus 8\n").unwrap().hash());
        assert_ne!(hash, load("Haus 4\nein 1\n").unwrap().hash());
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, line, found) in [
            ("ein 4\nHaus\n", ":2:", "\"Haus\""),
            ("ein vier\n", ":1:", "\"ein vier\""),
            ("ein 4\n\nHaus 1\n", ":2:", "\"\""),
            (" 4\n", ":1:", "\" 4\""),
            ("ein -4\n", ":1:", "\"ein -4\""),
            ("ein 4\nHaus 1\nein 1\n", ":3:", "that of line 1 again"),
            ("<pad> 4\n", ":1:", "a special"),
        ] {
            let message = load(text).unwrap_err().to_string();
            assert!(message.contains(line) && message.contains(found), "{text:?}: {message}");
        }
        assert_eq!(load("").unwrap().len(), 4);
        assert_eq!(load("ein 4").unwrap().len(), 5);
    }

    #[test]
    fn words_are_split_as_python_does() {
        let line = "a\u{1c}b\u{a0}c\u{3000}d\u{200b}d\u{85}e\r";
        assert_eq!(words(line).collect::<Vec<_>>(), ["a", "b", "c", "d\u{200b}d", "e"]);
        assert_eq!(words(" \t ").count(), 0);
    }

    #[test]
    fn ids_outside_are_unknown() {
        let dictionary = load("ein 4\n").unwrap();
        assert_eq!((dictionary.symbol(-1), dictionary.symbol(99)), ("<unk>", "<unk>"));
        assert_eq!(dictionary.decode(&[0, 4, 99, 4, 1, 2]), "ein <unk> ein");
    }
}
