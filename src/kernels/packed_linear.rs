//! Products of bf16 rows with weights that a search reads again and again: the weights are arranged once, as the
//! processor's bf16 instruction wants them, and products come out in fp32 or bf16. A library arranges anew at every call,
//! prepares itself anew for every number of rows, and rounds to bf16 what a search then has to compare.

use tch::{Kind, Tensor};

use super::element::{Bf16, Element, elements, elements_mut, empty};
use super::threads::{Disjoint, parallel, part_of};
use super::vector::vectorised;

/// Columns (rows of the weights) of a block.
const BLOCK: usize = 64;
/// Elements of a vector of fp32.
const LANES: usize = 16;
/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;
/// Rows that are computed at a time: with a block's vectors, what fits into the registers.
const ROWS: usize = 6;

/// Weights `[n, k]` in blocks of 64 rows: of each block pair after pair of columns, the pair of every row together.
pub struct PackedWeights {
    pairs: Vec<[u32; LANES]>,
    n: usize,
    k: usize,
}

impl PackedWeights {
    /// Arrange `weight` `[n, k]`; none where the processor has no such instruction, the kind is another or k is odd.
    pub fn new(weight: &Tensor) -> Option<PackedWeights> {
        let plain = weight.is_contiguous() && weight.device() == tch::Device::Cpu;
        if weight.kind() != Kind::BFloat16 || !plain || !has_instruction() {
            return None;
        }
        let (n, k) = (weight.size()[0] as usize, weight.size()[1] as usize);
        if k == 0 || !k.is_multiple_of(2) || n == 0 {
            return None;
        }
        let elements = elements::<Bf16>(weight);
        let blocks = n.div_ceil(BLOCK);
        let mut pairs = vec![[0u32; LANES]; blocks * (k / 2) * VECTORS];
        for (row, values) in elements.chunks_exact(k).enumerate() {
            let (block, within) = (row / BLOCK, row % BLOCK);
            for (pair, two) in values.as_chunks::<2>().0.iter().enumerate() {
                let at = (block * (k / 2) + pair) * VECTORS + within / LANES;
                pairs[at][within % LANES] = u32::from(two[0].bits()) | u32::from(two[1].bits()) << 16;
            }
        }
        Some(PackedWeights { pairs, n, k })
    }
}

/// `x` `[N, k]` in bf16 times the transpose of the weights, plus `bias` `[n]`: `[N, n]`, in fp32 or bf16.
pub fn packed_linear(x: &Tensor, weights: &PackedWeights, bias: Option<&Tensor>, kind: Kind) -> Tensor {
    match kind {
        Kind::Float => linear::<f32>(x, weights, bias),
        _ => linear::<Bf16>(x, weights, bias),
    }
}

fn linear<Out: Element>(x: &Tensor, weights: &PackedWeights, bias: Option<&Tensor>) -> Tensor {
    let (rows, n) = (x.size()[0] as usize, weights.n);
    let values = elements::<Bf16>(x);
    assert!(values.len() == rows * weights.k);
    let bias = bias.map(elements::<Bf16>);
    assert!(bias.is_none_or(|bias| bias.len() == n));
    let mut out = empty::<Out>(&[rows as i64, n as i64]);
    let shared = Disjoint::new(elements_mut::<Out>(&mut out));
    let blocks = n.div_ceil(BLOCK);
    let parts = blocks.min(64);
    parallel(parts, |part| {
        let mut sums = [[0f32; BLOCK]; ROWS];
        for block in part_of(blocks, parts, part) {
            let mut row = 0;
            while row < rows {
                let tall = (rows - row).min(ROWS);
                tile(tall, &values[row * weights.k..], weights, block, &mut sums);
                let first = block * BLOCK;
                let columns = first..n.min(first + BLOCK);
                for (i, sums) in sums.iter().enumerate().take(tall) {
                    let start = (row + i) * n;
                    // SAFETY: every part has columns of its own.
                    let out = unsafe { shared.range(start + columns.start..start + columns.end) };
                    store::<Out>(sums, bias.map(|bias| &bias[columns.clone()]), out);
                }
                row += tall;
            }
        }
    });
    out
}

vectorised! {
    fn store<E>(sums: &[f32; BLOCK], bias: Option<&[Bf16]>, out: &mut [E]) {
        match bias {
            Some(bias) => {
                for ((out, sum), bias) in out.iter_mut().zip(sums).zip(bias) {
                    *out = E::from_f32(sum + bias.to_f32());
                }
            }
            None => out.iter_mut().zip(sums).for_each(|(out, sum)| *out = E::from_f32(*sum)),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_instruction() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_instruction() -> bool {
    false
}

/// Set `sums` to those of `tall` rows (of which `x` has at least as many) with the columns of a block.
#[cfg(target_arch = "x86_64")]
fn tile(tall: usize, x: &[Bf16], weights: &PackedWeights, block: usize, sums: &mut [[f32; BLOCK]; ROWS]) {
    let pairs = weights.k / 2;
    assert!(x.len() >= tall * weights.k && weights.pairs.len() >= (block + 1) * pairs * VECTORS);
    let columns = weights.pairs[block * pairs * VECTORS..].as_ptr();
    // SAFETY: asserted; there are packed weights only where the instruction is.
    unsafe {
        match tall {
            1 => tile_of::<1>(pairs, x.as_ptr(), columns, sums),
            2 => tile_of::<2>(pairs, x.as_ptr(), columns, sums),
            3 => tile_of::<3>(pairs, x.as_ptr(), columns, sums),
            4 => tile_of::<4>(pairs, x.as_ptr(), columns, sums),
            5 => tile_of::<5>(pairs, x.as_ptr(), columns, sums),
            _ => tile_of::<ROWS>(pairs, x.as_ptr(), columns, sums),
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn tile(_: usize, _: &[Bf16], _: &PackedWeights, _: usize, _: &mut [[f32; BLOCK]; ROWS]) {
    unreachable!("there are no packed weights here");
}

/// # Safety
/// `x` has R rows of `pairs` pairs, `columns` [`VECTORS`] times `pairs` vectors, and the processor AVX-512 with bf16.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn tile_of<const R: usize>(
    pairs: usize,
    x: *const Bf16,
    columns: *const [u32; LANES],
    out: &mut [[f32; BLOCK]; ROWS],
) {
    use std::arch::x86_64::{
        __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };
    let bf16 = |bits: __m512i| -> __m512bh {
        // SAFETY: both are 512 bits.
        unsafe { std::mem::transmute(bits) }
    };
    let mut sums = [[_mm512_setzero_ps(); VECTORS]; R];
    for pair in 0..pairs {
        let mut w = [bf16(_mm512_set1_epi32(0)); VECTORS];
        for (v, w) in w.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *w = bf16(unsafe { _mm512_loadu_si512(columns.add(pair * VECTORS + v).cast()) });
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's.
            let x = bf16(_mm512_set1_epi32(unsafe { x.cast::<i32>().add(r * pairs + pair).read_unaligned() }));
            for (sum, w) in sums.iter_mut().zip(&w) {
                *sum = _mm512_dpbf16_ps(*sum, x, *w);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(&sums) {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: a block has VECTORS times LANES columns.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr().add(v * LANES), *sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Oracle: libtorch's product in double precision.
    #[test]
    fn products_are_libtorchs() {
        tch::manual_seed(1);
        let of = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
        assert!(PackedWeights::new(&of(&[3, 5])).is_none(), "k is odd");
        assert!(PackedWeights::new(&of(&[3, 4]).to_kind(Kind::Float)).is_none());
        if !has_instruction() {
            eprintln!("skipped: the processor has no AVX512-BF16");
            return;
        }
        for (rows, k, n) in
            [(1, 2, 1), (2, 32, 63), (3, 64, 64), (4, 46, 65), (5, 512, 1030), (16, 256, 130), (13, 16, 5)]
        {
            let (x, weight, bias) = (of(&[rows, k]), of(&[n, k]), of(&[n]));
            let packed = PackedWeights::new(&weight).unwrap();
            let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
            for bias in [None, Some(&bias)] {
                let expected = double(&x).linear(&double(&weight), bias.map(double).as_ref());
                for (kind, tolerance) in [(Kind::Float, 1e-6), (Kind::BFloat16, 4e-3)] {
                    let found = packed_linear(&x, &packed, bias, kind);
                    assert_eq!((found.kind(), found.size()), (kind, vec![rows, n]));
                    let distance = (double(&found) - &expected).abs().max().double_value(&[]);
                    let largest = expected.abs().max().double_value(&[]);
                    assert!(distance <= tolerance * largest, "{rows} {k} {n} {kind:?}: {distance} of {largest}");
                }
            }
        }
    }
}
