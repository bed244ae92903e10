//! Which file of a data folder holds what? `dict.LANG.txt`, `SPLIT.SRC-TGT.LANG.bin`, `.idx`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A folder of binarised data and its language pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFolder {
    dir: PathBuf,
    /// `de-en` as the file names have it, which is `en-de` turned round when translating the other way.
    pair: String,
    source_lang: String,
    target_lang: String,
}

/// Whether a text can be the language or the split in the name of a file: letters, digits, `_` and `-`.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}

/// `DIR/dict.LANG.txt`.
pub fn dictionary_path(dir: &Path, lang: &str) -> PathBuf {
    dir.join(format!("dict.{lang}.txt"))
}

impl DataFolder {
    /// Find the language pair of a folder from its file names. A language that is given narrows the choice; both
    /// given may also be the pair of the file names turned round.
    ///
    /// # Errors
    /// [`Error::Content`] when the folder holds no such pair, [`Error::Usage`] when it holds several.
    pub fn open(dir: &Path, source_lang: Option<&str>, target_lang: Option<&str>) -> Result<DataFolder> {
        let found: BTreeSet<(String, String)> =
            datasets(dir)?.into_iter().filter_map(|name| name.source_and_target()).collect();
        let folder = |pair: &(String, String), source: &str, target: &str| DataFolder {
            dir: dir.to_path_buf(),
            pair: format!("{}-{}", pair.0, pair.1),
            source_lang: source.to_string(),
            target_lang: target.to_string(),
        };
        let fits = |source: &str, target: &str| {
            source_lang.is_none_or(|lang| lang == source) && target_lang.is_none_or(|lang| lang == target)
        };
        let mut candidates: Vec<DataFolder> =
            found.iter().filter(|(a, b)| fits(a, b)).map(|pair| folder(pair, &pair.0, &pair.1)).collect();
        if candidates.is_empty() {
            candidates = found.iter().filter(|(a, b)| fits(b, a)).map(|p| folder(p, &p.1, &p.0)).collect();
        }
        let list: Vec<String> = found.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        if candidates.len() > 1 {
            return Err(Error::usage(
                format!("{}: expected one language pair, found {}", dir.display(), list.join(", ")),
                "choose one with --source-lang and --target-lang",
            ));
        }
        candidates.pop().ok_or_else(|| {
            let (source, target) = (source_lang.unwrap_or("SRC"), target_lang.unwrap_or("TGT"));
            let found = if list.is_empty() { "no such file".to_string() } else { list.join(", ") };
            Error::content(
                dir.display().to_string(),
                format!("binarised data, SPLIT.{source}-{target}.LANG.idx"),
                found,
                "check the folder and the languages, or make the data with `nmt preprocess`",
            )
        })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The language translated from.
    pub fn source_lang(&self) -> &str {
        &self.source_lang
    }

    /// The language translated into.
    pub fn target_lang(&self) -> &str {
        &self.target_lang
    }

    /// `DIR/dict.LANG.txt`.
    pub fn dictionary(&self, lang: &str) -> PathBuf {
        dictionary_path(&self.dir, lang)
    }

    /// `DIR/SPLIT.SRC-TGT.LANG`, without `.bin` and `.idx`.
    pub fn prefix(&self, split: &str, lang: &str) -> PathBuf {
        self.dir.join(format!("{split}.{}.{lang}", self.pair))
    }

    /// The splits of the pair, in alphabetical order.
    pub fn splits(&self) -> Result<Vec<String>> {
        let names = datasets(&self.dir)?.into_iter().filter(|name| name.pair == self.pair);
        let splits: BTreeSet<String> = names.map(|name| name.split).collect();
        Ok(splits.into_iter().collect())
    }

    /// Check that a split is there.
    ///
    /// # Errors
    /// [`Error::Usage`] with the splits that are.
    pub fn check_split(&self, split: &str) -> Result<()> {
        let splits = self.splits()?;
        if splits.iter().any(|s| s == split) {
            return Ok(());
        }
        let message = format!("{} has no split {split:?}; it has {}", self.dir.display(), splits.join(", "));
        Err(Error::usage(message, "choose one of these, or give `nmt preprocess` the text of this one, too"))
    }
}

/// The parts of `SPLIT.SRC-TGT.LANG.idx`.
struct Name {
    split: String,
    pair: String,
    lang: String,
}

impl Name {
    fn parse(name: &str) -> Option<Name> {
        let (rest, lang) = name.strip_suffix(".idx")?.rsplit_once('.')?;
        let (split, pair) = rest.rsplit_once('.')?;
        Some(Name { split: split.to_string(), pair: pair.to_string(), lang: lang.to_string() })
    }

    /// The languages of the pair, from the name of a source file.
    fn source_and_target(self) -> Option<(String, String)> {
        let target = self.pair.strip_prefix(&self.lang)?.strip_prefix('-')?.to_string();
        Some((self.lang, target))
    }
}

fn datasets(dir: &Path) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("read the folder", dir))? {
        let entry = entry.map_err(Error::io("read the folder", dir))?;
        names.extend(entry.file_name().to_str().and_then(Name::parse));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "").unwrap());
        folder
    }

    #[test]
    fn the_pair_is_guessed() {
        let dir = folder(&["train.de-en.de.idx", "train.de-en.en.idx", "test.de-en.de.idx", "dict.de.txt", "x.idx"]);
        let data = DataFolder::open(dir.path(), None, None).unwrap();
        assert_eq!((data.source_lang(), data.target_lang()), ("de", "en"));
        assert_eq!(data.splits().unwrap(), ["test", "train"]);
        assert_eq!(data.prefix("train", "en"), dir.path().join("train.de-en.en"));
        assert!(data.check_split("valid").unwrap_err().to_string().contains("test, train"));
    }

    #[test]
    fn the_pair_may_be_turned_round() {
        let dir = folder(&["train.de-en.de.idx", "train.de-en.en.idx"]);
        let data = DataFolder::open(dir.path(), Some("en"), None).unwrap();
        assert_eq!((data.source_lang(), data.target_lang()), ("en", "de"));
        assert_eq!(data.prefix("train", "en"), dir.path().join("train.de-en.en"));
    }

    #[test]
    fn no_pair_and_several_are_errors() {
        let dir = folder(&["train.de-en.de.idx", "train.fr-en.fr.idx"]);
        let message = DataFolder::open(dir.path(), None, None).unwrap_err().to_string();
        assert!(message.contains("de-en, fr-en") && message.contains("--source-lang"), "{message}");
        assert_eq!(DataFolder::open(dir.path(), Some("fr"), None).unwrap().target_lang(), "en");
        let message = DataFolder::open(dir.path(), Some("it"), None).unwrap_err().to_string();
        assert!(message.contains("it-TGT") && message.contains("de-en, fr-en"), "{message}");
        assert!(DataFolder::open(&dir.path().join("nowhere"), None, None).is_err());
    }
}
