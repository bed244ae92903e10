//! Label-smoothed cross-entropy over rows of logits.

use tch::Tensor;

use super::element::{Element, by_kind, elements_mut};
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::{exp, lane_sum, largest, vectorised};

/// The summed label-smoothed loss and negative log-likelihood of `logits` `[N, V]` with the targets `gold` (N ids);
/// with `gradient` the logits are replaced by the gradient of the loss.
///
/// As fairseq computes it: the target gets `1 - ε`, every other symbol `ε/(V-1)`.
pub fn cross_entropy(logits: &mut Tensor, gold: &[i64], epsilon: f64, gradient: bool) -> (f64, f64) {
    by_kind!(logits, run(logits, gold, epsilon, gradient))
}

fn run<E: Element>(logits: &mut Tensor, gold: &[i64], epsilon: f64, gradient: bool) -> (f64, f64) {
    let (n, symbols) = (logits.size()[0] as usize, logits.size()[1] as usize);
    assert!(gold.len() == n && gold.iter().all(|&id| (0..symbols as i64).contains(&id)));
    let smooth = epsilon / (symbols - 1).max(1) as f64;
    let gold_weight = 1.0 - epsilon - smooth;
    let mut partial = vec![[0f64; 2]; PARTS];
    {
        let shared = Disjoint::new(elements_mut::<E>(logits));
        let partials = Disjoint::new(&mut partial);
        parallel(PARTS, |part| {
            let rows = part_of(n, PARTS, part);
            // SAFETY: every part has rows and sums of its own.
            let (logits, sums) = unsafe {
                (shared.range(rows.start * symbols..rows.end * symbols), &mut partials.range(part..part + 1)[0])
            };
            rows_of::<E>(logits, symbols, &gold[rows], smooth as f32, gold_weight as f32, gradient, sums);
        });
    }
    let (nll, all) = partial.iter().fold((0.0, 0.0), |(nll, all), part| (nll + part[0], all + part[1]));
    (nll * gold_weight + all * smooth, nll)
}

vectorised! {
    /// Adds to `sums` the negative log-likelihood of the targets and that of all symbols.
    fn rows_of<E>(
        logits: &mut [E], symbols: usize, gold: &[i64], smooth: f32, gold_weight: f32, gradient: bool,
        sums: &mut [f64; 2],
    ) {
        let mut line = vec![0f32; symbols];
        for (row, &gold) in logits.chunks_exact_mut(symbols).zip(gold) {
            for (value, logit) in line.iter_mut().zip(row.iter()) {
                *value = logit.to_f32();
            }
            let top = largest(&line);
            // Relative to the largest: sums of logits far from zero would lose digits.
            for value in &mut line {
                *value -= top;
            }
            let total = lane_sum(symbols, |i| line[i]);
            let gold_logit = line[gold as usize];
            for value in &mut line {
                *value = exp(*value);
            }
            let mass = lane_sum(symbols, |i| line[i]);
            let log_mass = mass.ln();
            sums[0] += (log_mass - gold_logit) as f64;
            sums[1] += (symbols as f32 * log_mass - total) as f64;
            if gradient {
                let share = 1.0 / mass;
                line[gold as usize] -= gold_weight * mass;
                for (out, value) in row.iter_mut().zip(&line) {
                    *out = E::from_f32(value.mul_add(share, -smooth));
                }
            }
        }
    }
}
