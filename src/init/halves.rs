//! How a batch is cut into S and S̃, the two batches of an iteration of GradInit.

use std::ops::Range;

use crate::error::Result;

/// Where S and S̃ come from, iteration by iteration.
pub trait Halves {
    /// What the task takes.
    type Batch;

    /// S and S̃ of the next iteration.
    ///
    /// # Errors
    /// What reading data brings.
    fn draw(&mut self) -> Result<(Self::Batch, Self::Batch)>;

    /// Go past the next iteration without making its batches.
    ///
    /// # Errors
    /// What going through data brings.
    fn skip(&mut self) -> Result<()>;
}

/// Which of `n` rows, 3 or more, S and S̃ take: s = ⌊n/(2 − r)⌋ each, the share r = `overlap` of them in common.
pub fn halves(n: usize, overlap: f64) -> (Range<usize>, Range<usize>) {
    // The smallest part of a row that is not there is no reason to take one less: 3 rows of overlap 0.5 are 2 and 2.
    let size = ((n as f64 / (2.0 - overlap) + 1e-9) as usize).clamp(1, n);
    let common = (size as f64 * overlap).round() as usize;
    (0..size, size - common..2 * size - common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_the_size_and_the_overlap() {
        for (n, overlap, s, s_tilde) in [
            (9, 0.5, 0..6, 3..9),
            (10, 0.5, 0..6, 3..9),
            (3, 0.5, 0..2, 1..3),
            (10, 0.0, 0..5, 5..10),
            (10, 1.0, 0..10, 0..10),
            (7, 0.75, 0..5, 1..6),
            (4, 0.5, 0..2, 1..3),
        ] {
            assert_eq!(halves(n, overlap), (s, s_tilde), "{n} rows, overlap {overlap}");
        }
        for n in 3..200 {
            for overlap in 0..=100 {
                let (s, s_tilde) = halves(n, f64::from(overlap) / 100.0);
                assert!(s_tilde.end <= n && s.len() == s_tilde.len() && !s.is_empty(), "{n} {overlap} {s_tilde:?}");
            }
        }
    }
}
