//! Embeddings: looked up, scaled, with positions and dropout.

use std::ops::Range;

use tch::Tensor;

use super::dropout::{BLOCK, Mask};
use super::element::{Element, by_kind, elements, elements_mut, empty};
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::vectorised;

/// `dropout(scale · table[id] + positions[row])`, `[N, d]`.
///
/// * `table`: `[V, d]`; `positions`: `[rows, d]`, fp32; `ids` and `rows`: N each.
pub fn embed(table: &Tensor, positions: &Tensor, ids: &[i64], rows: &[i64], scale: f32, mask: Option<Mask>) -> Tensor {
    by_kind!(table, forward(table, positions, ids, rows, scale, mask))
}

fn forward<E: Element>(
    table: &Tensor,
    positions: &Tensor,
    ids: &[i64],
    rows: &[i64],
    scale: f32,
    mask: Option<Mask>,
) -> Tensor {
    let (n, d) = (ids.len(), table.size()[1] as usize);
    let mut out = empty::<E>(&[n as i64, d as i64]);
    let (table, positions) = (elements::<E>(table), elements::<f32>(positions));
    let shared = Disjoint::new(elements_mut::<E>(&mut out));
    parallel(PARTS, |part| {
        let here = part_of(n, PARTS, part);
        // SAFETY: every part has rows of its own.
        let out = unsafe { shared.range(here.start * d..here.end * d) };
        forward_rows::<E>(here, d, table, positions, ids, rows, scale, mask.as_ref(), out);
    });
    out
}

vectorised! {
    fn forward_rows<E>(
        here: Range<usize>, d: usize, table: &[E], positions: &[f32], ids: &[i64], rows: &[i64], scale: f32,
        mask: Option<&Mask>, out: &mut [E],
    ) {
        let mut multipliers = vec![1f32; d];
        for (i, out) in here.zip(out.chunks_exact_mut(d)) {
            if let Some(mask) = mask {
                mask.fill(i, d, &mut multipliers);
            }
            let word = &table[ids[i] as usize * d..][..d];
            let position = &positions[rows[i] as usize * d..][..d];
            for (((out, word), position), keep) in out.iter_mut().zip(word).zip(position).zip(&multipliers) {
                *out = E::from_f32(word.to_f32().mul_add(scale, *position) * keep);
            }
        }
    }
}

/// Add the gradient of the table to `d_table` (`[V, d]`, fp32) from that of [`embed`]'s result.
pub fn embed_backward(d_out: &Tensor, ids: &[i64], scale: f32, mask: Option<Mask>, d_table: &mut Tensor) {
    by_kind!(d_out, backward(d_out, ids, scale, mask, d_table));
}

fn backward<E: Element>(d_out: &Tensor, ids: &[i64], scale: f32, mask: Option<Mask>, d_table: &mut Tensor) {
    let (d, symbols) = (d_table.size()[1] as usize, d_table.size()[0] as usize);
    let d_out = elements::<E>(d_out);
    let shared = Disjoint::new(elements_mut::<f32>(d_table));
    // By blocks of columns: a word that occurs twice is never written by two threads.
    parallel(d.div_ceil(BLOCK), |block| {
        let columns = block * BLOCK..((block + 1) * BLOCK).min(d);
        for (i, &id) in ids.iter().enumerate() {
            assert!((id as usize) < symbols);
            // SAFETY: every part has columns of its own.
            let onto = unsafe { shared.range(id as usize * d + columns.start..id as usize * d + columns.end) };
            let from = &d_out[i * d + columns.start..i * d + columns.end];
            backward_row::<E>(i, d, block, from, scale, mask.as_ref(), onto);
        }
    });
}

vectorised! {
    fn backward_row<E>(
        row: usize, d: usize, block: usize, from: &[E], scale: f32, mask: Option<&Mask>, onto: &mut [f32],
    ) {
        let mut multipliers = [1f32; BLOCK];
        if let Some(mask) = mask {
            mask.fill_from(row, d, block, &mut multipliers[..from.len()]);
        }
        for ((onto, from), keep) in onto.iter_mut().zip(from).zip(&multipliers) {
            *onto = (from.to_f32() * keep).mul_add(scale, *onto);
        }
    }
}
