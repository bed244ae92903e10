//! Seeds from seeds.

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
