//! The best continuations of a beam, straight from the logits.

use std::ops::Range;

use tch::Tensor;

use super::element::{Element, by_kind, elements};
use super::threads::{Disjoint, parallel, part_of};
use super::vector::{LANES, exp, vectorised};

/// What a search looks for in the rows of logits.
#[derive(Clone, Copy)]
pub struct Continuations<'a> {
    /// The sum of log-probabilities of every row so far.
    pub sums: &'a [f32],
    /// Rows of a sentence.
    pub beam: usize,
    /// Only the first row of a sentence counts: all are equal.
    pub first_row_only: bool,
    /// Continuations wanted of a sentence.
    pub wanted: usize,
    /// Symbols that must not come next.
    pub forbidden: &'a [usize],
    /// The only symbol that may come next.
    pub forced: Option<usize>,
}

/// For every sentence its `wanted` best continuations, best first, equal ones in the order of rows and symbols:
/// sums of log-probabilities, and `row in the beam · V + symbol`. Where there are fewer, the rest is `-inf` at 0.
///
/// `logits`: `[sentences · beam, V]`, on the processor.
pub fn best_continuations(logits: &Tensor, search: &Continuations) -> (Vec<f32>, Vec<i64>) {
    by_kind!(logits, best(logits, search))
}

fn best<E: Element>(logits: &Tensor, search: &Continuations) -> (Vec<f32>, Vec<i64>) {
    let symbols = logits.size()[1] as usize;
    let sentences = search.sums.len() / search.beam;
    let logits = elements::<E>(logits);
    assert!(logits.len() == sentences * search.beam * symbols);
    let mut values = vec![f32::NEG_INFINITY; sentences * search.wanted];
    let mut indices = vec![0i64; sentences * search.wanted];
    {
        let (values, indices) = (Disjoint::new(&mut values), Disjoint::new(&mut indices));
        let parts = sentences.min(64);
        parallel(parts, |part| {
            let here = part_of(sentences, parts, part);
            let range = here.start * search.wanted..here.end * search.wanted;
            // SAFETY: every part has sentences of its own.
            let (values, indices) = unsafe { (values.range(range.clone()), indices.range(range)) };
            sentences_of::<E>(here, symbols, logits, search, values, indices);
        });
    }
    (values, indices)
}

/// The best so far, best first; a later one has to be better to come before an earlier one.
struct Best<'a> {
    values: &'a mut [f32],
    indices: &'a mut [i64],
}

impl Best<'_> {
    #[inline(always)]
    fn bound(&self) -> f32 {
        self.values.last().copied().unwrap_or(f32::INFINITY)
    }

    fn insert(&mut self, value: f32, index: i64) {
        let at = self.values.partition_point(|&better| better >= value);
        if at < self.values.len() {
            self.values[at..].rotate_right(1);
            self.indices[at..].rotate_right(1);
            (self.values[at], self.indices[at]) = (value, index);
        }
    }
}

vectorised! {
    fn sentences_of<E>(
        here: Range<usize>, symbols: usize, logits: &[E], search: &Continuations, values: &mut [f32],
        indices: &mut [i64],
    ) {
        let found = values.chunks_exact_mut(search.wanted).zip(indices.chunks_exact_mut(search.wanted));
        for (sentence, (values, indices)) in here.zip(found) {
            let mut best = Best { values, indices };
            for row in 0..if search.first_row_only { 1 } else { search.beam } {
                let sum = search.sums[sentence * search.beam + row];
                if sum == f32::NEG_INFINITY {
                    continue;
                }
                let start = (sentence * search.beam + row) * symbols;
                let line = &logits[start..start + symbols];
                let (chunks, rest) = line.as_chunks::<LANES>();
                let mut tops = [f32::NEG_INFINITY; LANES];
                for chunk in chunks {
                    for (top, logit) in tops.iter_mut().zip(chunk) {
                        let value = logit.to_f32();
                        *top = if value > *top { value } else { *top };
                    }
                }
                let others = rest.iter().map(|logit| logit.to_f32());
                let top = tops.into_iter().chain(others).fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
                let mut masses = [0f32; LANES];
                for chunk in chunks {
                    for (mass, logit) in masses.iter_mut().zip(chunk) {
                        *mass += exp(logit.to_f32() - top);
                    }
                }
                let rest_mass = rest.iter().fold(0.0, |mass, logit| mass + exp(logit.to_f32() - top));
                let log_mass = (masses.iter().sum::<f32>() + rest_mass).ln();
                let score = |logit: E| ((logit.to_f32() - top) - log_mass) + sum;
                let offset = (row * symbols) as i64;
                if let Some(forced) = search.forced {
                    best.insert(score(line[forced]), offset + forced as i64);
                    continue;
                }
                let take = |best: &mut Best, from: usize, logits: &[E]| {
                    for (lane, &logit) in logits.iter().enumerate() {
                        let (symbol, value) = (from + lane, score(logit));
                        if value > best.bound() && !search.forbidden.contains(&symbol) {
                            best.insert(value, offset + symbol as i64);
                        }
                    }
                };
                for (number, chunk) in chunks.iter().enumerate() {
                    let bound = best.bound();
                    let mut any = false;
                    for &logit in chunk {
                        any |= score(logit) > bound;
                    }
                    if any {
                        take(&mut best, number * LANES, chunk);
                    }
                }
                take(&mut best, chunks.len() * LANES, rest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Oracle: libtorch's log_softmax and topk.
    #[test]
    fn continuations_are_those_of_log_softmax_and_topk() {
        tch::manual_seed(2);
        let (sentences, beam, symbols, wanted) = (3i64, 4i64, 77i64, 8i64);
        let logits = Tensor::randn([sentences * beam, symbols], (Kind::Float, Device::Cpu)) * 3.0;
        let sums: Vec<f32> = (0..sentences * beam).map(|i| -(i as f32) / 3.0).collect();
        for (first_row_only, forbidden) in [(false, vec![1]), (true, vec![1, 2])] {
            let scores = logits.log_softmax(-1, Kind::Float) + Tensor::from_slice(&sums).view([-1, 1]);
            for &symbol in &forbidden {
                let _ = scores.narrow(1, symbol as i64, 1).fill_(f64::NEG_INFINITY);
            }
            let scores = scores.view([sentences, beam * symbols]);
            let width = if first_row_only { symbols } else { beam * symbols };
            let (values, indices) = scores.narrow(1, 0, width).topk(wanted, 1, true, true);
            let search = Continuations {
                sums: &sums,
                beam: beam as usize,
                first_row_only,
                wanted: wanted as usize,
                forbidden: &forbidden,
                forced: None,
            };
            let found = best_continuations(&logits, &search);
            assert_eq!(found.1, Vec::<i64>::try_from(indices.contiguous().view([-1])).unwrap());
            let distance = (Tensor::from_slice(&found.0) - values.contiguous().view([-1])).abs().max();
            assert!(distance.double_value(&[]) < 1e-5);
            let forced = best_continuations(&logits, &Continuations { forced: Some(2), ..search });
            let rows = if first_row_only { 1 } else { 4 };
            assert!(forced.0[..rows].iter().all(|value| value.is_finite()) && forced.0[rows] == f32::NEG_INFINITY);
            assert!(forced.1[..rows].iter().all(|index| index % symbols == 2));
        }
    }
}
