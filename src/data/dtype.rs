//! How many bytes has an id, and what do they mean? The integer types of fairseq's datasets.

/// The integer type of the ids in a `.bin` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Code 1.
    U8,
    /// Code 2.
    I8,
    /// Code 3.
    I16,
    /// Code 4: for dictionaries of 65,500 entries and more.
    I32,
    /// Code 5.
    I64,
    /// Code 8: for dictionaries below 65,500 entries.
    U16,
}

impl Dtype {
    /// The type that fairseq takes for a dictionary of `symbols` entries.
    pub fn fitting(symbols: usize) -> Dtype {
        if symbols < 65_500 { Dtype::U16 } else { Dtype::I32 }
    }

    /// fairseq's code for the type.
    pub fn code(self) -> u8 {
        match self {
            Dtype::U8 => 1,
            Dtype::I8 => 2,
            Dtype::I16 => 3,
            Dtype::I32 => 4,
            Dtype::I64 => 5,
            Dtype::U16 => 8,
        }
    }

    /// The type of a code of fairseq's.
    pub(super) fn from_code(code: u8) -> Option<Dtype> {
        use Dtype::*;
        [U8, I8, I16, I32, I64, U16].into_iter().find(|dtype| dtype.code() == code)
    }

    /// Bytes an id.
    pub fn size(self) -> usize {
        match self {
            Dtype::U8 | Dtype::I8 => 1,
            Dtype::I16 | Dtype::U16 => 2,
            Dtype::I32 => 4,
            Dtype::I64 => 8,
        }
    }

    /// The id at the front of `bytes`, which has `size()` bytes.
    pub(super) fn read(self, bytes: &[u8]) -> i64 {
        match *bytes {
            [a] if self == Dtype::I8 => i64::from(a as i8),
            [a] => i64::from(a),
            [a, b] if self == Dtype::I16 => i64::from(i16::from_le_bytes([a, b])),
            [a, b] => i64::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => 0,
        }
    }
}
