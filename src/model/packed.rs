//! Sentences one after the other instead of in a rectangle with padding.

use std::ops::Range;

use crate::data::{Batch, PAD};

/// Sentences one after the other.
#[derive(Debug, Clone)]
pub struct Sentences {
    /// The ids of all.
    pub ids: Vec<i64>,
    /// Rows of the position table.
    pub positions: Vec<i64>,
    /// The rows of every sentence.
    pub rows: Vec<Range<usize>>,
    /// The length of the longest.
    pub longest: usize,
}

impl Sentences {
    /// The rows of a rectangle of `width` columns without its padding, which `real` says is none.
    pub fn new(rectangle: &[i64], width: usize, real: impl Fn(usize) -> bool) -> Sentences {
        let mut sentences = Sentences { ids: Vec::new(), positions: Vec::new(), rows: Vec::new(), longest: 0 };
        for row in 0..rectangle.len() / width.max(1) {
            let (start, mut position) = (sentences.ids.len(), PAD);
            for at in (row * width..(row + 1) * width).filter(|&at| real(at)) {
                position += 1;
                sentences.ids.push(rectangle[at]);
                sentences.positions.push(position);
            }
            sentences.longest = sentences.longest.max((position - PAD) as usize);
            sentences.rows.push(start..sentences.ids.len());
        }
        sentences
    }
}

/// A batch without padding.
pub struct PackedBatch {
    /// The source.
    pub source: Sentences,
    /// The decoder's input.
    pub previous_output: Sentences,
    /// What the decoder should say next, row by row.
    pub target: Vec<i64>,
}

impl PackedBatch {
    /// The sentences of `batch`.
    pub fn new(batch: &Batch) -> PackedBatch {
        PackedBatch {
            source: Sentences::new(&batch.source, batch.s, |at| batch.source[at] != PAD),
            previous_output: Sentences::new(&batch.previous_output, batch.t, |at| batch.target[at] != PAD),
            target: batch.target.iter().copied().filter(|&id| id != PAD).collect(),
        }
    }
}
