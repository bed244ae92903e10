//! Small layers: dropout from cheap bits, layer normalisation, sinusoidal positions.

use std::cell::Cell;

use tch::{Device, Kind, Tensor};

use super::config::{Activation, Positions};
use crate::data::PAD;
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

/// What feed-forward layers do with their hidden units.
pub fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Relu => x.relu(),
        Activation::Swish => x.silu(),
        Activation::Gelu => x.gelu("none"),
    }
}

/// The table of sinusoidal positions, `[rows, d]`, fp32: sines first, then cosines; the row of the padding id, 1, is zero, and a
/// sentence's first token has the row after it.
///
/// ```
/// use nmt::model::{Positions, sinusoidal_positions};
/// let table = sinusoidal_positions(Positions::Fairseq, 4, 8);
/// assert_eq!(table.double_value(&[1, 4]), 0.0); // padding
/// assert!((table.double_value(&[2, 0]) - 2f64.sin()).abs() < 1e-6);
/// assert!((table.double_value(&[3, 1]) - (3.0 / 10000f64.powf(1.0 / 3.0)).sin()).abs() < 1e-6);
/// let table = sinusoidal_positions(Positions::Marian, 4, 8);
/// assert_eq!((table.double_value(&[2, 0]), table.double_value(&[2, 4])), (0.0, 1.0)); // position 0
/// assert!((table.double_value(&[3, 1]) - (1.0 / 10000f64.powf(1.0 / 4.0)).sin()).abs() < 1e-6);
/// ```
pub fn sinusoidal_positions(kind: Positions, rows: i64, d: i64) -> Tensor {
    let half = d / 2;
    let options = (Kind::Float, Device::Cpu);
    let (denominator, first) = match kind {
        Positions::Fairseq => ((half - 1).max(1), PAD + 1),
        Positions::Marian => (half, 0),
    };
    let step = -(10000f64.ln()) / denominator as f64;
    let frequencies = (Tensor::arange(half, options) * step).exp();
    let numbers = Tensor::arange(rows, options) + (first - (PAD + 1)) as f64;
    let angles = numbers.unsqueeze(1) * frequencies.unsqueeze(0); // [rows, half]
    let mut table = Tensor::cat(&[angles.sin(), angles.cos()], 1);
    if rows > 1 {
        let _ = table.narrow(0, 1, 1).zero_();
    }
    if d % 2 == 1 {
        table = table.constant_pad_nd([0, 1]);
    }
    table
}
