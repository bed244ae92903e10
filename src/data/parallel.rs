//! What does a model train on? Sentence pairs with their dictionaries.

use std::path::Path;

use super::agreement::check_agreement;
use super::collate::{Batch, collate};
use super::dictionary::{Dictionary, EOS};
use super::folder::DataFolder;
use super::indexed::IndexedDataset;
use crate::error::{Error, Result};

/// One split of a data folder: source and target sentences, opened and checked.
#[derive(Debug)]
pub struct ParallelDataset {
    /// The folder and its languages.
    pub folder: DataFolder,
    /// The source words.
    pub source_dictionary: Dictionary,
    /// The target words.
    pub target_dictionary: Dictionary,
    /// The source sentences.
    pub source: IndexedDataset,
    /// The target sentences.
    pub target: IndexedDataset,
}

impl ParallelDataset {
    /// Open a split of a data folder made by `nmt preprocess` or fairseq-preprocess; languages that are not given
    /// are taken from the file names.
    ///
    /// # Errors
    /// When a file is missing or damaged, when the sides have different numbers of sentences, when an id is not in its
    /// dictionary, when a sentence does not end with `</s>`, and when dictionaries or `tokenizer.json` are not those of
    /// `preprocess.json`.
    pub fn open(
        dir: &Path,
        split: &str,
        source_lang: Option<&str>,
        target_lang: Option<&str>,
    ) -> Result<ParallelDataset> {
        let folder = DataFolder::open(dir, source_lang, target_lang)?;
        folder.check_split(split)?;
        let side = |lang: &str| -> Result<(Dictionary, IndexedDataset)> {
            let path = folder.dictionary(lang);
            let dictionary = Dictionary::load(&path)?;
            let dataset = IndexedDataset::open(&folder.prefix(split, lang))?;
            dataset.check_ids(dictionary.len(), &path)?;
            dataset.check_ends()?;
            dataset.crc32(); // A file that is touched later, and not written to, is known by it.
            Ok((dictionary, dataset))
        };
        let (source_dictionary, source) = side(folder.source_lang())?;
        let (target_dictionary, target) = side(folder.target_lang())?;
        let dictionaries = [(folder.source_lang(), &source_dictionary), (folder.target_lang(), &target_dictionary)];
        check_agreement(dir, dictionaries)?;
        if source.len() != target.len() {
            return Err(Error::content(
                format!("{} and {}", source.prefix().display(), target.prefix().display()),
                "as many source as target sentences",
                format!("{} and {}", source.len(), target.len()),
                "the two come from different runs: run `nmt preprocess` or fairseq-preprocess again",
            ));
        }
        Ok(ParallelDataset { folder, source_dictionary, target_dictionary, source, target })
    }

    /// The number of sentence pairs.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// Whether there is no sentence pair.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// The source length of every pair, `</s>` included.
    pub fn source_lengths(&self) -> Vec<usize> {
        self.source.lengths()
    }

    /// The target length of every pair, `</s>` included.
    pub fn target_lengths(&self) -> Vec<usize> {
        self.target.lengths()
    }

    /// What tells the sentences of this split from others.
    pub fn fingerprint(&self) -> String {
        format!("{:08x}{:08x}", self.source.crc32(), self.target.crc32())
    }

    /// Whether both files still are what was opened; as [`IndexedDataset::check_file`].
    ///
    /// # Errors
    /// [`Error::Content`] where one was written to.
    pub fn check_files(&self) -> Result<Option<String>> {
        let [source, target] = [&self.source, &self.target].map(IndexedDataset::check_file);
        Ok(source?.or(target?))
    }

    /// The batch of the pairs `indices`; indices that do not exist are left out.
    ///
    /// # Errors
    /// [`Error::Content`] where ids are no longer those that were checked, or may not be: the file was written to since.
    pub fn batch(&self, indices: &[usize]) -> Result<Batch> {
        let indices: Vec<usize> = indices.iter().copied().filter(|&i| i < self.len()).collect();
        let of = |side: &IndexedDataset, dictionary: &Dictionary, i| {
            let ids = side.get(i);
            let known = ids.iter().all(|id| (0..dictionary.len() as i64).contains(id));
            if known && ids.last() == Some(&EOS) { Ok(ids) } else { Err(side.written_to()) }
        };
        let pair = |&i: &usize| {
            Ok((of(&self.source, &self.source_dictionary, i)?, of(&self.target, &self.target_dictionary, i)?))
        };
        let pairs: Vec<(Vec<i64>, Vec<i64>)> = indices.iter().map(pair).collect::<Result<_>>()?;
        self.check_files()?; // After reading: what is written to later is not in this batch. What was replaced is read as it was.
        let pairs: Vec<(&[i64], &[i64])> =
            pairs.iter().map(|(source, target)| (source.as_slice(), target.as_slice())).collect();
        Ok(collate(&pairs, &indices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::IndexedWriter;

    fn folder(source: usize, target: usize, words: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (lang, n) in [("de", source), ("en", target)] {
            let mut writer = IndexedWriter::create(&folder.path().join(format!("train.de-en.{lang}")), 6).unwrap();
            (0..n).for_each(|_| writer.push(&[4, 5, 2]).unwrap());
            writer.finish().unwrap();
            std::fs::write(folder.path().join(format!("dict.{lang}.txt")), words).unwrap();
        }
        folder
    }

    #[test]
    fn opens_and_collates() {
        let dir = folder(3, 3, "a 2\nb 1\n");
        let data = ParallelDataset::open(dir.path(), "train", None, None).unwrap();
        assert_eq!((data.len(), data.source_lengths(), data.target_lengths()), (3, vec![3; 3], vec![3; 3]));
        let batch = data.batch(&[2, 0, 99]).unwrap();
        assert_eq!((batch.ids, batch.source), (vec![2, 0], vec![4, 5, 2, 4, 5, 2]));
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let dir = folder(3, 2, "a 2\nb 1\n");
        let message = ParallelDataset::open(dir.path(), "train", None, None).unwrap_err().to_string();
        assert!(message.contains("found 3 and 2"), "{message}");
        let dir = folder(3, 3, "a 2\n");
        let message = ParallelDataset::open(dir.path(), "train", None, None).unwrap_err().to_string();
        assert!(message.contains("dict.de.txt") && message.contains("id 5"), "{message}");
        assert!(ParallelDataset::open(dir.path(), "valid", None, None).is_err());
    }
}
