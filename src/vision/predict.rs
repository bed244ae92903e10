//! The classes that a trained network gives to pictures.

use tch::{Kind, Tensor};

use super::network::Classifier;
use super::validation::without_graph;
use crate::error::Result;
use crate::task::Mode;

/// The `top` most probable classes of every picture, each with its probability, the most probable first; fewer where there
/// are fewer classes.
/// `pictures` are `[images, 3, side, side]`, fp32, normalised.
///
/// # Errors
/// [`crate::Error::OutOfMemory`].
pub fn predict(
    network: &Classifier,
    theta: &Tensor,
    pictures: &Tensor,
    top: usize,
    compute: Kind,
) -> Result<Vec<Vec<(usize, f64)>>> {
    let logits = without_graph(pictures, || network.logits(theta, pictures, Mode::evaluate(compute)))?;
    let classes = logits.size()[1];
    let (probabilities, numbers) =
        logits.softmax(1, Kind::Double).topk(i64::try_from(top).unwrap_or(i64::MAX).min(classes), 1, true, true);
    let probabilities = Vec::<Vec<f64>>::try_from(probabilities)?;
    let numbers = Vec::<Vec<i64>>::try_from(numbers)?;
    let of_one = |(numbers, probabilities): (Vec<i64>, Vec<f64>)| {
        numbers.into_iter().map(|number| number as usize).zip(probabilities).collect()
    };
    Ok(numbers.into_iter().zip(probabilities).map(of_one).collect())
}
