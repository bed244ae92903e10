//! Learning curves: losses, and BLEU or accuracy where it was measured, against updates.

use std::io::Write;
use std::path::{Path, PathBuf};

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{INK, LegendEntry, Marker, PALETTE, Panel, Stroke, legend};
use super::picture::{Area, Drawn, Format, Picture, save};
use super::run_log::{Point, Run, series};
use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Draw the learning curves of runs over each other and write them to `output`, an `.svg` or a `.png`.
///
/// A run is its name in the legend and the path of its log. The upper panel shows the negative log-likelihood of
/// training (with dropout) and of validation in bits per target token, the lower one BLEU of validation where a log has it.
/// Of image networks it is the cross-entropy and the accuracy. The loss of a run that diverges leaves the panel above the largest first loss of all runs.
///
/// # Errors
/// [`Error::Usage`] for another extension, no runs and runs of both kinds of network, [`Error::Content`] for a line of a log that cannot be understood
/// and for a log with no loss, [`Error::Io`] when a file cannot be read or written.
pub fn learning_curve(runs: &[(String, PathBuf)], output: &Path) -> Result<()> {
    Format::of(output)?;
    save(&LearningCurve::new(&of_one_kind(read(runs)?)?), output)
}

/// Write the points of [`learning_curve`] as CSV: one line for each event; what an event does not say is empty.
///
/// # Errors
/// As [`learning_curve`].
pub fn learning_curve_csv(runs: &[(String, PathBuf)], output: &Path) -> Result<()> {
    let runs = read(runs)?;
    write_atomically(output, |writer| {
        write_csv(&runs, writer).map_err(|error| Error::io("write", output)(error.into()))
    })
}

fn read(runs: &[(String, PathBuf)]) -> Result<Vec<Run>> {
    if runs.is_empty() {
        return Err(Error::usage("a learning curve needs at least one run", "give --run RUN"));
    }
    runs.iter().map(|(name, path)| Run::read(name, path)).collect()
}

/// Refuse runs of image networks beside those of Transformers.
fn of_one_kind(runs: Vec<Run>) -> Result<Vec<Run>> {
    let of = |pictures: bool| runs.iter().find(|run| run.of_pictures() == pictures);
    if let (Some(Run { name: pictures, .. }), Some(Run { name: text, .. })) = (of(true), of(false)) {
        return Err(Error::usage(
            format!("expected runs of one kind, found {pictures} of an image network and {text} of a Transformer"),
            "draw them apart: their losses and scores have nothing in common",
        ));
    }
    Ok(runs)
}

fn write_csv(runs: &[Run], writer: &mut impl Write) -> csv::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record([
        "run",
        "event",
        "update",
        "epoch",
        "loss",
        "nll_loss",
        "perplexity",
        "bleu",
        "learning_rate",
        "gradient_norm",
        "accuracy",
    ])?;
    for run in runs {
        for (event, points) in [("update", &run.training), ("validation", &run.validation)] {
            for point in points {
                let Point { loss, nll_loss, perplexity, bleu, learning_rate, gradient_norm, accuracy, .. } = point;
                let values = [loss, nll_loss, perplexity, bleu, learning_rate, gradient_norm, accuracy];
                let values = values.map(|value| value.map(|value| value.to_string()).unwrap_or_default());
                let epoch = point.epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
                let place = [run.name.clone(), event.to_owned(), point.update.to_string(), epoch];
                csv.write_record(place.iter().chain(&values))?;
            }
        }
    }
    csv.flush()?;
    Ok(())
}

struct LearningCurve {
    curves: Vec<Curve>,
    updates: Axis,
    loss: Axis,
    score: Option<Axis>,
}

struct Curve {
    name: String,
    training: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
    score: Vec<(f64, f64)>,
}

impl LearningCurve {
    fn new(runs: &[Run]) -> LearningCurve {
        let curves: Vec<Curve> = runs
            .iter()
            .map(|run| Curve {
                name: run.name.clone(),
                training: series(&run.training, |point| point.nll_loss.or(point.loss)),
                validation: series(&run.validation, |point| point.nll_loss.or(point.accuracy.and(point.loss))),
                score: series(&run.validation, |point| point.bleu.or(point.accuracy)),
            })
            .collect();
        let lines = curves.iter().flat_map(|curve| [&curve.training, &curve.validation, &curve.score]);
        let last = lines.flatten().map(|point| point.0).fold(1.0, f64::max);
        let losses = || curves.iter().flat_map(|curve| [&curve.training, &curve.validation]);
        let ceiling = losses().filter_map(|line| line.first()).map(|point| point.1).fold(0.0, f64::max);
        let (low, high) = ends(losses().flatten().map(|point| point.1)).unwrap_or((0.0, 1.0));
        let best = ends(curves.iter().flat_map(|curve| &curve.score).map(|point| point.1));
        let pictures = runs.iter().any(Run::of_pictures);
        let (loss, score) = match pictures {
            true => ("cross-entropy (natural logarithm)", "validation accuracy (%)"),
            false => ("loss (bits per target token)", "validation BLEU"),
        };
        LearningCurve {
            updates: Axis::starting_at("updates", 0.0, last),
            loss: Axis::linear(loss, low, high.min(ceiling.max(low))),
            score: best.map(|(_, high)| Axis::linear(score, 0.0, high)),
            curves,
        }
    }
}

fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// The stroke `stroke` in the colour of a run, dashed where the colours begin again.
fn of_run(number: usize, stroke: fn(RGBColor) -> Stroke) -> Stroke {
    let stroke = stroke(PALETTE[number % PALETTE.len()]);
    if number / PALETTE.len() % 2 == 1 { Stroke { dashed: true, marker: Marker::Square, ..stroke } } else { stroke }
}

fn training_stroke(color: RGBColor) -> Stroke {
    Stroke { opacity: 0.55, ..Stroke::line(color, 3) }
}

fn validation_stroke(color: RGBColor) -> Stroke {
    Stroke { point: 7, ..Stroke::line(color, 4) }
}

impl Picture for LearningCurve {
    fn size(&self) -> (u32, u32) {
        (1800, if self.score.is_some() { 1400 } else { 900 })
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let runs: Vec<LegendEntry> = self
            .curves
            .iter()
            .enumerate()
            .map(|(number, curve)| (curve.name.clone(), of_run(number, |color| Stroke::line(color, 10))))
            .collect();
        let mut kinds = Vec::new();
        if self.curves.iter().any(|curve| !curve.training.is_empty()) {
            kinds.push(("training nll".to_owned(), training_stroke(INK)));
        }
        if self.curves.iter().any(|curve| !curve.validation.is_empty()) {
            kinds.push(("validation negative log-likelihood".to_owned(), validation_stroke(INK)));
        }
        let panels = legend(area, &[runs, kinds])?;
        let (upper, lower) = match self.score {
            Some(_) => panels.split_vertically(panels.relative_to_height(0.58) as i32),
            None => panels.split_vertically(panels.dim_in_pixel().1 as i32),
        };
        let mut losses = Panel::new(&upper, &self.updates, &self.loss, self.score.is_none())?;
        // Training goes below: it wavers, and would hide the validations of other runs.
        for (number, curve) in self.curves.iter().enumerate() {
            losses.line(&curve.training, of_run(number, training_stroke))?;
        }
        for (number, curve) in self.curves.iter().enumerate() {
            losses.line(&curve.validation, of_run(number, validation_stroke))?;
        }
        if let Some(axis) = &self.score {
            let mut scores = Panel::new(&lower, &self.updates, axis, true)?;
            for (number, curve) in self.curves.iter().enumerate() {
                scores.line(&curve.score, of_run(number, validation_stroke))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "learning_curve_tests.rs"]
mod tests;
