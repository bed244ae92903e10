//! `nmt data show`: a binarised split as text again.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use nmt::data::{DataFolder, Dictionary, EOS, IndexedDataset};
use nmt::error::Error;
use nmt::text::join_subwords;

/// Print a split of a dataset, a sentence a line, as it was binarised; words that are not in the dictionary are `<unk>`.
#[derive(Debug, clap::Args)]
pub struct DataShowArgs {
    /// The folder, made by `nmt preprocess` or fairseq-preprocess
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: train, valid, test …
    #[arg(long)]
    split: String,
    /// The language to print
    #[arg(long)]
    lang: String,
    /// Print ids instead of words, the 2 of `</s>` at the end included
    #[arg(long)]
    ids: bool,
    /// Put the pieces of words together
    #[arg(long, conflicts_with = "ids")]
    remove_bpe: bool,
    /// The source language, for folders with several language pairs
    #[arg(long, value_name = "SRC")]
    source_lang: Option<String>,
    /// The target language, for folders with several language pairs
    #[arg(long, value_name = "TGT")]
    target_lang: Option<String>,
}

impl DataShowArgs {
    /// Print the split. A reader that stops reading is no error.
    pub fn run(&self) -> nmt::Result<()> {
        let folder = DataFolder::open(&self.data, self.source_lang.as_deref(), self.target_lang.as_deref())?;
        folder.check_split(&self.split)?;
        let languages = [folder.source_lang(), folder.target_lang()];
        if !languages.contains(&self.lang.as_str()) {
            return Err(Error::usage(
                format!("{} has no language {:?}; it has {}", self.data.display(), self.lang, languages.join(", ")),
                "choose one of these",
            ));
        }
        let path = folder.dictionary(&self.lang);
        let dictionary = Dictionary::load(&path)?;
        let dataset = IndexedDataset::open(&folder.prefix(&self.split, &self.lang))?;
        dataset.check_ids(dictionary.len(), &path)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let written = (0..dataset.len())
            .try_for_each(|i| writeln!(out, "{}", self.sentence(&dataset.get(i), &dictionary)))
            .and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Error::io("write to", Path::new("standard output"))),
        }
    }

    fn sentence(&self, ids: &[i64], dictionary: &Dictionary) -> String {
        if self.ids {
            return ids.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        }
        // Only the last `</s>` was added; others stood in the text.
        let ids = ids.strip_suffix(&[EOS]).unwrap_or(ids);
        let line = ids.iter().map(|&id| dictionary.symbol(id)).collect::<Vec<_>>().join(" ");
        if self.remove_bpe { join_subwords(&line) } else { line }
    }
}
