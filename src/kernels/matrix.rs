//! Small matrix products in registers and cache: attention of one head over one sentence.

use super::vector::LANES;

/// Columns are padded to a multiple of this.
pub const COLUMNS: usize = LANES;

/// A number of columns, padded.
pub fn padded(columns: usize) -> usize {
    columns.next_multiple_of(COLUMNS)
}

/// How the left factor lies in memory: element (i, k) is at `i·row + k·column`.
#[derive(Clone, Copy)]
pub struct Strides {
    /// Between rows.
    pub row: usize,
    /// Between columns.
    pub column: usize,
}

/// `c = a·b`: a is m×k with these strides, b is k×n and c m×n, both contiguous rows of `n` (padded) columns.
#[inline(always)]
pub fn multiply(m: usize, k: usize, n: usize, a: &[f32], strides: Strides, b: &[f32], c: &mut [f32]) {
    debug_assert!(n.is_multiple_of(COLUMNS));
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        c[..m * n].fill(0.0);
        return;
    }
    // The tiles read and write without further checks.
    assert!((m - 1) * strides.row + (k - 1) * strides.column < a.len() && k * n <= b.len() && m * n <= c.len());
    let mut column = 0;
    while column < n {
        let wide = if n - column >= 2 * COLUMNS { 2 } else { 1 };
        let mut row = 0;
        while row < m {
            let tall = (m - row).min(4);
            // SAFETY: row + tall ≤ m and column + wide·16 ≤ n, and the assertion above.
            unsafe {
                let a = a.as_ptr().add(row * strides.row);
                let b = b.as_ptr().add(column);
                let c = c.as_mut_ptr().add(row * n + column);
                match (tall, wide) {
                    (4, 2) => tile::<4, 2>(k, n, a, strides, b, c),
                    (4, _) => tile::<4, 1>(k, n, a, strides, b, c),
                    (3, 2) => tile::<3, 2>(k, n, a, strides, b, c),
                    (3, _) => tile::<3, 1>(k, n, a, strides, b, c),
                    (2, 2) => tile::<2, 2>(k, n, a, strides, b, c),
                    (2, _) => tile::<2, 1>(k, n, a, strides, b, c),
                    (_, 2) => tile::<1, 2>(k, n, a, strides, b, c),
                    (_, _) => tile::<1, 1>(k, n, a, strides, b, c),
                }
            }
            row += tall;
        }
        column += wide * COLUMNS;
    }
}

/// R rows by W·16 columns of the product, held in registers.
///
/// # Safety
/// The pointers have to be good for R rows, k steps and W·16 columns.
#[inline(always)]
unsafe fn tile<const R: usize, const W: usize>(
    k: usize,
    n: usize,
    a: *const f32,
    strides: Strides,
    b: *const f32,
    c: *mut f32,
) {
    let mut sums = [[[0f32; LANES]; W]; R];
    for step in 0..k {
        // SAFETY: the caller's.
        unsafe {
            let b = b.add(step * n);
            let a = a.add(step * strides.column);
            for (r, row) in sums.iter_mut().enumerate() {
                let factor = *a.add(r * strides.row);
                for (w, sums) in row.iter_mut().enumerate() {
                    let b = &*b.add(w * LANES).cast::<[f32; LANES]>();
                    for (sum, b) in sums.iter_mut().zip(b) {
                        *sum = factor.mul_add(*b, *sum);
                    }
                }
            }
        }
    }
    for (r, row) in sums.iter().enumerate() {
        for (w, sums) in row.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { *c.add(r * n + w * LANES).cast::<[f32; LANES]>() = *sums };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers: every order of summing gives the same.
    #[test]
    fn products_of_all_shapes() {
        for (m, k, n) in [(1, 1, 16), (5, 7, 48), (4, 3, 32), (7, 1, 16), (3, 9, 80), (2, 2, 32), (6, 0, 16)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i * 5 % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i * 3 % 11) as f32 - 5.0).collect();
            for transposed in [false, true] {
                let strides = if transposed { Strides { row: 1, column: m } } else { Strides { row: k, column: 1 } };
                let mut c = vec![f32::NAN; m * n];
                multiply(m, k, n, &a, strides, &b, &mut c);
                for i in 0..m {
                    for j in 0..n {
                        let expected: f32 =
                            (0..k).map(|l| a[i * strides.row + l * strides.column] * b[l * n + j]).sum();
                        assert_eq!(c[i * n + j], expected, "{m} {k} {n}: {i} {j}");
                    }
                }
            }
        }
    }
}
