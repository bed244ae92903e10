//! Many sentences: batches of equal length, results in input order.

use tch::{Kind, Tensor, no_grad};

use super::beam::{Hypothesis, SearchConfig, beam_search};
use crate::data::PAD;
use crate::error::Result;
use crate::model::Transformer;
use crate::task::Task;

/// How many sentences are translated.
#[derive(Debug, Clone)]
pub struct BatchSearch {
    /// The search of a sentence.
    pub search: SearchConfig,
    /// Source tokens of a batch, padding included.
    pub max_tokens: usize,
    /// What activations are computed in.
    pub compute: Kind,
}

/// Translate sentences (source ids, each ending with `</s>`) in batches, longest first, where `theta` is; `progress`
/// is told how many are done. Results are in input order, best hypothesis first.
///
/// # Errors
/// [`crate::Error::Content`] for a sentence that is longer than the model's positions.
pub fn translate_all(
    model: &Transformer,
    theta: &Tensor,
    sentences: &[Vec<i64>],
    options: &BatchSearch,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<Hypothesis>>> {
    for (i, sentence) in sentences.iter().enumerate() {
        if sentence.len() as i64 > model.config().max_positions {
            return Err(crate::Error::content(
                format!("sentence {}", i + 1),
                format!("at most {} tokens", model.config().max_positions),
                format!("{}", sentence.len()),
                "split the sentence",
            ));
        }
    }
    no_grad(|| {
        let views = model.layout().views(&theta.to_kind(options.compute));
        let mut order: Vec<usize> = (0..sentences.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(sentences[i].len()));
        let mut results = vec![Vec::new(); sentences.len()];
        let mut start = 0;
        while start < order.len() {
            let width = sentences[order[start]].len();
            let rows = (options.max_tokens / width.max(1)).max(1).min(order.len() - start);
            let part = &order[start..start + rows];
            let mut source = Vec::with_capacity(rows * width);
            for &i in part {
                source.extend(std::iter::repeat_n(PAD, width - sentences[i].len()));
                source.extend_from_slice(&sentences[i]);
            }
            for (&i, hypotheses) in
                part.iter().zip(beam_search(model, &views, &source, width, &options.search, theta.device())?)
            {
                results[i] = hypotheses;
            }
            start += rows;
            progress(start);
        }
        Ok(results)
    })
}
