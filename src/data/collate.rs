//! How do sentences become a batch? As fairseq's `LanguagePairDataset.collater` puts them together.

use std::cmp::Reverse;

use super::dictionary::{EOS, PAD};

/// Sentence pairs as rectangles of ids, row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The dataset index of every row, by falling source length.
    pub ids: Vec<usize>,
    /// `n × s` source ids, padded on the LEFT, each row ending with `</s>`.
    pub source: Vec<i64>,
    /// The source length of every row, `</s>` included.
    pub source_lengths: Vec<usize>,
    /// `n × t` decoder input: the target with its `</s>` moved to the front, padded on the right.
    pub previous_output: Vec<i64>,
    /// `n × t` target ids, padded on the right.
    pub target: Vec<i64>,
    /// Rows.
    pub n: usize,
    /// Columns of the source.
    pub s: usize,
    /// Columns of the target.
    pub t: usize,
    /// Target ids that are not padding: what a loss is averaged over.
    pub target_tokens: usize,
}

/// Put the sentence pairs (source ids, target ids) together; `ids` are their dataset indices.
/// Rows are sorted by falling source length; equally long ones keep their order.
///
/// ```
/// use nmt::data::collate;
/// let batch = collate(&[(&[7, 2], &[8, 9, 2]), (&[4, 5, 2], &[6, 2])], &[10, 11]);
/// assert_eq!((batch.n, batch.s, batch.t, batch.target_tokens), (2, 3, 3, 5));
/// assert_eq!(batch.ids, [11, 10]);
/// assert_eq!(batch.source, [4, 5, 2, /**/ 1, 7, 2]);
/// assert_eq!(batch.previous_output, [2, 6, 1, /**/ 2, 8, 9]);
/// assert_eq!(batch.target, [6, 2, 1, /**/ 8, 9, 2]);
/// ```
pub fn collate(pairs: &[(&[i64], &[i64])], ids: &[usize]) -> Batch {
    let mut rows: Vec<(usize, &[i64], &[i64])> =
        ids.iter().zip(pairs).map(|(&id, &(source, target))| (id, source, target)).collect();
    rows.sort_by_key(|(_, source, _)| Reverse(source.len()));
    let s = rows.iter().map(|(_, source, _)| source.len()).max().unwrap_or(0);
    let t = rows.iter().map(|(_, _, target)| target.len()).max().unwrap_or(0);
    let mut batch = Batch { n: rows.len(), s, t, ..Batch::default() };
    for (id, source, target) in rows {
        batch.ids.push(id);
        batch.source_lengths.push(source.len());
        batch.target_tokens += target.len();
        batch.source.extend(std::iter::repeat_n(PAD, s - source.len()));
        batch.source.extend_from_slice(source);
        let padding = std::iter::repeat_n(PAD, t - target.len());
        batch.target.extend_from_slice(target);
        batch.target.extend(padding.clone());
        if let Some((_, words)) = target.split_last() {
            batch.previous_output.push(EOS);
            batch.previous_output.extend_from_slice(words);
        }
        batch.previous_output.extend(padding);
    }
    batch
}
