//! Scores of methods against one setting: how far each of them bears it.

use std::path::Path;

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::panel::{LegendEntry, MARKERS, PALETTE, Panel, Stroke, legend};
use super::picture::{Area, Drawn, Picture, save};
use crate::error::{Error, Result};

/// The scores of one method.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreCurve {
    /// Its name in the legend.
    pub name: String,
    /// Values of the setting in rising order, and the score of every run with it.
    pub scores: Vec<(f64, Vec<f64>)>,
}

impl ScoreCurve {
    /// The mean of every value's runs; values without one are left out.
    fn means(&self) -> Vec<(f64, f64)> {
        let mean = |scores: &Vec<f64>| scores.iter().sum::<f64>() / scores.len() as f64;
        self.scores.iter().filter(|(_, scores)| !scores.is_empty()).map(|(x, scores)| (*x, mean(scores))).collect()
    }

    /// One point a run.
    fn runs(&self) -> Vec<(f64, f64)> {
        self.scores.iter().flat_map(|(x, scores)| scores.iter().map(|score| (*x, *score))).collect()
    }
}

/// Draw the mean of every method as a line and every run as a point, and write them to `output`, an `.svg` or a `.png`.
///
/// # Errors
/// [`Error::Usage`] for another extension and where there is no score, [`Error::Io`] when the file cannot be written.
pub fn score_curves(curves: &[ScoreCurve], x_label: &str, y_label: &str, output: &Path) -> Result<()> {
    if curves.iter().all(|curve| curve.runs().is_empty()) {
        return Err(Error::usage("a curve of scores needs at least one score", "run a method first"));
    }
    let (curves, x_label, y_label) = (curves.to_vec(), x_label.to_owned(), y_label.to_owned());
    save(&ScoreCurves { curves, x_label, y_label }, output)
}

struct ScoreCurves {
    curves: Vec<ScoreCurve>,
    x_label: String,
    y_label: String,
}

impl ScoreCurves {
    /// How a method's mean and its runs are drawn.
    fn strokes(number: usize) -> (Stroke, Stroke) {
        let line = Stroke::line(PALETTE[number % PALETTE.len()], 4);
        let mean =
            Stroke { point: 9, marker: MARKERS[number % MARKERS.len()], dashed: number >= PALETTE.len(), ..line };
        (mean, Stroke { opacity: 0.45, width: 0, point: 6, dashed: false, ..mean })
    }
}

impl Picture for ScoreCurves {
    fn size(&self) -> (u32, u32) {
        (1500, 950)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let entry = |(number, curve): (usize, &ScoreCurve)| (curve.name.clone(), ScoreCurves::strokes(number).0);
        let entries: Vec<LegendEntry> = self.curves.iter().enumerate().map(entry).collect();
        let panel = legend(area, &[entries])?;
        let points: Vec<(f64, f64)> = self.curves.iter().flat_map(ScoreCurve::runs).collect();
        let ends = |of: fn(&(f64, f64)) -> f64| {
            let values = || points.iter().map(of);
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
        };
        let ((left, right), (low, high)) = (ends(|point| point.0), ends(|point| point.1));
        let x = match left > 0.0 {
            true => Axis::logarithmic(&self.x_label, left, right),
            false => Axis::linear(&self.x_label, left, right),
        };
        let y = Axis::linear(&self.y_label, low.min(0.0), high);
        let mut panel = Panel::new(&panel, &x, &y, true)?;
        for (number, curve) in self.curves.iter().enumerate() {
            let (mean, run) = ScoreCurves::strokes(number);
            panel.line(&curve.means(), mean)?;
            panel.line(&curve.runs(), run)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: means by hand.
    #[test]
    fn methods_are_drawn_with_their_runs() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("scores.svg");
        let curve = |name: &str, scores: &[(f64, &[f64])]| ScoreCurve {
            name: name.into(),
            scores: scores.iter().map(|(x, scores)| (*x, scores.to_vec())).collect(),
        };
        let curves = [curve("Vanilla", &[(1e-3, &[8.0, 6.0]), (2e-3, &[0.0]), (3e-3, &[])]), curve("Admin", &[])];
        assert_eq!(curves[0].means(), [(1e-3, 7.0), (2e-3, 0.0)]);
        assert_eq!(curves[0].runs(), [(1e-3, 8.0), (1e-3, 6.0), (2e-3, 0.0)]);
        score_curves(&curves, "learning_rate", "BLEU", &output).unwrap();
        let svg = std::fs::read_to_string(&output).unwrap();
        assert!(["Vanilla", "Admin", "learning_rate", "BLEU"].iter().all(|text| svg.contains(text)), "{svg}");
        assert!(score_curves(&curves[1..], "x", "y", &output).is_err());
    }
}
