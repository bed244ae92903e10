//! Translations of some sentences, and what the decoder looked at.

use tch::{Device, Kind};

use crate::data::{ParallelDataset, collate};
use crate::decode::BatchSearch;
use crate::error::Result;
use crate::model::{Dropout, TranslationBatch};
use crate::translation::ModelFolder;

/// A sentence, its translation, and the attention between them.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The tokens of the source, `</s>` included.
    pub source: Vec<String>,
    /// The tokens of the translation, `</s>` included.
    pub tokens: Vec<String>,
    /// The reference, readable.
    pub reference: String,
    /// The source, readable as far as its text can be restored.
    pub text: String,
    /// The translation, readable.
    pub translation: String,
    /// The score of the search.
    pub score: f64,
    /// For every token of the translation the attention over the source that the decoder's last layer had when it was made, the
    /// mean of its heads: `tokens` rows of `source` numbers that add up to 1.
    pub attention: Vec<Vec<f64>>,
}

/// Translate `count` sentences of a split, spread evenly over it.
///
/// # Errors
/// What translating brings.
pub fn samples(
    model: &ModelFolder,
    dataset: &ParallelDataset,
    search: &BatchSearch,
    count: usize,
    device: Device,
) -> Result<Vec<Sample>> {
    let step = dataset.len().div_ceil(count.max(1)).max(1);
    let indices: Vec<usize> = (0..dataset.len()).step_by(step).take(count).collect();
    let sources: Vec<Vec<i64>> = indices.iter().map(|&index| dataset.source.get(index)).collect();
    let found = model.translator(search)?.translate(&sources, |_| {})?;
    let views = model.model.views(&model.theta, Kind::Float);
    let mut samples = Vec::new();
    for ((source, hypotheses), &index) in sources.into_iter().zip(found).zip(&indices) {
        let Some(best) = hypotheses.into_iter().next() else { continue };
        let pair = [(source.as_slice(), best.tokens.as_slice())];
        let batch = TranslationBatch::new(&collate(&pair, &[index]), device);
        let attention = tch::no_grad(|| {
            let encoded = model.model.encode(&views, &batch, &Dropout::off());
            model.model.attention_over_source(&views, &batch, &encoded)
        });
        let rows = attention.to_device(Device::Cpu).to_kind(Kind::Double).get(0).unbind(0); // [1, T, S] -> T rows
        let text = &model.text;
        samples.push(Sample {
            source: source.iter().map(|&id| text.source_dictionary.symbol(id).to_string()).collect(),
            tokens: best.tokens.iter().map(|&id| text.target_dictionary.symbol(id).to_string()).collect(),
            reference: text.restore(&dataset.target.get(index)),
            text: text.restore_source(&source),
            translation: text.restore(&best.tokens),
            score: best.score,
            attention: rows.iter().map(Vec::<f64>::try_from).collect::<Result<_, _>>()?,
        });
    }
    Ok(samples)
}
