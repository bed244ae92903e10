//! The sum of a sub-layer, `w_skip · x + dropout(branch)`, and the layer normalisation of it, in one pass.

use std::ops::Range;

use tch::{Kind, Tensor};

use super::dropout::Mask;
use super::element::{Element, by_kind, elements, elements_mut, empty};
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::{lane_sum, vectorised};

/// fairseq's epsilon of layer normalisation.
pub const LAYER_NORM_EPSILON: f64 = 1e-5;

/// What is summed and how it is normalised; every part is optional but `x`.
#[derive(Clone, Copy)]
pub struct Sum<'a> {
    /// The skip connection, `[N, d]`.
    pub x: &'a Tensor,
    /// Admin's multiplier of `x`, `[d]`, fp32.
    pub skip: Option<&'a Tensor>,
    /// The branch, `[N, d]`.
    pub branch: Option<&'a Tensor>,
    /// Dropout of the branch.
    pub mask: Option<Mask>,
    /// Scale and bias of the normalisation, `[d]`, fp32.
    pub norm: Option<(&'a Tensor, &'a Tensor)>,
}

impl<'a> Sum<'a> {
    /// `x` alone, normalised.
    pub fn normalised(x: &'a Tensor, norm: (&'a Tensor, &'a Tensor)) -> Sum<'a> {
        Sum { x, skip: None, branch: None, mask: None, norm: Some(norm) }
    }
}

/// The result of [`sum_norm`].
pub struct Normed {
    /// `[N, d]`: the normalised sum, or the sum where nothing normalises.
    pub out: Tensor,
    /// The sum that was normalised, `[N, d]`.
    pub sum: Tensor,
    /// Its mean and reciprocal deviation a row, `[N, 2]`, fp32.
    pub statistics: Tensor,
}

/// Where gradients of parameters are added to, each `[d]`, fp32.
pub struct NormSums<'a> {
    /// Of the normalisation's scale and bias.
    pub norm: Option<(&'a mut Tensor, &'a mut Tensor)>,
    /// Of `w_skip`.
    pub skip: Option<&'a mut Tensor>,
}

fn width(x: &Tensor) -> (usize, usize) {
    let size = x.size();
    (size[0] as usize, size[1] as usize)
}

fn floats(tensor: Option<&Tensor>) -> &[f32] {
    tensor.map_or(&[], elements::<f32>)
}

/// Sum and normalise.
pub fn sum_norm(sum: Sum) -> Normed {
    by_kind!(sum.x, forward(sum))
}

fn forward<E: Element>(given: Sum) -> Normed {
    let (n, d) = width(given.x);
    let (n_rows, d_columns) = (n as i64, d as i64);
    let alone = given.branch.is_none() && given.skip.is_none();
    let mut sum = if alone { given.x.shallow_clone() } else { empty::<E>(&[n_rows, d_columns]) };
    let normalised = given.norm.is_some();
    let mut out = if normalised { empty::<E>(&[n_rows, d_columns]) } else { sum.shallow_clone() };
    let mut statistics = Tensor::empty([if normalised { n_rows } else { 0 }, 2], (Kind::Float, tch::Device::Cpu));
    let x = elements::<E>(given.x);
    let branch = given.branch.map_or(&[][..], elements::<E>);
    let (skip, scale, bias) =
        (floats(given.skip), floats(given.norm.map(|norm| norm.0)), floats(given.norm.map(|norm| norm.1)));
    {
        // Where x is the sum, or the sum is the result, the other slice is empty: nothing is written twice.
        let sums = Disjoint::new(if alone { &mut [] } else { elements_mut::<E>(&mut sum) });
        let outs = Disjoint::new(if normalised { elements_mut::<E>(&mut out) } else { &mut [] });
        let stats = Disjoint::new(elements_mut::<f32>(&mut statistics));
        parallel(PARTS, |part| {
            let rows = part_of(n, PARTS, part);
            let range = |on: bool, width: usize| if on { rows.start * width..rows.end * width } else { 0..0 };
            // SAFETY: every part has rows of its own.
            let (sum, out, stats) = unsafe {
                (sums.range(range(!alone, d)), outs.range(range(normalised, d)), stats.range(range(normalised, 2)))
            };
            forward_rows::<E>(rows, d, x, branch, skip, given.mask.as_ref(), scale, bias, sum, out, stats);
        });
    }
    Normed { out, sum, statistics }
}

vectorised! {
    /// `sum`, `out` and `stats` start at the first of `rows`; empty slices are parts that are not there.
    fn forward_rows<E>(
        rows: Range<usize>, d: usize, x: &[E], branch: &[E], skip: &[f32], mask: Option<&Mask>,
        scale: &[f32], bias: &[f32], sum: &mut [E], out: &mut [E], stats: &mut [f32],
    ) {
        let mut line = vec![0f32; d];
        let mut multipliers = vec![1f32; d];
        let first = rows.start;
        for row in rows {
            let here = row * d..(row + 1) * d;
            let local = (row - first) * d..(row - first + 1) * d;
            for (value, x) in line.iter_mut().zip(&x[here.clone()]) {
                *value = x.to_f32();
            }
            if !skip.is_empty() {
                for (value, skip) in line.iter_mut().zip(skip) {
                    *value *= skip;
                }
            }
            if !branch.is_empty() {
                if let Some(mask) = mask {
                    mask.fill(row, d, &mut multipliers);
                }
                for ((value, branch), keep) in line.iter_mut().zip(&branch[here]).zip(&multipliers) {
                    *value = branch.to_f32().mul_add(*keep, *value);
                }
            }
            if !sum.is_empty() {
                for (stored, value) in sum[local.clone()].iter_mut().zip(&mut line) {
                    *stored = E::from_f32(*value);
                    // The backward pass sees the rounded sum: so does the forward pass.
                    *value = stored.to_f32();
                }
            }
            if !out.is_empty() {
                let mean = lane_sum(d, |i| line[i]) / d as f32;
                let variance = lane_sum(d, |i| (line[i] - mean) * (line[i] - mean)) / d as f32;
                let deviation = 1.0 / (variance + LAYER_NORM_EPSILON as f32).sqrt();
                stats[2 * (row - first)..][..2].copy_from_slice(&[mean, deviation]);
                for (((out, value), scale), bias) in out[local].iter_mut().zip(&line).zip(scale).zip(bias) {
                    *out = E::from_f32(((value - mean) * deviation).mul_add(*scale, *bias));
                }
            }
        }
    }
}

/// The gradients of `x` and, where there is one, of the branch, from that of the result, `[N, d]`. `normed` is what
/// [`sum_norm`] gave for `given`.
pub fn sum_norm_backward(given: Sum, normed: &Normed, d_out: &Tensor, sums: NormSums) -> (Tensor, Option<Tensor>) {
    by_kind!(given.x, backward(given, normed, d_out, sums))
}

fn backward<E: Element>(given: Sum, normed: &Normed, d_out: &Tensor, sums: NormSums) -> (Tensor, Option<Tensor>) {
    let (n, d) = width(given.x);
    let mut d_x = empty::<E>(&[n as i64, d as i64]);
    let has_branch = given.branch.is_some();
    let mut d_branch = empty::<E>(&[if has_branch { n as i64 } else { 0 }, d as i64]);
    // Scale, bias and skip of every part, added up in the order of the parts.
    let mut partial = vec![0f32; PARTS * 3 * d];
    {
        let d_xs = Disjoint::new(elements_mut::<E>(&mut d_x));
        let d_branches = Disjoint::new(elements_mut::<E>(&mut d_branch));
        let partials = Disjoint::new(&mut partial);
        let (x, sum, d_out) = (elements::<E>(given.x), elements::<E>(&normed.sum), elements::<E>(d_out));
        let statistics = elements::<f32>(&normed.statistics);
        let (skip, scale) = (floats(given.skip), floats(given.norm.map(|norm| norm.0)));
        parallel(PARTS, |part| {
            let rows = part_of(n, PARTS, part);
            let here = rows.start * d..rows.end * d;
            // SAFETY: every part has rows and sums of its own.
            let (d_x, d_branch, partial) = unsafe {
                (
                    d_xs.range(here.clone()),
                    d_branches.range(if has_branch { here } else { 0..0 }),
                    partials.range(part * 3 * d..(part + 1) * 3 * d),
                )
            };
            backward_rows::<E>(
                rows,
                d,
                x,
                sum,
                statistics,
                skip,
                scale,
                given.mask.as_ref(),
                d_out,
                d_x,
                d_branch,
                partial,
            );
        });
    }
    let add = |onto: &mut Tensor, which: usize| {
        let onto = elements_mut::<f32>(onto);
        for part in partial.chunks_exact(3 * d) {
            onto.iter_mut().zip(&part[which * d..]).for_each(|(onto, part)| *onto += part);
        }
    };
    if let Some((scale, bias)) = sums.norm {
        add(scale, 0);
        add(bias, 1);
    }
    if let Some(skip) = sums.skip {
        add(skip, 2);
    }
    (d_x, has_branch.then_some(d_branch))
}

vectorised! {
    fn backward_rows<E>(
        rows: Range<usize>, d: usize, x: &[E], sum: &[E], statistics: &[f32], skip: &[f32], scale: &[f32],
        mask: Option<&Mask>, d_out: &[E], d_x: &mut [E], d_branch: &mut [E], partial: &mut [f32],
    ) {
        let mut gradient = vec![0f32; d];
        let mut normal = vec![0f32; d];
        let mut multipliers = vec![1f32; d];
        let (d_scale, rest) = partial.split_at_mut(d);
        let (d_bias, d_skip) = rest.split_at_mut(d);
        let first = rows.start;
        for row in rows {
            let here = row * d..(row + 1) * d;
            let local = (row - first) * d..(row - first + 1) * d;
            for (gradient, d_out) in gradient.iter_mut().zip(&d_out[here.clone()]) {
                *gradient = d_out.to_f32();
            }
            if !scale.is_empty() {
                let (mean, deviation) = (statistics[2 * row], statistics[2 * row + 1]);
                for (normal, sum) in normal.iter_mut().zip(&sum[here.clone()]) {
                    *normal = (sum.to_f32() - mean) * deviation;
                }
                for i in 0..d {
                    d_scale[i] = gradient[i].mul_add(normal[i], d_scale[i]);
                    d_bias[i] += gradient[i];
                    gradient[i] *= scale[i];
                }
                let along_one = lane_sum(d, |i| gradient[i]) / d as f32;
                let along_normal = lane_sum(d, |i| gradient[i] * normal[i]) / d as f32;
                for (gradient, normal) in gradient.iter_mut().zip(&normal) {
                    *gradient = deviation * (*gradient - along_one - normal * along_normal);
                }
            }
            if !d_branch.is_empty() {
                if let Some(mask) = mask {
                    mask.fill(row, d, &mut multipliers);
                }
                for ((d_branch, gradient), keep) in d_branch[local.clone()].iter_mut().zip(&gradient).zip(&multipliers) {
                    *d_branch = E::from_f32(gradient * keep);
                }
            }
            if !skip.is_empty() {
                for ((d_skip, gradient), x) in d_skip.iter_mut().zip(&gradient).zip(&x[here]) {
                    *d_skip = gradient.mul_add(x.to_f32(), *d_skip);
                }
                for (gradient, skip) in gradient.iter_mut().zip(skip) {
                    *gradient *= skip;
                }
            }
            for (d_x, gradient) in d_x[local].iter_mut().zip(&gradient) {
                *d_x = E::from_f32(*gradient);
            }
        }
    }
}
