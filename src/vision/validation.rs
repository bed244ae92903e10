//! Loss and accuracy of a split.

use serde_json::{Map, json};
use tch::{Kind, Tensor, no_grad};

use super::network::Classifier;
use super::pictures::PictureData;
use crate::error::{Error, Result};
use crate::memory::watch;
use crate::progress::readable;
use crate::task::Mode;
use crate::train::Validation;

/// What a network makes of a split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Pictures whose class is at the top.
    pub correct: i64,
    /// All pictures.
    pub pictures: i64,
    /// The mean cross-entropy, natural logarithm.
    pub loss: f64,
}

impl Accuracy {
    /// Of all pictures, in per cent.
    pub fn percent(&self) -> f64 {
        100.0 * self.correct as f64 / self.pictures.max(1) as f64
    }
}

impl From<Accuracy> for Validation {
    fn from(found: Accuracy) -> Validation {
        let (accuracy, loss) = (found.percent(), found.loss);
        let pairs = [("accuracy", accuracy), ("loss", loss)];
        let text = format!("validation accuracy {accuracy:.2} %, loss {}", readable(loss, 4));
        // What is at the top of logits that are no numbers means nothing.
        let value = if loss.is_nan() { f64::NAN } else { accuracy };
        Validation { value, found: Map::from_iter(pairs.map(|(key, value)| (key.into(), json!(value)))), text }
    }
}

/// Classify all pictures of `data` with the running statistics.
///
/// # Errors
/// What reading pictures brings, and [`Error::OutOfMemory`].
pub fn evaluate(network: &Classifier, theta: &Tensor, data: &PictureData, compute: Kind) -> Result<Accuracy> {
    let mut found = Accuracy { correct: 0, pictures: 0, loss: 0.0 };
    for batch in data.evaluation_batches() {
        let batch = batch?;
        let logits =
            without_graph(&batch.pictures, || network.logits(theta, &batch.pictures, Mode::evaluate(compute)))?;
        found.loss += Classifier::cross_entropy(&logits, &batch.classes).double_value(&[]);
        found.correct += Classifier::correct(&logits, &batch.classes);
        found.pictures += batch.classes.size()[0];
    }
    found.loss /= found.pictures.max(1) as f64;
    Ok(found)
}

/// What `compute` makes of a batch of pictures, `[images, 3, height, width]`, without a graph.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(super) fn without_graph<T>(pictures: &Tensor, compute: impl FnOnce() -> T) -> Result<T> {
    watch(|| no_grad(compute)).map_err(|found| {
        let size = pictures.size();
        let batch = format!("{} pictures of {} × {} pixels", size[0], size[2], size[3]);
        Error::OutOfMemory { batch, found, next: "lower --batch-size, or training.batch_size".into() }
    })
}
