//! What GradInit wrote down while it learnt the scales.

use std::path::Path;

use serde::Deserialize;

use super::json_lines::read_json_lines;
use crate::error::{Error, Result};
use crate::params::BlockKind;

/// The trajectory of the scales.
#[derive(Debug, Clone)]
pub struct Trajectory {
    /// The names of the parameter blocks, in the order of the scales.
    pub names: Vec<String>,
    /// Their kinds; none in files of programs that did not write them.
    pub kinds: Option<Vec<BlockKind>>,
    /// The bound γ of the gradient's norm, where there is one.
    pub gamma: Option<f64>,
    /// The iterations in the file's order.
    pub iterations: Vec<Iteration>,
}

/// An iteration; a loss or norm that is not a number is `None`.
#[derive(Debug, Clone, Deserialize)]
pub struct Iteration {
    /// Counted from 0.
    pub iteration: u64,
    /// Which step was taken.
    pub branch: Branch,
    /// The loss before the step, nats per target token.
    pub loss: Option<f64>,
    /// The norm of the gradient that γ bounds.
    pub gradient_norm: Option<f64>,
    /// The loss after a step of the optimiser, of the objective's branch only.
    pub loss_after_step: Option<f64>,
    /// The scales after the iteration.
    pub scales: Vec<Option<f64>>,
}

/// The two steps of GradInit's Algorithm 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Branch {
    /// The gradient's norm was above γ and is descended.
    Constraint,
    /// The loss after one step is descended.
    Objective,
}

#[derive(Deserialize)]
struct Blocks {
    names: Vec<String>,
    kinds: Option<Vec<BlockKind>>,
    gamma: Option<f64>,
}

#[derive(Deserialize)]
#[serde(try_from = "serde_json::Value")]
enum Line {
    Blocks(Blocks),
    Iteration(Iteration),
    Other,
}

impl TryFrom<serde_json::Value> for Line {
    type Error = serde_json::Error;

    fn try_from(value: serde_json::Value) -> std::result::Result<Line, serde_json::Error> {
        match value.get("event").map(|event| event == "blocks") {
            Some(true) => serde_json::from_value(value).map(Line::Blocks),
            Some(false) => Ok(Line::Other),
            None => serde_json::from_value(value).map(Line::Iteration),
        }
    }
}

impl Trajectory {
    /// Read a trajectory (JSON lines).
    ///
    /// # Errors
    /// [`Error::Content`] for a line that is not of a trajectory, when an iteration has not one scale for each block,
    /// and when the names or all iterations are missing.
    pub fn read(path: &Path) -> Result<Trajectory> {
        let mut blocks = None;
        let mut iterations = Vec::new();
        for (number, line) in read_json_lines(path)? {
            match line {
                Line::Blocks(found) => blocks = Some(found),
                Line::Iteration(iteration) => iterations.push((number, iteration)),
                Line::Other => {}
            }
        }
        let place = path.display().to_string();
        let next = "check that this is the trajectory that `nmt gradinit` wrote";
        let Some(Blocks { names, kinds, gamma }) = blocks else {
            return Err(Error::content(place, "a line with `\"event\":\"blocks\"`", "none", next));
        };
        if iterations.is_empty() {
            return Err(Error::content(place, "at least one iteration", "none", next));
        }
        if let Some((number, iteration)) =
            iterations.iter().find(|(_, iteration)| iteration.scales.len() != names.len())
        {
            let expected = format!("{} scales, one for each block", names.len());
            return Err(Error::content(
                format!("{place}:{number}"),
                expected,
                iteration.scales.len().to_string(),
                next,
            ));
        }
        let iterations = iterations.into_iter().map(|(_, iteration)| iteration).collect();
        let kinds = kinds.filter(|kinds| kinds.len() == names.len());
        Ok(Trajectory { names, kinds, gamma: gamma.filter(|gamma| gamma.is_finite()), iterations })
    }

    /// The iterations where a quantity is known, as (iteration, value).
    pub fn series(&self, quantity: impl Fn(&Iteration) -> Option<f64>) -> Vec<(f64, f64)> {
        let point = |step: &Iteration| Some((step.iteration as f64, quantity(step).filter(|value| value.is_finite())?));
        self.iterations.iter().filter_map(point).collect()
    }
}
