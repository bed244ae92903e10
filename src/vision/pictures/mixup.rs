//! MixUp (Zhang, Cissé, Dauphin and Lopez-Paz, 2018): pictures of a batch are mixed in pairs.

use rand::Rng;
use rand::seq::SliceRandom;
use tch::Tensor;

use super::augment::random;
use crate::error::Result;

/// The place whose random numbers no picture of a batch has.
const POSITION: u64 = u64::MAX;

/// How a batch is mixed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mix {
    /// λ, the share of the pictures themselves.
    pub(super) share: f64,
    /// For every picture the one that it is mixed with.
    pub(super) others: Vec<i64>,
}

impl Mix {
    /// λ ~ Beta(α, α) and a permutation of `count` pictures, a function of α, the count and the seed of the batch.
    pub(super) fn draw(alpha: f64, count: usize, seed: u64) -> Mix {
        let mut random = random(seed, POSITION);
        let share = beta(alpha, &mut random);
        let mut others: Vec<i64> = (0..count as i64).collect();
        others.shuffle(&mut random);
        Mix { share, others }
    }

    /// λx + (1-λ)x\[others\], and the classes of the others: `pictures` are `[n, 3, height, width]`, `classes` `[n]`.
    ///
    /// # Errors
    /// [`crate::Error::Torch`], where there is no memory.
    pub(super) fn apply(&self, pictures: &Tensor, classes: &Tensor) -> Result<(Tensor, Tensor)> {
        let others = Tensor::f_from_slice(&self.others)?.f_to_device(pictures.device())?;
        let mixed = pictures.f_mul_scalar(self.share)?;
        let mixed = mixed.f_add(&pictures.f_index_select(0, &others)?.f_mul_scalar(1.0 - self.share)?)?;
        Ok((mixed, classes.f_index_select(0, &others)?))
    }
}

/// A draw from Beta(α, α): X/(X+Y) of two gamma variables, by their logarithms, since both may be very small.
fn beta(alpha: f64, random: &mut impl Rng) -> f64 {
    let (x, y) = (ln_gamma_variable(alpha, random), ln_gamma_variable(alpha, random));
    1.0 / (1.0 + (y - x).exp())
}

/// The logarithm of a draw from Gamma(α, 1), as Marsaglia and Tsang (2000) make it.
fn ln_gamma_variable(alpha: f64, random: &mut impl Rng) -> f64 {
    if alpha < 1.0 {
        // Gamma(α) is Gamma(α + 1) times U^(1/α).
        let boost = above_zero(random).ln() / alpha;
        return ln_gamma_variable(alpha + 1.0, random) + boost;
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && above_zero(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return (d * v).ln();
        }
    }
}

/// A draw from N(0, 1), by Box and Muller.
fn normal(random: &mut impl Rng) -> f64 {
    let radius = (-2.0 * above_zero(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random::<f64>()).cos()
}

/// Uniform in (0, 1].
fn above_zero(random: &mut impl Rng) -> f64 {
    1.0 - random.random::<f64>()
}

#[cfg(test)]
mod tests {
    use tch::{Kind, Tensor};

    use super::*;

    #[test]
    fn pictures_and_classes_are_mixed() {
        let pictures = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3, 1, 1]);
        let classes = Tensor::from_slice(&[7i64, 9]);
        let mix = Mix { share: 0.75, others: vec![1, 0] };
        let (mixed, others) = mix.apply(&pictures, &classes).unwrap();
        assert_eq!(Vec::<f32>::try_from(mixed.flatten(0, -1)).unwrap(), [1.75, 2.75, 3.75, 3.25, 4.25, 5.25]);
        assert_eq!((mixed.kind(), Vec::<i64>::try_from(others).unwrap()), (Kind::Float, vec![9, 7]));
    }

    /// Oracle: Beta(α, α) has the mean 1/2 and the variance 1/(4(2α + 1)).
    #[test]
    fn shares_have_the_moments_of_beta() {
        for alpha in [0.2, 1.0, 3.0] {
            let shares: Vec<f64> = (0..20_000).map(|seed| Mix::draw(alpha, 1, seed).share).collect();
            assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
            let mean = shares.iter().sum::<f64>() / 20_000.0;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected = 0.25 / (2.0 * alpha + 1.0);
            // Five standard errors of the mean; of the variance 5 %, which is more than that.
            assert!((mean - 0.5).abs() < 5.0 * (expected / 20_000.0).sqrt(), "{alpha}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{alpha}: {variance} {expected}");
        }
        assert!((0..100).all(|seed| Mix::draw(0.001, 1, seed).share.is_finite()));
    }

    #[test]
    fn a_mix_is_a_permutation_of_the_seed() {
        let mix = Mix::draw(1.0, 50, 3);
        assert_eq!(mix, Mix::draw(1.0, 50, 3));
        assert_ne!(mix.others, Mix::draw(1.0, 50, 4).others);
        let mut others = mix.others;
        others.sort_unstable();
        assert_eq!(others, (0..50).collect::<Vec<_>>());
    }
}
