//! The character classes of Perl's regular expressions that the Moses scripts use, for one character at a time.
//!
//! The Rust standard library follows the same Unicode properties as Perl. What Unicode changed about its older
//! characters since version 14, which Perl 5.36 and the reference data follow, is taken back here; characters that
//! are newer than version 14 are what the standard library says.

/// The digit zero of every block of ten decimal digits (general category Nd) of Unicode 14, in order.
const ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0,
    0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0,
    0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60,
    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// First and last character of every run of currency signs (general category Sc) of Unicode 14, in order.
const CURRENCY: [(u32, u32); 21] = [
    (0x24, 0x24),
    (0xa2, 0xa5),
    (0x58f, 0x58f),
    (0x60b, 0x60b),
    (0x7fe, 0x7ff),
    (0x9f2, 0x9f3),
    (0x9fb, 0x9fb),
    (0xaf1, 0xaf1),
    (0xbf9, 0xbf9),
    (0xe3f, 0xe3f),
    (0x17db, 0x17db),
    (0x20a0, 0x20c0),
    (0xa838, 0xa838),
    (0xfdfc, 0xfdfc),
    (0xfe69, 0xfe69),
    (0xff04, 0xff04),
    (0xffe0, 0xffe1),
    (0xffe5, 0xffe6),
    (0x11fdd, 0x11fe0),
    (0x1e2ff, 0x1e2ff),
    (0x1ecb0, 0x1ecb0),
];

/// First and last of every run of combining letters that Unicode counts as alphabetic only since version 14, in order.
const NEWLY_ALPHABETIC: [(u32, u32); 5] =
    [(0x363, 0x36f), (0xc04, 0xc04), (0xf82, 0xf83), (0x1dd3, 0x1de6), (0x11080, 0x11081)];

/// `\p{IsAlpha}`.
pub(super) fn is_alpha(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { c.is_alphabetic() && !is_in(c, &NEWLY_ALPHABETIC) }
}

/// `\p{IsLower}`.
pub(super) fn is_lower(c: char) -> bool {
    match c {
        'ʕ' => true,
        'ჼ' | 'ꟲ' | 'ꟳ' | 'ꟴ' | 'ꭩ' => false,
        c => c.is_lowercase(),
    }
}

/// `\p{IsAlnum}`: alphabetic or a decimal digit, so neither `½` nor `²`.
pub(super) fn is_alnum(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() } else { is_alpha(c) || c.is_numeric() && is_decimal(c) }
}

/// `\p{IsN}`: every kind of number.
pub(super) fn is_number(c: char) -> bool {
    c.is_numeric()
}

/// `\p{IsSc}`.
pub(super) fn is_currency(c: char) -> bool {
    is_in(c, &CURRENCY)
}

fn is_in(c: char, runs: &[(u32, u32)]) -> bool {
    let code = c as u32;
    runs.iter().any(|&(first, last)| (first..=last).contains(&code))
}

fn is_decimal(c: char) -> bool {
    let code = c as u32;
    let after = ZEROS.partition_point(|&zero| zero <= code);
    after > 0 && code - ZEROS[after - 1] < 10
}

#[cfg(test)]
mod tests {
    use super::*;

    // Oracle: Perl 5.36, `$c =~ /\p{IsAlpha}/` and its like.
    #[test]
    fn classes_are_perls() {
        for (c, alpha, alnum, number, lower) in [
            ('a', true, true, false, true),
            ('Z', true, true, false, false),
            ('7', false, true, true, false),
            ('½', false, false, true, false),
            ('²', false, false, true, false),
            ('٣', false, true, true, false),
            ('Ⅷ', true, true, true, false),
            ('ß', true, true, false, true),
            ('ª', true, true, false, true),
            ('\u{301}', false, false, false, false),
            ('\u{36b}', false, false, false, false),
            ('_', false, false, false, false),
            ('ʕ', true, true, false, true),
            ('ჼ', true, true, false, false),
        ] {
            assert_eq!((is_alpha(c), is_alnum(c), is_number(c), is_lower(c)), (alpha, alnum, number, lower), "{c:?}");
        }
        assert!(is_currency('€') && is_currency('$') && !is_currency('%'));
    }
}
