//! Self-attention of a search: one query a row over the keys and values of its past, which lie where each step left
//! them. Nothing is copied when a beam is reordered: a row remembers in which rows its past is.

use std::ops::Range;

use tch::Tensor;

use super::element::{Element, by_kind, elements, elements_mut, empty};
use super::threads::{Disjoint, parallel, part_of};
use super::vector::{exp, lane_sum, largest, prefetch, vectorised};

/// How many steps ahead keys and values are asked for: the rows of a past lie all over the memory.
const AHEAD: usize = 4;

/// The context of the queries of the last step, `[rows, d]`.
///
/// * `steps`: what every step projected, `[rows of that step, 3d]`: queries, keys, values.
/// * `pasts`: for every row of the last step, one after the other, its row in each earlier step, and in the last.
pub fn attention_over_steps(steps: &[Tensor], pasts: &[u32], heads: usize) -> Tensor {
    match steps.last() {
        Some(last) => by_kind!(last, run(steps, pasts, heads)),
        None => Tensor::new(),
    }
}

fn run<E: Element>(steps: &[Tensor], pasts: &[u32], heads: usize) -> Tensor {
    let rows = pasts.len() / steps.len();
    let d = steps[0].size()[1] as usize / 3;
    let mut context = empty::<E>(&[rows as i64, d as i64]);
    let steps: Vec<&[E]> = steps.iter().map(elements::<E>).collect();
    {
        let shared = Disjoint::new(elements_mut::<E>(&mut context));
        let parts = rows.min(32);
        parallel(parts, |part| {
            let here = part_of(rows, parts, part);
            // SAFETY: every part has rows of its own.
            let context = unsafe { shared.range(here.start * d..here.end * d) };
            rows_of::<E>(here, d, heads, &steps, pasts, context);
        });
    }
    context
}

vectorised! {
    fn rows_of<E>(
        here: Range<usize>, d: usize, heads: usize, steps: &[&[E]], pasts: &[u32], context: &mut [E],
    ) {
        let width = d / heads;
        let scale = (width as f32).powf(-0.5);
        let mut query = vec![0f32; d];
        let mut scores = vec![0f32; steps.len() * heads];
        let mut sum = vec![0f32; d];
        for (row, context) in here.zip(context.chunks_exact_mut(d)) {
            let past = &pasts[row * steps.len()..][..steps.len()];
            let last = &steps[steps.len() - 1][past[steps.len() - 1] as usize * 3 * d..][..d];
            for (query, value) in query.iter_mut().zip(last) {
                *query = value.to_f32() * scale;
            }
            for (step, (rows, &at)) in steps.iter().zip(past).enumerate() {
                if let (Some(rows), Some(&at)) = (steps.get(step + AHEAD), past.get(step + AHEAD)) {
                    prefetch(&rows[at as usize * 3 * d + d..][..2 * d]);
                }
                let key = &rows[at as usize * 3 * d + d..][..d];
                for head in 0..heads {
                    let (query, key) = (&query[head * width..][..width], &key[head * width..][..width]);
                    scores[head * steps.len() + step] = lane_sum(width, |i| query[i] * key[i].to_f32());
                }
            }
            for scores in scores.chunks_exact_mut(steps.len()) {
                let top = largest(scores);
                for score in scores.iter_mut() {
                    *score = exp(*score - top);
                }
                let share = 1.0 / lane_sum(scores.len(), |i| scores[i]);
                for score in scores.iter_mut() {
                    *score *= share;
                }
            }
            sum.fill(0.0);
            for (step, (rows, &at)) in steps.iter().zip(past).enumerate() {
                let value = &rows[at as usize * 3 * d + 2 * d..][..d];
                for head in 0..heads {
                    let share = scores[head * steps.len() + step];
                    for (sum, value) in sum[head * width..][..width].iter_mut().zip(&value[head * width..]) {
                        *sum = share.mul_add(value.to_f32(), *sum);
                    }
                }
            }
            for (context, sum) in context.iter_mut().zip(&sum) {
                *context = E::from_f32(*sum);
            }
        }
    }
}
