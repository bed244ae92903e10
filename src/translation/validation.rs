//! Validation of a Transformer: loss, perplexity and BLEU of a split.

use std::f64::consts::LN_2;

use serde_json::{Map, json};
use tch::{Device, Tensor, no_grad};

use super::model_text::join;
use crate::config::{Config, ValidationMetric};
use crate::data::{Limits, ParallelDataset, batch_by_size, ordered_indices};
use crate::decode::{BatchSearch, SearchConfig, Translator};
use crate::error::Result;
use crate::memory::within;
use crate::model::{Transformer, TranslationBatch};
use crate::score::{Options, Tokenizer, score};
use crate::task::{Mode, Task};
use crate::text::SentencePiece;
use crate::train::Validation;

/// A split that is validated on again and again.
pub struct Validator {
    dataset: ParallelDataset,
    batches: Vec<Vec<usize>>,
    sources: Vec<Vec<i64>>,
    references: Vec<String>,
    /// The pieces of the data are those of raw text, not of words.
    of_raw_text: bool,
    search: BatchSearch,
    bleu: bool,
    metric: ValidationMetric,
    device: Device,
}

impl Validator {
    /// Take `dataset`; sentences that are too long for the model or for a batch are left out of the loss and of BLEU.
    pub fn new(dataset: ParallelDataset, config: &Config, device: Device) -> Result<Validator> {
        let max_tokens = config.training.max_tokens;
        let limits = Limits {
            max_tokens: Some(max_tokens),
            max_length: usize::try_from(config.model.max_positions).ok(),
            skip_too_long: true,
            required_batch_size_multiple: 1,
            ..Limits::default()
        };
        let (source, target) = (dataset.source_lengths(), dataset.target_lengths());
        let order = ordered_indices(&source, &target);
        let batches = batch_by_size(&order, &source, &target, &limits)?;
        let mut kept: Vec<usize> = batches.concat();
        kept.sort_unstable();
        let sources = kept.iter().map(|&i| dataset.source.get(i)).collect();
        let of_raw_text = SentencePiece::load(dataset.folder.dir())?.is_some();
        let words = |i: &usize| join(&dataset.target_dictionary, &dataset.target.get(*i), of_raw_text);
        let references = kept.iter().map(words).collect();
        let search = BatchSearch {
            search: SearchConfig { beam: config.validation.beam, ..config.search.clone() },
            max_tokens,
            compute: config.training.compute.kind(),
        };
        let (bleu, metric) = (config.validation.bleu, config.validation.chosen_metric());
        Ok(Validator { dataset, batches, sources, references, of_raw_text, search, bleu, metric, device })
    }

    /// Validate θ.
    ///
    /// # Errors
    /// [`crate::Error::Content`] where the split was written to since it was opened.
    pub fn validate(&self, model: &Transformer, theta: &Tensor) -> Result<Validation> {
        let (mut loss, mut nll, mut tokens) = (0.0, 0.0, 0);
        for indices in &self.batches {
            let batch = TranslationBatch::new(&self.dataset.batch(indices)?, self.device);
            let of_batch = || no_grad(|| model.loss(theta, &batch, Mode::evaluate(self.search.compute)));
            let found = within(&format!("{} sentences to validate on", indices.len()), LOWER, of_batch)?;
            loss += found.sum.double_value(&[]);
            nll += found.nll.double_value(&[]);
            tokens += found.count;
        }
        let bits = |sum: f64| sum / tokens.max(1) as f64 / LN_2;
        let bleu = match self.bleu && !self.sources.is_empty() {
            true => Some(self.bleu(model, theta)?),
            false => None,
        };
        Ok(self.found(bits(loss), bits(nll), bleu))
    }

    /// Losses in bits a target token.
    fn found(&self, loss: f64, nll: f64, bleu: Option<f64>) -> Validation {
        let value = match self.metric {
            _ if nll.is_nan() => f64::NAN, // Whatever such a network translates.
            ValidationMetric::Bleu => bleu.unwrap_or(0.0),
            ValidationMetric::Nll => nll,
        };
        let perplexity = nll.exp2();
        let mut found = Map::new();
        for (key, value) in [("loss", loss), ("nll_loss", nll), ("perplexity", perplexity)] {
            found.insert(key.into(), json!(value));
        }
        let mut text = format!("validation nll {nll:.3} bits a token, perplexity {perplexity:.2}");
        if let Some(bleu) = bleu {
            found.insert("bleu".into(), json!(bleu));
            text.push_str(&format!(", BLEU {bleu:.2}"));
        }
        Validation { value, found, text }
    }

    fn bleu(&self, model: &Transformer, theta: &Tensor) -> Result<f64> {
        let found = Translator::new(&[(model, theta)], &self.search)?.translate(&self.sources, |_| {})?;
        let words = |ids: &[i64]| join(&self.dataset.target_dictionary, ids, self.of_raw_text);
        let hypotheses: Vec<String> =
            found.iter().map(|best| best.first().map_or(String::new(), |best| words(&best.tokens))).collect();
        bleu(&hypotheses, &self.references, if self.of_raw_text { Tokenizer::V13a } else { Tokenizer::None })
    }
}

/// What less memory wants.
const LOWER: &str = "a new run may have a smaller training.max_tokens";

/// BLEU of text that sacrebleu's `tokenizer` splits into words: `none` where it is tokenised already.
fn bleu(hypotheses: &[String], references: &[String], tokenizer: Tokenizer) -> Result<f64> {
    let mut options = Options::bleu_only();
    options.bleu.tokenize = tokenizer;
    let scores = score(hypotheses, &[references.to_vec()], &options)?;
    Ok(scores.bleu.map_or(0.0, |bleu| bleu.score))
}
