//! Loops that the compiler turns into vector instructions, in the widest form that the processor has.

use std::sync::OnceLock;

/// What the processor can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What every processor of the target has.
    Base,
    /// AVX2 and fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Look once.
#[inline]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Base
    })
}

/// Ask for memory that is read soon.
#[inline(always)]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..std::mem::size_of_val(values).div_ceil(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address lies in the slice, and asking for memory reads none.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().cast::<i8>().add(64 * line)) };
    }
}

/// Define a function that is compiled for every [`Level`] and calls the best one. Its helpers have to be
/// `#[inline(always)]` to be compiled along.
macro_rules! vectorised {
    ($(#[$meta:meta])* $visible:vis fn $name:ident < $E:ident > ( $($argument:ident : $type:ty),* $(,)? )
        $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visible fn $name<$E: $crate::kernels::element::Element>($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn body<$E: $crate::kernels::element::Element>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn avx512<$E: $crate::kernels::element::Element>($($argument: $type),*) $(-> $result)? {
                body::<$E>($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2<$E: $crate::kernels::element::Element>($($argument: $type),*) $(-> $result)? {
                body::<$E>($($argument),*)
            }

            match $crate::kernels::vector::level() {
                // SAFETY: the level says that the processor has the instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::vector::Level::Avx512 => unsafe { avx512::<$E>($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::kernels::vector::Level::Avx2 => unsafe { avx2::<$E>($($argument),*) },
                $crate::kernels::vector::Level::Base => body::<$E>($($argument),*),
            }
        }
    };
}
pub(super) use vectorised;

/// Partial sums that are added up side by side.
pub const LANES: usize = 16;

/// Σ f(i) over `0..n` in [`LANES`] partial sums.
#[inline(always)]
pub fn lane_sum(n: usize, f: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = n / LANES * LANES;
    let mut i = 0;
    while i < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += f(i + lane);
        }
        i += LANES;
    }
    let mut rest = 0.0;
    while i < n {
        rest += f(i);
        i += 1;
    }
    lanes.iter().sum::<f32>() + rest
}

/// The largest of `values`.
#[inline(always)]
pub fn largest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// e^x for x ≤ 88, to 2 units in the last place (Cody and Waite's reduction, a polynomial of degree 6); below -87 it
/// stays at e^-87.
///
/// No branch and no call, so that a loop over it becomes vector instructions.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it rounds to an integer, kept in the low bits
    let x = if x < -87.0 { -87.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x); // ln 2 in two parts
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = p.mul_add(r, c);
    }
    let y = (p * r).mul_add(r, r) + 1.0;
    y * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_the_exponential() {
        for i in -8600..8800 {
            let x = i as f32 / 100.0;
            let (ours, exact) = (exp(x) as f64, (x as f64).exp());
            assert!((ours / exact - 1.0).abs() < 3e-7, "{x}: {ours} {exact}");
        }
        assert!(exp(-1e30) < 2e-38 && exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_take_in_every_element() {
        let values: Vec<f32> = (0..37).map(|i| ((i * 7) % 37) as f32).collect();
        assert_eq!(lane_sum(37, |i| values[i]), 666.0);
        assert_eq!(largest(&values), 36.0);
        assert_eq!(largest(&values[..3]), 14.0);
    }
}
