//! The random numbers of numpy's `default_rng(seed)`, so that resamples are those of sacrebleu.
//!
//! Its parts, by numpy's documentation: `SeedSequence` (O'Neill's `seed_seq_fe`) fills the state of a PCG64 (O'Neill
//! 2014); integers below n come from the 32-bit halves of its output, lower half first, by Lemire's method (2019).

use rand_pcg::Pcg64;
use rand_pcg::rand_core::RngCore;

/// numpy's `default_rng`.
pub(super) struct NumpyRandom {
    generator: Pcg64,
    /// The upper half of a number whose lower half is used up.
    half: Option<u32>,
    /// Bits that are left for truth values, and how many.
    bits: (u32, u32),
}

impl NumpyRandom {
    /// `numpy.random.default_rng(seed)`.
    pub fn new(seed: u64) -> NumpyRandom {
        let words = seed_sequence([seed as u32, (seed >> 32) as u32, 0, 0]);
        let [a, b, c, d] = [0, 2, 4, 6].map(|i| u128::from(words[i]) | u128::from(words[i + 1]) << 32);
        NumpyRandom { generator: Pcg64::new(a << 64 | b, c << 64 | d), half: None, bits: (0, 0) }
    }

    /// The next number of `choice(n, size, replace=True)`, for an `n` up to 2³².
    pub fn below(&mut self, n: u32) -> usize {
        if n <= 1 {
            return 0;
        }
        loop {
            let product = u64::from(self.next_u32()) * u64::from(n);
            // Of the products, as many have each upper half, but for the lowest lower halves.
            if product as u32 >= n || product as u32 >= n.wrapping_neg() % n {
                return (product >> 32) as usize;
            }
        }
    }

    /// The next value of `integers(2, size, dtype=bool)`.
    pub fn coin(&mut self) -> bool {
        let (bits, left) = match self.bits {
            (_, 0) => (self.next_u32(), 32),
            (bits, left) => (bits, left),
        };
        self.bits = (bits >> 1, left - 1);
        bits & 1 == 1
    }

    fn next_u32(&mut self) -> u32 {
        if let Some(half) = self.half.take() {
            return half;
        }
        let both = self.generator.next_u64();
        self.half = Some((both >> 32) as u32);
        both as u32
    }
}

/// `SeedSequence(entropy).generate_state(8)`, the entropy in words from the lowest.
fn seed_sequence(entropy: [u32; 4]) -> [u32; 8] {
    let stir = |value: u32| value ^ value >> 16;
    let mut multiplier = 0x43b0_d7e5_u32;
    let mut hash = |value: u32| {
        let value = value ^ multiplier;
        multiplier = multiplier.wrapping_mul(0x931e_8875);
        stir(value.wrapping_mul(multiplier))
    };
    let mut pool = entropy.map(&mut hash);
    for from in 0..4 {
        for to in (0..4).filter(|&to| to != from) {
            let mixed = pool[to].wrapping_mul(0xca01_f9dd).wrapping_sub(hash(pool[from]).wrapping_mul(0x4973_f715));
            pool[to] = stir(mixed);
        }
    }
    let mut multiplier = 0x8b51_f9dd_u32;
    std::array::from_fn(|i| {
        let value = pool[i % 4] ^ multiplier;
        multiplier = multiplier.wrapping_mul(0x58f3_8ded);
        stir(value.wrapping_mul(multiplier))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: `default_rng(seed).choice(n, size=8)` of numpy 2.4.6.
    #[test]
    fn choices_are_those_of_numpy() {
        let cases: [(u64, u32, [usize; 9]); 4] = [
            (12345, 1000, [699, 227, 788, 316, 204, 797, 642, 676, 988]),
            (12345, 3, [2, 0, 2, 0, 0, 2, 1, 2, 2]),
            (0, 29_000, [24668, 18471, 14822, 7823, 8927, 1188, 2181, 479, 5082]),
            (
                (1 << 40) + 5,
                3_000_000_000,
                [42477235, 1349911287, 1117753746, 1761688279, 2698308901, 454198945, 29614336, 1259880047, 2667299132],
            ),
        ];
        for (seed, n, expected) in cases {
            let mut random = NumpyRandom::new(seed);
            assert_eq!(expected.map(|_| random.below(n)), expected, "seed {seed}, below {n}");
        }
        assert_eq!(NumpyRandom::new(1).below(1), 0);
    }

    /// Oracle: `default_rng(12345).integers(2, size=40, dtype=bool)` of numpy 2.4.6.
    #[test]
    fn coins_are_those_of_numpy() {
        let mut random = NumpyRandom::new(12345);
        let coins: String = (0..40).map(|_| if random.coin() { '1' } else { '0' }).collect();
        assert_eq!(coins, "1011100110000011111111110100110110110001");
    }
}
