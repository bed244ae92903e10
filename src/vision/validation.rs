//! Loss and accuracy of a split.

use serde_json::{Map, json};
use tch::{Kind, Tensor, no_grad};

use super::network::Classifier;
use super::pictures::{PictureData, all_corrupt};
use crate::error::Result;
use crate::memory::within;
use crate::progress::readable;
use crate::task::Mode;
use crate::train::Validation;

/// What a network makes of a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Pictures whose class is at the top.
    pub correct: i64,
    /// Pictures whose class is among the first five.
    pub top_5: i64,
    /// All pictures.
    pub pictures: i64,
    /// The mean cross-entropy, natural logarithm.
    pub loss: f64,
    /// The same of every class by itself: pictures whose class is at the top, and all.
    pub by_class: Vec<(i64, i64)>,
}

impl Accuracy {
    /// Of all pictures, in per cent.
    pub fn percent(&self) -> f64 {
        percent(self.correct, self.pictures)
    }
}

/// `part` of `all`, in per cent.
///
/// ```
/// assert_eq!((nmt::vision::percent(1, 8), nmt::vision::percent(0, 0)), (12.5, 0.0));
/// ```
pub fn percent(part: i64, all: i64) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
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
/// What reading pictures brings, [`crate::Error::Content`] where all are corrupt and left out, and [`crate::Error::OutOfMemory`].
pub fn evaluate(network: &Classifier, theta: &Tensor, data: &PictureData, compute: Kind) -> Result<Accuracy> {
    let classes = data.pictures().classes().len();
    let mut found = Accuracy { correct: 0, top_5: 0, pictures: 0, loss: 0.0, by_class: vec![(0, 0); classes] };
    for batch in data.evaluation_batches() {
        let batch = batch?;
        let logits =
            without_graph(&batch.pictures, || network.logits(theta, &batch.pictures, Mode::evaluate(compute)))?;
        found.loss += Classifier::cross_entropy(&logits, &batch.classes).double_value(&[]);
        found.pictures += batch.classes.size()[0];
        let first_five = logits.topk(logits.size()[1].min(5), 1, true, false).1;
        // [images] -> [images, 1]
        found.top_5 += first_five.eq_tensor(&batch.classes.unsqueeze(1)).sum(Kind::Int64).int64_value(&[]);
        let [truth, predicted] = [&batch.classes, &logits.argmax(1, false)].map(Vec::<i64>::try_from);
        for (truth, predicted) in truth?.into_iter().zip(predicted?) {
            let right = i64::from(truth == predicted);
            found.correct += right;
            // A split of which a class is unknown has none of this number.
            if let Some((correct, all)) = usize::try_from(truth).ok().and_then(|class| found.by_class.get_mut(class)) {
                (*correct, *all) = (*correct + right, *all + 1);
            }
        }
    }
    if found.pictures == 0 {
        return Err(all_corrupt(data.pictures().split().name()));
    }
    found.loss /= found.pictures as f64;
    Ok(found)
}

/// What `compute` makes of a batch of pictures, `[images, 3, height, width]`, without a graph.
///
/// # Errors
/// [`crate::Error::OutOfMemory`].
pub(super) fn without_graph<T>(pictures: &Tensor, compute: impl FnOnce() -> T) -> Result<T> {
    let size = pictures.size();
    let batch = format!("{} pictures of {} × {} pixels", size[0], size[2], size[3]);
    within(&batch, "smaller batches need less", || no_grad(compute))
}
