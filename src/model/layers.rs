//! Small layers: dropout from cheap bits, layer normalisation, sinusoidal positions.

use tch::{Device, Kind, Tensor};

/// fairseq's epsilon of layer normalisation.
const LAYER_NORM_EPS: f64 = 1e-5;

/// Whether dropout is drawn in a forward pass.
///
/// Eight masks come from one 64-bit word of libtorch's generator, so the probability is a multiple of 1/256: the rate
/// is rounded to the nearest one and the kept activations are divided by the exact probability of keeping them.
/// (A Bernoulli draw an element costs more than the matrix products of a small Transformer.)
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// False: the identity.
    pub active: bool,
}

impl Dropout {
    /// Drop elements of `x` (any shape) with probability `rate`.
    pub fn apply(self, x: &Tensor, rate: f64) -> Tensor {
        let dropped = (rate * 256.0).round() as i64;
        if !self.active || dropped == 0 {
            return x.shallow_clone();
        }
        let keep = 1.0 - dropped.min(255) as f64 / 256.0;
        let numel = x.numel() as i64;
        let words = Tensor::empty([(numel + 7) / 8], (Kind::Int64, x.device())).random_from_(i64::MIN, None::<i64>);
        let bytes = words.view_dtype(Kind::Uint8).narrow(0, 0, numel); // [numel]
        let mask = bytes.ge(dropped.min(255)).to_kind(x.kind()).view(x.size().as_slice()) * (1.0 / keep);
        x * mask
    }
}

/// Layer normalisation over the last dimension (biased variance).
pub fn layer_norm(x: &Tensor, scale: &Tensor, bias: &Tensor) -> Tensor {
    x.layer_norm([scale.size()[0]], Some(scale), Some(bias), LAYER_NORM_EPS, false)
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
