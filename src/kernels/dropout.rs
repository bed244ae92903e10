//! Dropout masks as a function of (seed, site, row, column): nothing is stored, and the backward pass draws them again.

use tch::{Device, Kind, Tensor};

use super::element::elements_mut;
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::vectorised;
use crate::random::split_mix;

/// Elements that one round of the generator decides.
pub(super) const BLOCK: usize = 64;

/// The mask of one dropout: every element is kept with probability `1 - dropped/256` and then divided by it.
///
/// The rate is rounded to a multiple of 1/256, and what is kept is scaled by the exact probability.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    key: [u32; 2],
    dropped: u32,
    scale: f32,
}

impl Mask {
    /// The mask of dropout number `site` of a pass with this seed; none where nothing would be dropped.
    pub fn new(seed: u64, site: u64, rate: f64) -> Option<Mask> {
        let dropped = (rate * 256.0).round().clamp(0.0, 255.0) as u32;
        let z = split_mix(seed.wrapping_add((site + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let scale = 256.0 / (256 - dropped) as f32;
        (dropped > 0).then_some(Mask { key: [z as u32, (z >> 32) as u32], dropped, scale })
    }

    /// A seed of this mask alone, for another generator than the one here.
    pub fn seed(&self) -> u64 {
        (u64::from(self.key[1]) << 32) | u64::from(self.key[0])
    }

    /// What is kept is multiplied by this.
    pub(super) fn scale(&self) -> f32 {
        self.scale
    }

    /// Write the multipliers (0 or the scale) of the first `out.len()` columns of a row; `width` is the whole row's.
    #[inline(always)]
    pub(super) fn fill(&self, row: usize, width: usize, out: &mut [f32]) {
        self.fill_from(row, width, 0, out);
    }

    /// The same from column `64 · first_block` on.
    #[inline(always)]
    pub(super) fn fill_from(&self, row: usize, width: usize, first_block: usize, out: &mut [f32]) {
        let blocks = width.div_ceil(BLOCK);
        let (whole, rest) = out.as_chunks_mut::<BLOCK>();
        let start = row * blocks + first_block;
        for (block, chunk) in whole.iter_mut().enumerate() {
            self.block((start + block) as u32, chunk);
        }
        if !rest.is_empty() {
            let mut last = [0f32; BLOCK];
            self.block((start + whole.len()) as u32, &mut last);
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }

    /// Sixteen 32-bit words decide 64 elements, a byte each.
    #[inline(always)]
    fn block(&self, number: u32, out: &mut [f32; BLOCK]) {
        let mut words = [0u32; 16];
        for (lane, word) in words.iter_mut().enumerate() {
            *word = self.hash(number.wrapping_mul(16).wrapping_add(lane as u32));
        }
        for byte in 0..4 {
            for lane in 0..16 {
                let drawn = (words[lane] >> (8 * byte)) & 255;
                out[byte * 16 + lane] = if drawn < self.dropped { 0.0 } else { self.scale };
            }
        }
    }

    /// A counter to 32 random bits: two multiply-xorshift rounds, a half of the key before each.
    #[inline(always)]
    fn hash(&self, counter: u32) -> u32 {
        let mut x = counter.wrapping_mul(0x9e37_79b9) ^ self.key[0];
        x ^= x >> 16;
        x = x.wrapping_mul(0x21f0_aaad);
        x ^= x >> 15;
        x = x.wrapping_add(self.key[1]).wrapping_mul(0x735a_2d97);
        x ^ (x >> 15)
    }

    /// The multipliers as a tensor `[rows, width]` of this kind on the processor: what the kernels draw.
    pub fn tensor(&self, rows: usize, width: usize, kind: Kind) -> Tensor {
        let mut out = Tensor::empty([rows as i64, width as i64], (Kind::Float, Device::Cpu));
        let shared = Disjoint::new(elements_mut::<f32>(&mut out));
        parallel(PARTS, |part| {
            let rows = part_of(rows, PARTS, part);
            // SAFETY: every part has rows of its own.
            let out = unsafe { shared.range(rows.start * width..rows.end * width) };
            fill_rows::<f32>(self, rows.start, width, out);
        });
        out.to_kind(kind)
    }
}

vectorised! {
    fn fill_rows<E>(mask: &Mask, first: usize, width: usize, out: &mut [f32]) {
        for (i, row) in out.chunks_exact_mut(width.max(1)).enumerate() {
            mask.fill(first + i, width, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_the_share_that_they_say_and_the_mean() {
        let mask = Mask::new(3, 5, 0.3).unwrap();
        let (rows, width) = (1000, 500);
        let drawn = mask.tensor(rows, width, Kind::Double);
        // 77/256 are dropped: the standard error of the share over half a million draws is 6.5e-4.
        let share = drawn.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
        assert!((share - 77.0 / 256.0).abs() < 4.0 * 6.5e-4, "{share}");
        assert!((drawn.mean(Kind::Double).double_value(&[]) - 1.0).abs() < 4e-3);
        // Rows and columns are balanced, too: chi-squared per row within 6 standard errors of its expectation.
        for dimension in [0, 1] {
            let kept = drawn.ne(0.0).to_kind(Kind::Double).mean_dim(dimension, false, Kind::Double);
            let n = [rows, width][dimension as usize] as f64;
            let p = 179.0 / 256.0;
            let chi = ((&kept - p).square() * n / (p * (1.0 - p))).mean(Kind::Double).double_value(&[]);
            let count = kept.numel() as f64;
            assert!((chi - 1.0).abs() < 6.0 * (2.0 / count).sqrt(), "{dimension}: {chi}");
        }
    }

    #[test]
    fn masks_of_other_seeds_sites_and_neighbours_are_unrelated() {
        let bits = |seed, site| Mask::new(seed, site, 0.5).unwrap().tensor(256, 256, Kind::Double) - 1.0;
        let a = bits(1, 0);
        let correlation = |x: &Tensor, y: &Tensor| (x * y).mean(Kind::Double).double_value(&[]);
        for other in [bits(1, 1), bits(2, 0), bits(1u64 << 32, 0)] {
            assert!(correlation(&a, &other).abs() < 5.0 / 256.0);
        }
        for shift in [1, 2, 16, 64] {
            let columns = correlation(&a.narrow(1, 0, 256 - shift), &a.narrow(1, shift, 256 - shift));
            let rows = correlation(&a.narrow(0, 0, 256 - shift), &a.narrow(0, shift, 256 - shift));
            assert!(columns.abs() < 5.0 / 190.0 && rows.abs() < 5.0 / 190.0, "{shift}: {columns} {rows}");
        }
    }

    #[test]
    fn a_range_of_columns_is_that_range_of_the_row() {
        let mask = Mask::new(9, 2, 0.1).unwrap();
        let (mut whole, mut part) = ([0f32; 200], [0f32; 72]);
        mask.fill(7, 200, &mut whole);
        mask.fill_from(7, 200, 2, &mut part);
        assert_eq!(part, whole[128..]);
        assert!(Mask::new(9, 2, 0.001).is_none());
    }
}
