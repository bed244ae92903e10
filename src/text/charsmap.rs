//! SentencePiece's compiled rules for normalising characters: are they whole? The crate that follows them does not ask.

/// Whether following the rules for any text stays inside of `bytes`: a length, a double array (darts) that leads from bytes to
/// places, and replacements at these places, each ending with a zero.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let length = u32::from_le_bytes(*length) as usize;
    if length > rest.len() || length < 4 {
        return false;
    }
    let (units, replacements) = rest.split_at(length / 4 * 4);
    let Ok(replacements) = std::str::from_utf8(replacements) else { return false };
    let units: Vec<u32> = units.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
    let offset = |unit: u32| (unit as usize >> 10) << ((unit & (1 << 9)) >> 6);
    // From each place that can be reached, with every byte.
    let root = offset(units[0]);
    let mut seen = vec![false; units.len()];
    let mut open = vec![root];
    while let Some(place) = open.pop() {
        for byte in 1..=255usize {
            let at = place ^ byte;
            let Some(&unit) = units.get(at) else { return false };
            if unit & ((1 << 31) | 0xff) != byte as u32 || std::mem::replace(&mut seen[at], true) {
                continue;
            }
            let next = at ^ offset(unit);
            if (unit >> 8) & 1 == 1 {
                let Some(&leaf) = units.get(next) else { return false };
                if !replacements.is_char_boundary((leaf & 0x7fff_ffff) as usize) {
                    return false;
                }
            }
            open.push(next);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rules of one entry, `a` to `b`, in a block of 256 units: the root leads to block 0, `a` to a leaf.
    fn rules(units: usize, place: u32) -> Vec<u8> {
        let mut array = vec![0u32; units];
        array[0] = 0; // The root: offset 0.
        let (a, leaf) = (usize::from(b'a'), 1usize);
        array[a] = (((a ^ leaf) as u32) << 10) | (1 << 8) | u32::from(b'a');
        array[leaf] = place;
        let mut bytes = ((units * 4) as u32).to_le_bytes().to_vec();
        bytes.extend(array.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend(b"b\0");
        bytes
    }

    #[test]
    fn rules_that_lead_outside_are_not_whole() {
        assert!(is_whole(&rules(256, 0)));
        assert!(!is_whole(&rules(200, 0)), "a byte leads behind the end");
        assert!(!is_whole(&rules(256, 3)), "a replacement behind the end");
        assert!(!is_whole(&rules(256, 0)[..100]), "cut");
        assert!(!is_whole(&[]) && !is_whole(&[0; 4]));
    }

    /// Oracle: what the rules say, by the crate that follows them.
    #[test]
    fn whole_rules_are_followed() {
        let precompiled = tokenizers::normalizers::Precompiled::from(&rules(256, 0)).unwrap();
        assert_eq!(precompiled.normalize_string("abca"), "bbcb");
    }
}
