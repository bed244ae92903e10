//! `nmt data show`: a binarised split as text again.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use nmt::data::{DataFolder, Dictionary, EOS, IndexedDataset};
use nmt::error::Error;
use nmt::text::{SentencePiece, join_pieces, join_subwords};

/// Print a split of a dataset, a sentence a line, as it was binarised; words that are not in the dictionary are `<unk>`.
/// Without --split and --lang: what the folder holds.
#[derive(Debug, clap::Args)]
pub struct DataShowArgs {
    /// The folder, made by `nmt preprocess` or fairseq-preprocess
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The split: train, valid, test … [default: list splits and languages]
    #[arg(long, requires = "lang")]
    split: Option<String>,
    /// The language to print
    #[arg(long, requires = "split")]
    lang: Option<String>,
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
        let (Some(split), Some(lang)) = (&self.split, &self.lang) else { return list(&folder) };
        folder.check_split(split)?;
        let languages = [folder.source_lang(), folder.target_lang()];
        if !languages.contains(&lang.as_str()) {
            return Err(Error::usage(
                format!("{} has no language {:?}; it has {}", self.data.display(), lang, languages.join(", ")),
                "choose one of these",
            ));
        }
        let path = folder.dictionary(lang);
        let dictionary = Dictionary::load(&path)?;
        let dataset = IndexedDataset::open(&folder.prefix(split, lang))?;
        dataset.check_ids(dictionary.len(), &path)?;
        let of_raw_text = SentencePiece::load(&self.data)?.is_some();
        let mut out = BufWriter::new(io::stdout().lock());
        let written = (0..dataset.len())
            .try_for_each(|i| writeln!(out, "{}", self.sentence(&dataset.get(i), &dictionary, of_raw_text)))
            .and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(Error::io("write to", Path::new("standard output"))),
        }
    }

    fn sentence(&self, ids: &[i64], dictionary: &Dictionary, of_raw_text: bool) -> String {
        if self.ids {
            return ids.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
        }
        // Only the last `</s>` was added; others stood in the text.
        let ids = ids.strip_suffix(&[EOS]).unwrap_or(ids);
        let line = ids.iter().map(|&id| dictionary.symbol(id)).collect::<Vec<_>>().join(" ");
        match (self.remove_bpe, of_raw_text) {
            (true, true) => join_pieces(line.split(' ')),
            (true, false) => join_subwords(&line),
            (false, _) => line,
        }
    }
}

/// Print what the folder holds: split, language, sentences, tokens (`</s>` included), entries of the dictionary.
fn list(folder: &DataFolder) -> nmt::Result<()> {
    let mut table = "split\tlang\tsentences\ttokens\tdictionary\n".to_string();
    let entries = |lang| Dictionary::load(&folder.dictionary(lang)).map(|dictionary| dictionary.len());
    let (source, target) = (folder.source_lang(), folder.target_lang());
    let languages = [(source, entries(source)?), (target, entries(target)?)];
    for split in folder.splits()? {
        for (lang, entries) in languages {
            let dataset = IndexedDataset::open(&folder.prefix(&split, lang))?;
            table.push_str(&format!("{split}\t{lang}\t{}\t{}\t{entries}\n", dataset.len(), dataset.tokens()));
        }
    }
    super::print(&table)
}
