//! Seeds from seeds, and libtorch's generator for one thread at a time.

use std::sync::{Mutex, PoisonError};

/// What `draw` draws from libtorch's default generators when they begin with `seed`. The generators are the process's:
/// whoever draws meanwhile in another thread, through here, waits, so that the same seed gives the same numbers. Not to be
/// called within `draw`.
///
/// ```
/// use tch::{Device, Kind, Tensor};
/// let draw = || Tensor::randn([3], (Kind::Float, Device::Cpu));
/// let [a, b, c] = [1, 1, 2].map(|seed| nmt::random::with_generator(seed, draw));
/// assert!(a.equal(&b) && !a.equal(&c));
/// ```
pub fn with_generator<T>(seed: u64, draw: impl FnOnce() -> T) -> T {
    static GENERATORS: Mutex<()> = Mutex::new(());
    // One that panicked while it drew leaves nothing that the next seed does not replace.
    let _alone = GENERATORS.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed as i64);
    draw()
}

/// The finaliser of SplitMix64: every bit of `z` moves every bit of the result, so that neighbouring numbers become
/// unrelated seeds.
pub(crate) fn split_mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: the first output of Vigna's SplitMix64 with the state 0.
    #[test]
    fn the_finaliser_is_that_of_split_mix_64() {
        assert_eq!(split_mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
    }
}
