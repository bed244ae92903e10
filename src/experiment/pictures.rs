//! The outcomes of an experiment over one or two settings as pictures.

use std::path::Path;

use super::outcome::Outcome;
use super::plan::{Axis, Method, Plan, Trained, short};
use super::table::{Cell, cells};
use crate::error::Result;
use crate::plot::{HeatMap, ScoreCurve, heat_maps, score_curves};
use crate::score::spread;

/// Of a plan with one axis draw the score of every method against it, of one with two axes a map a method, into `output`;
/// of any other plan, and before the first outcome, nothing.
///
/// # Errors
/// As [`heat_maps`] and [`score_curves`].
pub fn picture(plan: &Plan, outcomes: &[Outcome], output: &Path) -> Result<()> {
    if outcomes.is_empty() {
        return Ok(());
    }
    match &plan.axes[..] {
        [axis] => match curves(plan, axis, outcomes) {
            Some(curves) => score_curves(&curves, short(&axis.key), quantity(plan), output),
            None => Ok(()),
        },
        [up, right] => heat_maps(&maps(plan, [up, right], outcomes), output),
        _ => Ok(()),
    }
}

/// What is drawn: of image networks the best accuracy, else test BLEU or, where nothing is scored, the last validation's
/// BLEU (one axis) or loss (two axes).
fn quantity(plan: &Plan) -> &'static str {
    match (plan.task, plan.score) {
        (Trained::Vision, _) => "best accuracy (%)",
        (_, true) => "BLEU, test",
        (_, false) => "BLEU, last validation",
    }
}

/// The scores of a cell's runs; a run that ended with an error counts as nothing learnt.
fn scores(plan: &Plan, cell: &Cell) -> Vec<f64> {
    let of: fn(&Outcome) -> Option<f64> = match (plan.task, plan.score) {
        (Trained::Vision, _) => |outcome| outcome.best_accuracy,
        (_, true) => |outcome| outcome.test_bleu,
        (_, false) => |outcome| outcome.last_bleu,
    };
    cell.values(of, Some(0.0))
}

/// A curve a method; none where the axis has values that are no numbers.
fn curves(plan: &Plan, axis: &Axis, outcomes: &[Outcome]) -> Option<Vec<ScoreCurve>> {
    let values: Vec<(String, f64)> =
        axis.texts().into_iter().map(|text| text.parse().ok().map(|value| (text, value))).collect::<Option<_>>()?;
    let cells = cells(plan, outcomes);
    let of = |method: &Method| {
        let mut found: Vec<(f64, Vec<f64>)> = Vec::new();
        for (text, value) in &values {
            let here = |cell: &&Cell| cell.method == method.name && cell.point.iter().all(|(_, at)| at == text);
            found.push((*value, cells.iter().find(here).map_or(Vec::new(), |cell| scores(plan, cell))));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        ScoreCurve { name: method.name.clone(), scores: found }
    };
    let curves: Vec<ScoreCurve> = plan.methods.iter().map(of).collect();
    curves.iter().flat_map(|curve| &curve.scores).any(|(_, scores)| !scores.is_empty()).then_some(curves)
}

/// A map a method, the plan's first axis upwards (its values from the top in falling order) and its second to the right.
fn maps(plan: &Plan, [up, right]: [&Axis; 2], outcomes: &[Outcome]) -> Vec<HeatMap> {
    let (x, y) = (right.texts(), up.texts());
    let cells = cells(plan, outcomes);
    let value = |method: &str, row: &String, column: &String| {
        let here = |cell: &&Cell| cell.method == method && cell.point.iter().map(|(_, at)| at).eq([row, column]);
        let cell = cells.iter().find(here)?;
        let values = match plan.task == Trained::Vision || plan.score {
            true => scores(plan, cell),
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
    plan.methods.iter().map(map).collect()
}
