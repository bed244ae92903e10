//! The points of a learning curve, read from a run's log.

use std::path::Path;

use serde::Deserialize;

use super::json_lines::read_json_lines;
use crate::error::{Error, Result};

/// A run with what its log says, in the log's order.
#[derive(Debug, Clone)]
pub struct Run {
    /// The name in the legend.
    pub name: String,
    /// The windows of training that were logged.
    pub training: Vec<Point>,
    /// The validations.
    pub validation: Vec<Point>,
}

/// What is known at an update. A loss that is not a number is `null` in a log and `None` here.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Point {
    /// Updates so far.
    pub update: u64,
    /// The epoch, counted from 1.
    pub epoch: Option<u64>,
    /// The loss that is minimised, with label smoothing, bits per target token; of pictures the cross-entropy, natural
    /// logarithm.
    pub loss: Option<f64>,
    /// The negative log-likelihood, bits per target token.
    pub nll_loss: Option<f64>,
    /// 2 to the power of `nll_loss`.
    pub perplexity: Option<f64>,
    /// BLEU of the validation set, 0 to 100.
    pub bleu: Option<f64>,
    /// Pictures of the validation set that were classified rightly, in per cent.
    pub accuracy: Option<f64>,
    /// Pictures since the last line; none of a Transformer.
    pub pictures: Option<u64>,
    /// The step size of the last update.
    pub learning_rate: Option<f64>,
    /// The mean norm of the gradient before clipping.
    pub gradient_norm: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Update(Point),
    Validation(Point),
    #[serde(other)]
    Other,
}

impl Run {
    /// Whether it is of an image network.
    pub fn of_pictures(&self) -> bool {
        let is = |point: &Point| point.accuracy.is_some() || point.pictures.is_some();
        self.training.iter().chain(&self.validation).any(is)
    }

    /// Read the log (JSON lines) at `path`.
    ///
    /// # Errors
    /// [`Error::Content`] for a line that is no event, and when there is nothing to draw.
    pub fn read(name: &str, path: &Path) -> Result<Run> {
        let mut run = Run { name: name.to_owned(), training: Vec::new(), validation: Vec::new() };
        for (_, event) in read_json_lines(path)? {
            match event {
                Event::Update(point) => run.training.push(point),
                Event::Validation(point) => run.validation.push(point),
                Event::Other => {}
            }
        }
        let drawable = |point: &Point| point.loss.or(point.nll_loss).or(point.bleu).or(point.accuracy).is_some();
        if !run.training.iter().chain(&run.validation).any(drawable) {
            return Err(Error::content(
                path.display().to_string(),
                "at least one `update` or `validation` event with a loss that is a number",
                "none",
                "let the run get further, or check that this is the log of a training run",
            ));
        }
        Ok(run)
    }
}

/// The places where a quantity is known, as (update, value).
pub fn series(points: &[Point], quantity: fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
    points
        .iter()
        .filter_map(|point| Some((point.update as f64, quantity(point).filter(|value| value.is_finite())?)))
        .collect()
}
