//! What `nmt score` scores: lines of files, or what models make of a split.

use std::path::{Path, PathBuf};

use nmt::data::ParallelDataset;
use nmt::decode::SearchConfig;
use nmt::error::Error;
use nmt::progress::{self, Progress};
use nmt::score::System;
use nmt::text::LineReader;
use nmt::translation::ModelFolder;
use nmt::{Result, machine};

use super::translate::SearchOptions;

/// Translations, and what they are scored against.
pub struct Material {
    /// Each named as it was given.
    pub systems: Vec<System>,
    /// As long as every system.
    pub references: Vec<Vec<String>>,
    /// How models were searched for the translations of each system; none of files.
    pub searches: Vec<SearchConfig>,
    /// Models made them of data that are tokenised, and they still are.
    pub tokenised: bool,
}

impl Material {
    /// Read files of translations (`-`: standard input) and of references.
    pub fn read(hypotheses: &[PathBuf], references: &[PathBuf]) -> Result<Material> {
        let mut lines = None;
        // All files are as long as the first.
        let mut read = |path: &PathBuf| {
            let found = read_lines(path)?;
            let (length, first) = lines.get_or_insert((found.len(), path.clone()));
            if found.len() == *length {
                return Ok(found);
            }
            Err(Error::content(
                path.display().to_string(),
                format!("{length} lines, as many as {} has", first.display()),
                format!("{} lines", found.len()),
                "pair the files again: line i of each has to belong to segment i",
            ))
        };
        let mut systems = Vec::new();
        for path in hypotheses {
            let lines = read(path)?;
            if lines.is_empty() {
                let (found, next) = ("an empty file", "check that the translation was written");
                return Err(Error::content(path.display().to_string(), "at least one line", found, next));
            }
            systems.push(System { name: path.display().to_string(), lines });
        }
        let references = references.iter().map(read).collect::<Result<_>>()?;
        Ok(Material { systems, references, searches: Vec::new(), tokenised: false })
    }
}

/// A split that models translate.
pub struct Split<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// `test`, `valid` …
    pub name: &'a str,
    /// Readable text instead of the data's tokens.
    pub detokenize: bool,
    /// How the models are searched.
    pub search: &'a SearchOptions,
}

impl Split<'_> {
    /// Translate the split with each of `systems`: models that translate together.
    pub fn translate(&self, systems: &[Vec<PathBuf>]) -> Result<Material> {
        let mut material =
            Material { systems: Vec::new(), references: Vec::new(), searches: Vec::new(), tokenised: false };
        systems.iter().try_for_each(|models| self.translate_with(models, &mut material))?;
        Ok(material)
    }

    /// Add the translations of models that translate together, the references, and how the models were searched.
    fn translate_with(&self, models: &[PathBuf], material: &mut Material) -> Result<()> {
        let model = ModelFolder::open_all(models, machine::device())?;
        let options = self.search.resolve(&model.config)?;
        let dataset = ParallelDataset::open(self.data, self.name, Some(&model.source_lang), Some(&model.target_lang))?;
        model.check_dictionaries(self.data, &dataset.source_dictionary, &dataset.target_dictionary)?;
        let sentences: Vec<Vec<i64>> = (0..dataset.len()).map(|i| dataset.source.get(i)).collect();
        let mut bar = Progress::new("translate", Some(dataset.len() as u64));
        let started = std::time::Instant::now();
        let found = model.translator(&options)?.translate(&sentences, |done| bar.set(done as u64, String::new))?;
        let rate = dataset.len() as f64 / started.elapsed().as_secs_f64();
        drop(bar);
        progress::note(format!(
            "{} sentences of {}, split {}; {}; beam {}, length penalty {}; {}; {rate:.0} sentences/s",
            dataset.len(),
            self.data.display(),
            self.name,
            match (model.text.is_of_raw_text(), self.detokenize) {
                (true, _) => "text of which the data are pieces",
                (false, true) => "detokenised",
                (false, false) => "tokenised as the data are, subwords joined",
            },
            options.search.beam,
            options.search.length_penalty,
            model.checkpoints()
        ));
        let text = |ids: &[i64]| if self.detokenize { model.text.restore(ids) } else { model.text.words(ids) };
        let lines = found.iter().map(|best| best.first().map_or(String::new(), |best| text(&best.tokens))).collect();
        let names: Vec<String> = models.iter().map(|path| path.display().to_string()).collect();
        material.systems.push(System { name: names.join(" + "), lines });
        // The same for every model: each was trained with the dictionaries of the data.
        material.references = vec![(0..dataset.len()).map(|i| text(&dataset.target.get(i))).collect()];
        material.tokenised = !self.detokenize && !model.text.is_of_raw_text();
        material.searches.push(options.search);
        Ok(())
    }
}

/// The lines of a file, plain or `.gz`, or of standard input.
fn read_lines(path: &Path) -> Result<Vec<String>> {
    let mut reader = if path == Path::new("-") {
        LineReader::of_stream("standard input", std::io::stdin().lock())
    } else {
        LineReader::open(path)?
    };
    let mut lines = Vec::new();
    while let Some(line) = reader.read_line()? {
        lines.push(line.to_string());
    }
    Ok(lines)
}
