//! Small layers: dropout from cheap bits, layer normalisation, sinusoidal positions.

use std::cell::Cell;

use tch::{Device, Kind, Tensor};

use crate::kernels::{LAYER_NORM_EPSILON, Mask};
use crate::params::{View, Views};
use crate::random::with_generator;

/// The dropout of one pass through a network: every application is a site with a mask of its own, a function of the
/// seed and the site's number. (A Bernoulli draw an element costs more than the matrix products of a small
/// Transformer: see [`Mask`].)
#[derive(Debug)]
pub struct Dropout {
    seed: Option<u64>,
    sites: Cell<u64>,
}

impl Dropout {
    /// The identity.
    pub fn off() -> Dropout {
        Dropout::seeded(None)
    }

    /// Dropout with this seed; none: the identity.
    pub fn seeded(seed: Option<u64>) -> Dropout {
        Dropout { seed, sites: Cell::new(0) }
    }

    /// The mask of the next site.
    pub fn next_mask(&self, rate: f64) -> Option<Mask> {
        let site = self.sites.replace(self.sites.get() + 1);
        Mask::new(self.seed?, site, rate)
    }

    /// Drop elements of `x` (any shape; rows along the last dimension) with probability `rate`. On a GPU libtorch draws the
    /// mask, which begins with the site's seed, in the operation that applies it.
    pub fn apply(&self, x: &Tensor, rate: f64) -> Tensor {
        let Some(mask) = self.next_mask(rate) else { return x.shallow_clone() };
        if x.device() != Device::Cpu {
            return with_generator(mask.seed(), || x.dropout(rate, true));
        }
        let size = x.size();
        let width = size.last().copied().unwrap_or(1).max(1);
        let rows = x.numel() as i64 / width;
        x * mask.tensor(rows as usize, width as usize, x.kind()).view(size.as_slice())
    }
}

/// Layer normalisation over the last dimension (biased variance).
pub fn layer_norm(x: &Tensor, scale: &Tensor, bias: &Tensor) -> Tensor {
    x.layer_norm([scale.size()[0]], Some(scale), Some(bias), LAYER_NORM_EPSILON, false)
}

/// `x` plus a scalar of FixUp, where there is one.
pub fn plus(views: &Views, x: &Tensor, scalar: Option<View>) -> Tensor {
    scalar.map_or_else(|| x.shallow_clone(), |scalar| x + &views[scalar])
}

/// The table of sinusoidal positions of tensor2tensor and fairseq, `[rows, d]`, fp32: sines first, then cosines,
/// frequencies `exp(-k · ln(10000)/(d/2 - 1))`; the row of the padding id, 1, is zero.
///
/// ```
/// let table = nmt::model::sinusoidal_positions(4, 8);
/// assert_eq!(table.double_value(&[1, 4]), 0.0); // padding
/// assert!((table.double_value(&[2, 0]) - 2f64.sin()).abs() < 1e-6);
/// ```
pub fn sinusoidal_positions(rows: i64, d: i64) -> Tensor {
    let half = d / 2;
    let step = -(10000f64.ln()) / (half - 1).max(1) as f64;
    let frequencies = (Tensor::arange(half, (Kind::Float, Device::Cpu)) * step).exp();
    let angles = Tensor::arange(rows, (Kind::Float, Device::Cpu)).unsqueeze(1) * frequencies.unsqueeze(0); // [rows, half]
    let mut table = Tensor::cat(&[angles.sin(), angles.cos()], 1);
    if rows > 1 {
        let _ = table.narrow(0, 1, 1).zero_();
    }
    if d % 2 == 1 {
        table = table.constant_pad_nd([0, 1]);
    }
    table
}
