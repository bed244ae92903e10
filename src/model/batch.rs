//! A batch of sentence pairs as the tensors that the Transformer reads.

use tch::{Device, Tensor};

use super::packed::PackedBatch;
use crate::data::{Batch, PAD};

/// A batch as tensors.
pub struct TranslationBatch {
    pub(super) source: Tensor,
    pub(super) source_positions: Tensor,
    pub(super) previous_output: Tensor,
    pub(super) previous_output_positions: Tensor,
    /// Flat indices of the target ids that are not padding, and those ids.
    pub(super) target_rows: Tensor,
    pub(super) target: Tensor,
    /// Source positions that are padding, `[B, S]`; none where nothing is.
    pub(super) source_padding: Option<Tensor>,
    /// Positions of `previous_output` that are padding, `[B, T]`. No token sees them, but they see each other, and Admin's
    /// profile sees all.
    pub(super) target_padding: Option<Tensor>,
    /// The same without padding.
    pub(super) packed: PackedBatch,
    /// The dataset indices of the rows.
    pub ids: Vec<usize>,
}

impl TranslationBatch {
    /// The tensors of `batch` on `device`.
    pub fn new(batch: &Batch, device: Device) -> TranslationBatch {
        let (n, s, t) = (batch.n as i64, batch.s as i64, batch.t as i64);
        let rows: Vec<i64> = (0..batch.target.len() as i64).filter(|&i| batch.target[i as usize] != PAD).collect();
        let packed = PackedBatch::new(batch);
        let source = Tensor::from_slice(&batch.source).view([n, s]).to_device(device);
        let previous_output = Tensor::from_slice(&batch.previous_output).view([n, t]).to_device(device);
        let padded = |ids: &[i64], tensor: &Tensor| ids.contains(&PAD).then(|| tensor.eq(PAD));
        TranslationBatch {
            source_padding: padded(&batch.source, &source),
            target_padding: padded(&batch.previous_output, &previous_output),
            source,
            source_positions: Tensor::from_slice(&positions(&batch.source, batch.s)).to_device(device),
            previous_output,
            previous_output_positions: Tensor::from_slice(&positions(&batch.previous_output, batch.t))
                .to_device(device),
            target_rows: Tensor::from_slice(&rows).to_device(device),
            target: Tensor::from_slice(&packed.target).to_device(device),
            packed,
            ids: batch.ids.clone(),
        }
    }

    /// Flat indices of the source tokens, and of the target tokens, that are not padding.
    pub(super) fn rows(&self) -> (Tensor, Tensor) {
        (self.source.ne(PAD).view([-1]).nonzero().view([-1]), self.target_rows.shallow_clone())
    }

    /// Target tokens that are not padding.
    pub fn tokens(&self) -> i64 {
        self.packed.target.len() as i64
    }
}

/// Rows of the position table: padding reads row 1, the first token row 2 and so on, wherever the padding is.
pub(super) fn positions(ids: &[i64], width: usize) -> Vec<i64> {
    let mut rows = Vec::with_capacity(ids.len());
    for sentence in ids.chunks(width.max(1)) {
        let mut next = PAD;
        for &id in sentence {
            rows.push(if id == PAD {
                PAD
            } else {
                next += 1;
                next
            });
        }
    }
    rows
}
