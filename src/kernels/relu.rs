//! ReLU and the dropout after it.

use std::ops::Range;

use tch::Tensor;

use super::dropout::Mask;
use super::element::{Element, by_kind, elements, elements_mut};
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::vectorised;

/// `x` `[N, width]` in place: ReLU, then dropout.
pub fn relu_dropout(x: &mut Tensor, mask: Option<Mask>) {
    by_kind!(x, forward(x, mask));
}

/// The gradient `d_out` `[N, width]` in place, where `out` is what [`relu_dropout`] left: what was not cut and not
/// dropped is positive.
pub fn relu_dropout_backward(out: &Tensor, d_out: &mut Tensor, mask: Option<Mask>) {
    by_kind!(out, backward(out, d_out, mask));
}

fn forward<E: Element>(x: &mut Tensor, mask: Option<Mask>) {
    let (n, width) = (x.size()[0] as usize, x.size()[1] as usize);
    let shared = Disjoint::new(elements_mut::<E>(x));
    parallel(PARTS, |part| {
        let rows = part_of(n, PARTS, part);
        // SAFETY: every part has rows of its own.
        let x = unsafe { shared.range(rows.start * width..rows.end * width) };
        forward_rows::<E>(rows, width, mask.as_ref(), x);
    });
}

fn backward<E: Element>(out: &Tensor, d_out: &mut Tensor, mask: Option<Mask>) {
    let scale = mask.map_or(1.0, |mask| mask.scale());
    let out = elements::<E>(out);
    let n = out.len();
    let shared = Disjoint::new(elements_mut::<E>(d_out));
    parallel(PARTS, |part| {
        let here = part_of(n, PARTS, part);
        // SAFETY: every part has elements of its own.
        backward_elements::<E>(scale, &out[here.clone()], unsafe { shared.range(here) });
    });
}

vectorised! {
    fn forward_rows<E>(rows: Range<usize>, width: usize, mask: Option<&Mask>, x: &mut [E]) {
        let mut multipliers = vec![1f32; width];
        for (row, x) in rows.zip(x.chunks_exact_mut(width.max(1))) {
            if let Some(mask) = mask {
                mask.fill(row, width, &mut multipliers);
            }
            for (x, keep) in x.iter_mut().zip(&multipliers) {
                let value = x.to_f32();
                *x = E::from_f32(if value > 0.0 { value * keep } else { 0.0 });
            }
        }
    }
}

vectorised! {
    fn backward_elements<E>(scale: f32, out: &[E], d_out: &mut [E]) {
        for (d_out, out) in d_out.iter_mut().zip(out) {
            *d_out = E::from_f32(if out.to_f32() > 0.0 { d_out.to_f32() * scale } else { 0.0 });
        }
    }
}
