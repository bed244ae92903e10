//! The outcomes of an experiment over one or two settings as pictures.

use std::path::Path;

use super::outcome::Outcome;
use super::plan::{Axis, Method, Plan, short};
use super::table::{Cell, Score, cells};
use crate::error::Result;
use crate::plot::{HeatMap, ScoreCurve, heat_maps, score_curves};
use crate::score::spread;

/// Draw what the runs are compared by into `output`: of a plan with one axis a curve a method, of one with two axes a map a
/// method. Nothing is drawn of any other plan, before the first score, and of one axis whose values are no numbers.
///
/// # Errors
/// As [`heat_maps`] and [`score_curves`].
pub fn picture(plan: &Plan, outcomes: &[Outcome], output: &Path) -> Result<()> {
    let (score, cells) = (Score::of(plan, outcomes), cells(plan, outcomes));
    if cells.iter().all(|cell| score.values(cell).is_empty()) {
        return Ok(());
    }
    match &plan.axes[..] {
        [axis] => match numbers(axis) {
            Some(values) => score_curves(&curves(plan, &values, &cells, &score), short(&axis.key), score.name, output),
            None => Ok(()),
        },
        [up, right] => heat_maps(&maps(plan, [up, right], &cells, &score), output),
        _ => Ok(()),
    }
}

/// The values of an axis with their texts, in rising order; none where one is no finite number.
fn numbers(axis: &Axis) -> Option<Vec<(f64, String)>> {
    let number = |text: String| Some((text.parse().ok().filter(|value: &f64| value.is_finite())?, text));
    let mut values: Vec<(f64, String)> = axis.texts().into_iter().map(number).collect::<Option<_>>()?;
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(values)
}

/// The scores of the method's runs at a point.
fn at(cells: &[Cell], score: &Score, method: &Method, point: &[&String]) -> Vec<f64> {
    let here = |cell: &&Cell| {
        cell.method == method.name && cell.point.iter().map(|(_, value)| value).eq(point.iter().copied())
    };
    cells.iter().find(here).map_or(Vec::new(), |cell| score.values(cell))
}

fn curves(plan: &Plan, values: &[(f64, String)], cells: &[Cell], score: &Score) -> Vec<ScoreCurve> {
    let curve = |method: &Method| ScoreCurve {
        name: method.name.clone(),
        scores: values.iter().map(|(value, text)| (*value, at(cells, score, method, &[text]))).collect(),
    };
    plan.methods.iter().map(curve).collect()
}

/// The plan's first axis upwards (its values from the top in falling order) and its second to the right.
fn maps(plan: &Plan, [up, right]: [&Axis; 2], cells: &[Cell], score: &Score) -> Vec<HeatMap> {
    let (x, y) = (right.texts(), up.texts());
    let value = |method: &Method, row: &String, column: &String| {
        let values = at(cells, score, method, &[row, column]);
        (!values.is_empty()).then(|| spread(&values).0)
    };
    let map = |method: &Method| HeatMap {
        title: method.name.clone(),
        x_label: short(&right.key).to_string(),
        y_label: short(&up.key).to_string(),
        values: y.iter().rev().map(|row| x.iter().map(|column| value(method, row, column)).collect()).collect(),
        x: x.clone(),
        y: y.iter().rev().cloned().collect(),
    };
    plan.methods.iter().map(map).collect()
}
