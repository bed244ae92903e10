//! The outcomes of an experiment over two settings as maps.

use super::outcome::Outcome;
use super::plan::{Method, Plan, Trained, short};
use super::table::cells;
use crate::plot::HeatMap;
use crate::score::spread;

/// Of a plan with two axes: test BLEU (or, where nothing is scored, the validation loss) as a map a method, the plan's first
/// axis upwards (its values from the top in falling order) and its second to the right. None of any other plan.
pub fn maps(plan: &Plan, outcomes: &[Outcome]) -> Option<Vec<HeatMap>> {
    let [up, right] = &plan.axes[..] else { return None };
    let (x, y) = (right.texts(), up.texts());
    let cells = cells(plan, outcomes);
    let value = |method: &str, row: &String, column: &String| {
        let cell = cells
            .iter()
            .find(|cell| cell.method == method && cell.point.iter().map(|(_, value)| value).eq([row, column]))?;
        let values = match plan.score {
            _ if plan.task == Trained::Vision => cell.values(|outcome| outcome.best_accuracy, Some(0.0)),
            true => cell.values(|outcome| outcome.test_bleu, Some(0.0)),
            false => cell.values(|outcome| outcome.validation_nll, None),
        };
        (!values.is_empty()).then(|| spread(&values).0)
    };
    let map = |method: &Method| HeatMap {
        title: method.name.clone(),
        x_label: short(&right.key).to_string(),
        y_label: short(&up.key).to_string(),
        values: y.iter().rev().map(|row| x.iter().map(|column| value(&method.name, row, column)).collect()).collect(),
        x: x.clone(),
        y: y.iter().rev().cloned().collect(),
    };
    Some(plan.methods.iter().map(map).collect())
}
