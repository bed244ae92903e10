//! The product of a few rows with a matrix of weights, as a step of a search for one sentence needs it: the weights
//! are read once, as they lie. A library rearranges them first, which pays for hundreds of rows and takes three
//! quarters of the time of five.

use std::ops::Range;

use tch::Tensor;

use super::element::{Element, by_kind, elements, elements_mut, empty};
use super::threads::{Disjoint, parallel, part_of};
use super::vector::{LANES, vectorised};

/// The most rows that [`few_rows_linear`] is the faster way for.
const FEW: i64 = 16;
/// Columns of the output that are computed at a time.
const COLUMNS: usize = 4;
/// Columns that are asked for ahead.
const AHEAD: usize = 2 * COLUMNS;
/// Weights of a part of the work, about the second-level cache.
const PART: usize = 1 << 16;

/// `x` `[N, k]` times the transpose of `weight` `[n, k]`, plus `bias` `[n]`: `[N, n]`, or none where libtorch's product is
/// the faster way, or the only one.
pub fn few_rows_linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Option<Tensor> {
    let (rows, k) = (x.size()[0], x.size()[1]);
    let fits = (1..=FEW).contains(&rows) && k > 0 && (k as usize).is_multiple_of(LANES);
    let plain = x.is_contiguous() && weight.is_contiguous() && bias.is_none_or(Tensor::is_contiguous);
    (fits && plain).then(|| by_kind!(x, linear(x, weight, bias)))
}

fn linear<E: Element>(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (rows, k, n) = (x.size()[0] as usize, x.size()[1] as usize, weight.size()[0] as usize);
    let mut out = empty::<E>(&[rows as i64, n as i64]);
    let wide: Vec<f32> = elements::<E>(x).iter().map(|value| value.to_f32()).collect();
    let (weight, bias) = (elements::<E>(weight), bias.map(elements::<E>));
    assert!(weight.len() == n * k && bias.is_none_or(|bias| bias.len() == n));
    let shared = Disjoint::new(elements_mut::<E>(&mut out));
    let parts = (n * k).div_ceil(PART).max(1);
    parallel(parts, |part| columns_of::<E>(part_of(n, parts, part), n, k, &wide, weight, bias, &shared));
    out
}

/// Ask for a cache line that is read soon. Any address will do.
#[inline(always)]
fn prefetch<E>(at: *const E) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which reads nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
}

/// R rows by [`COLUMNS`] columns: sums over k.
///
/// # Safety
/// `x` has R rows of k elements, every column k.
#[inline(always)]
unsafe fn tile<const R: usize, E: Element>(
    k: usize,
    x: *const f32,
    columns: [*const E; COLUMNS],
) -> [[f32; COLUMNS]; R] {
    let mut sums = [[[0f32; LANES]; COLUMNS]; R];
    let mut at = 0;
    while at < k {
        let mut wide = [[0f32; LANES]; COLUMNS];
        for (wide, &column) in wide.iter_mut().zip(&columns) {
            // The same place of the columns after these: the processor's own look-ahead ends with a page.
            prefetch(column.wrapping_add(AHEAD * k + at));
            // SAFETY: at + LANES ≤ k, a multiple of LANES.
            let column = unsafe { &*column.add(at).cast::<[E; LANES]>() };
            for (wide, weight) in wide.iter_mut().zip(column) {
                *wide = weight.to_f32();
            }
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let x = unsafe { &*x.add(row * k + at).cast::<[f32; LANES]>() };
            for (sums, wide) in sums.iter_mut().zip(&wide) {
                for ((sum, x), w) in sums.iter_mut().zip(x).zip(wide) {
                    *sum = x.mul_add(*w, *sum);
                }
            }
        }
        at += LANES;
    }
    let mut out = [[0f32; COLUMNS]; R];
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (out, lanes) in out.iter_mut().zip(sums) {
            *out = sum_of(lanes);
        }
    }
    out
}

/// The sum of the lanes, halves onto halves.
#[inline(always)]
fn sum_of(lanes: &[f32; LANES]) -> f32 {
    let mut sums = *lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
        half /= 2;
    }
    sums[0]
}

/// Compute R rows from `row` on of these columns and write them.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // The kernel's, and which part of it.
fn rows_of<const R: usize, E: Element>(
    row: usize,
    columns: Range<usize>,
    n: usize,
    k: usize,
    x: &[f32],
    weight: &[E],
    bias: Option<&[E]>,
    out: &Disjoint<E>,
) {
    assert!(x.len() >= (row + R) * k && columns.end * k <= weight.len() && columns.end <= n);
    // The last column again where there are fewer.
    let column = |i: usize| weight[(columns.start + i).min(columns.end - 1) * k..].as_ptr();
    // SAFETY: asserted.
    let sums = unsafe { tile::<R, E>(k, x.as_ptr().add(row * k), [column(0), column(1), column(2), column(3)]) };
    for (i, sums) in sums.iter().enumerate() {
        let start = (row + i) * n;
        // SAFETY: every part has columns of its own.
        let out = unsafe { out.range(start + columns.start..start + columns.end) };
        for (j, out) in out.iter_mut().enumerate() {
            *out = E::from_f32(sums[j] + bias.map_or(0.0, |bias| bias[columns.start + j].to_f32()));
        }
    }
}

vectorised! {
    /// The columns `here` of the output.
    fn columns_of<E>(
        here: Range<usize>, n: usize, k: usize, x: &[f32], weight: &[E], bias: Option<&[E]>, out: &Disjoint<E>,
    ) {
        let rows = x.len() / k;
        for start in here.clone().step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(here.end);
            let mut row = 0;
            while row < rows {
                let tall = (rows - row).min(5);
                match tall {
                    1 => rows_of::<1, E>(row, columns.clone(), n, k, x, weight, bias, out),
                    2 => rows_of::<2, E>(row, columns.clone(), n, k, x, weight, bias, out),
                    3 => rows_of::<3, E>(row, columns.clone(), n, k, x, weight, bias, out),
                    4 => rows_of::<4, E>(row, columns.clone(), n, k, x, weight, bias, out),
                    _ => rows_of::<5, E>(row, columns.clone(), n, k, x, weight, bias, out),
                }
                row += tall;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Oracle: libtorch's product in double precision.
    #[test]
    fn products_are_libtorchs() {
        tch::manual_seed(1);
        for (rows, k, n) in [(1, 16, 1), (2, 32, 3), (3, 64, 7), (4, 48, 8), (5, 512, 1030), (16, 256, 9), (11, 16, 5)]
        {
            let of = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let (x, weight, bias) = (of(&[rows, k]), of(&[n, k]), of(&[n]));
            for kind in [Kind::Float, Kind::BFloat16] {
                let [x, weight, bias] = [&x, &weight, &bias].map(|tensor| tensor.to_kind(kind));
                for bias in [None, Some(&bias)] {
                    let found = few_rows_linear(&x, &weight, bias).unwrap();
                    let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
                    let expected = double(&x).linear(&double(&weight), bias.map(double).as_ref());
                    let distance = (double(&found) - &expected).abs().max().double_value(&[]);
                    let largest = expected.abs().max().double_value(&[]);
                    let tolerance = if kind == Kind::Float { 1e-6 } else { 4e-3 };
                    assert!(distance <= tolerance * largest, "{rows} {k} {n} {kind:?}: {distance} of {largest}");
                }
            }
        }
        let of = |rows, k| Tensor::ones([rows, k], (Kind::Float, Device::Cpu));
        assert!(few_rows_linear(&of(17, 16), &of(3, 16), None).is_none());
        assert!(few_rows_linear(&of(3, 15), &of(3, 15), None).is_none());
    }
}
