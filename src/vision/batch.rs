//! What image networks are trained on and evaluated with.

use tch::Tensor;

/// A batch of pictures.
pub struct PictureBatch {
    /// `[images, 3, height, width]`, fp32, normalised.
    pub pictures: Tensor,
    /// `[images]`, int64.
    pub classes: Tensor,
    /// MixUp: the other class of every picture, and the share of the first, from 0 to 1.
    pub mixed: Option<(Tensor, f64)>,
}
