//! Maps of a quantity over two settings, side by side with one scale of colours.

use std::path::Path;

use plotters::element::Rectangle;
use plotters::prelude::{ColorMap, DrawingBackend, ViridisRGB};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axis::{Axis, number_text};
use super::panel::{INK, centred_text, fitting, text_style, upright_text};
use super::picture::{Area, Drawn, Format, Picture, save};
use crate::error::{Error, Result};

/// One map.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// What stands above it.
    pub title: String,
    /// What varies along it, and down it.
    pub x_label: String,
    /// See `x_label`.
    pub y_label: String,
    /// The columns, from the left.
    pub x: Vec<String>,
    /// The rows, from the top.
    pub y: Vec<String>,
    /// A row of values for each of `y`; `None`, or none at all: not measured.
    pub values: Vec<Vec<Option<f64>>>,
}

impl HeatMap {
    fn value(&self, row: usize, column: usize) -> Option<f64> {
        self.values.get(row)?.get(column).copied().flatten().filter(|value| value.is_finite())
    }
}

/// Draw maps side by side and write them to `output`, an `.svg` or a `.png`. Every cell says its value; the colours,
/// viridis, have one scale for all maps.
///
/// # Errors
/// [`Error::Usage`] for another extension, [`Error::Content`] for no map, for one without rows or columns and for more
/// cells than a picture can show, [`Error::Io`] when the file cannot be written.
pub fn heat_maps(maps: &[HeatMap], output: &Path) -> Result<()> {
    Format::of(output)?;
    let place = || output.display().to_string();
    if maps.is_empty() || maps.iter().any(|map| map.x.is_empty() || map.y.is_empty()) {
        return Err(Error::content(place(), "maps of at least one row and one column", "none", ""));
    }
    let figure = Figure { maps, scale: scale(maps) };
    let (width, height) = figure.size();
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        let expected = format!("at most {} million pixels", MOST_PIXELS / 1_000_000);
        let next = "draw fewer methods or settings";
        return Err(Error::content(place(), expected, format!("{width} times {height}"), next));
    }
    save(&figure, output)
}

/// Sizes in pixels of the drawing.
const CELL: (u32, u32) = (130, 100);
/// A letter of the text, about.
const LETTER: u32 = 18;
const TITLE: u32 = 80;
const BELOW: u32 = 130;
const UPRIGHT: u32 = 60;
const GAP: u32 = 30;
const BAR: u32 = 44;
const BAR_LABELS: u32 = 110;
const NOTE: u32 = 50;
const MOST_PIXELS: u64 = 100_000_000;

const NOT_MEASURED: RGBColor = RGBColor(225, 225, 225);

struct Figure<'a> {
    maps: &'a [HeatMap],
    /// The colours' axis.
    scale: Axis,
}

fn values(maps: &[HeatMap]) -> impl Iterator<Item = f64> + '_ {
    let of_map = |map: &HeatMap| -> Vec<f64> {
        let cells = (0..map.y.len()).flat_map(|row| (0..map.x.len()).map(move |column| (row, column)));
        cells.filter_map(|(row, column)| map.value(row, column)).collect()
    };
    maps.iter().flat_map(of_map)
}

fn scale(maps: &[HeatMap]) -> Axis {
    let (low, high) = (values(maps).fold(f64::INFINITY, f64::min), values(maps).fold(f64::NEG_INFINITY, f64::max));
    if low > high { Axis::linear("", 0.0, 1.0) } else { Axis::linear("", low, high) }
}

/// Longest of some labels in pixels, about.
fn width(labels: &[String]) -> u32 {
    labels.iter().map(|label| label.chars().count() as u32 * LETTER).max().unwrap_or(0).min(800)
}

impl Figure<'_> {
    fn color(&self, value: f64) -> RGBColor {
        ViridisRGB.get_color_normalized(value, self.scale.low, self.scale.high)
    }

    fn cell_width(map: &HeatMap) -> u32 {
        CELL.0.max(width(&map.x) + 20)
    }

    /// What is left of the cells.
    fn left(map: &HeatMap) -> u32 {
        UPRIGHT + width(&map.y) + 30
    }

    fn map_width(map: &HeatMap) -> u32 {
        let cells = Figure::cell_width(map).saturating_mul(map.x.len() as u32);
        Figure::left(map).saturating_add(cells).max(width(std::slice::from_ref(&map.title))).saturating_add(GAP)
    }

    fn rows(&self) -> u32 {
        self.maps.iter().map(|map| map.y.len()).max().unwrap_or(0) as u32
    }

    fn lacks(&self) -> bool {
        values(self.maps).count() < self.maps.iter().map(|map| map.x.len() * map.y.len()).sum()
    }

    fn draw_map<B: DrawingBackend>(&self, area: &Area<B>, map: &HeatMap) -> Drawn<B> {
        let (left, top) = (Figure::left(map) as i32, TITLE as i32);
        let (w, h) = (Figure::cell_width(map) as i32, CELL.1 as i32);
        let (columns, rows) = (map.x.len() as i32, map.y.len() as i32);
        let whole = Figure::map_width(map) as i32;
        let title = fitting(area, &map.title, &text_style(), whole)?;
        // Above the cells, or as near as its length allows.
        let half = area.estimate_text_size(&title, &text_style())?.0 as i32 / 2;
        centred_text(area, &title, ((left + columns * w / 2).min(whole - half).max(half), top / 2))?;
        upright_text(area, &map.y_label, (UPRIGHT as i32 / 2, top + rows * h / 2))?;
        let below = top + rows * h;
        centred_text(area, &map.x_label, (left + columns * w / 2, below + 90))?;
        let to_the_left = text_style().pos(Pos::new(HPos::Right, VPos::Center));
        for (row, label) in (0..).zip(&map.y) {
            let label = fitting(area, label, &text_style(), left - UPRIGHT as i32)?;
            area.draw_text(&label, &to_the_left, (left - 15, top + row * h + h / 2))?;
        }
        for (column, label) in (0..).zip(&map.x) {
            let label = fitting(area, label, &text_style(), w)?;
            centred_text(area, &label, (left + column * w + w / 2, below + 35))?;
        }
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let corner = (left + column * w, top + row * h);
            let value = map.value(row as usize, column as usize);
            let color = value.map_or(NOT_MEASURED, |value| self.color(value));
            let ends = [(corner.0 + 1, corner.1 + 1), (corner.0 + w - 1, corner.1 + h - 1)];
            area.draw(&Rectangle::new(ends, color.filled()))?;
            let text = value.map_or("–".to_owned(), |value| self.text(value));
            let ink = text_color(color);
            let style = text_style().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
            area.draw_text(&text, &style, (corner.0 + w / 2, corner.1 + h / 2))?;
        }
        Ok(())
    }

    /// A value to as many digits as leave the largest three.
    fn text(&self, value: f64) -> String {
        let size = self.scale.low.abs().max(self.scale.high.abs());
        if !(1e-3..1e6).contains(&size) {
            return format!("{value:.1e}");
        }
        let digits = (2 - size.log10().floor() as i32).clamp(0, 5) as usize;
        // Of the scores that this is for, which are below 100, one is all that means something.
        let digits = if size >= 10.0 { digits.max(1) } else { digits };
        format!("{value:.digits$}")
    }

    fn draw_bar<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let (top, height) = (TITLE as i32, (self.rows() * CELL.1) as i32);
        let (low, high) = (self.scale.low, self.scale.high);
        const STEPS: i32 = 100;
        for step in 0..STEPS {
            let bottom = top + height - height * step / STEPS;
            let value = low + (high - low) * (f64::from(step) + 0.5) / f64::from(STEPS);
            // To the top, where the next ones cover it: between neighbours a seam would shine through.
            let ends = [(0, top), (BAR as i32, bottom)];
            area.draw(&Rectangle::new(ends, self.color(value).filled()))?;
        }
        let style = text_style().pos(Pos::new(HPos::Left, VPos::Center));
        for &tick in &self.scale.ticks {
            let y = top + height - (f64::from(height) * (tick - low) / (high - low)).round() as i32;
            area.draw(&Rectangle::new([(BAR as i32, y - 1), (BAR as i32 + 8, y + 1)], INK.filled()))?;
            area.draw_text(&number_text(tick), &style, (BAR as i32 + 16, y))?;
        }
        Ok(())
    }
}

/// Dark on light and light on dark, whichever contrasts more by the luminance that WCAG 2 defines.
fn text_color(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    if luminance > 0.22 { INK } else { RGBColor(255, 255, 255) }
}

impl Picture for Figure<'_> {
    fn size(&self) -> (u32, u32) {
        let width = self.maps.iter().map(Figure::map_width).fold(0u32, u32::saturating_add);
        let note = if self.lacks() { NOTE } else { 0 };
        (
            width.saturating_add(BAR + BAR_LABELS),
            self.rows().saturating_mul(CELL.1).saturating_add(TITLE + BELOW + note),
        )
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let mut rest = area.clone();
        for map in self.maps {
            let (this, others) = rest.split_horizontally(Figure::map_width(map) as i32);
            self.draw_map(&this, map)?;
            rest = others;
        }
        self.draw_bar(&rest)?;
        if self.lacks() {
            let y = (self.size().1 - NOTE) as i32;
            let style = text_style().pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text("–  not run", &style, (Figure::left(&self.maps[0]) as i32, y + 10))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(title: &str, values: Vec<Vec<Option<f64>>>) -> HeatMap {
        HeatMap {
            title: title.into(),
            x_label: "β₂".into(),
            y_label: "rate".into(),
            x: vec!["0.98".into(), "0.999".into()],
            y: vec!["5e-4".into(), "1e-4".into()],
            values,
        }
    }

    fn drawn(maps: &[HeatMap]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("map.svg");
        heat_maps(maps, &output).unwrap();
        std::fs::read_to_string(output).unwrap()
    }

    /// Oracle: viridis begins with #440154 and ends with #FDE725 (van der Walt and Smith, 2015), which plotters
    /// has as #FEE825; the axis of 0 to 40 begins and ends with these values.
    #[test]
    fn cells_have_values_and_colours_of_one_scale() {
        let first = map("<Admin>", vec![vec![Some(0.0), None], vec![Some(36.04), Some(8.95)]]);
        let svg = drawn(&[first, map("GradInit", vec![vec![Some(40.0)]])]);
        for text in
            ["0.0", "36.0", "8.9", "40.0", "–", "–  not run", "&lt;Admin&gt;", "GradInit", "β₂", "5e-4", "0.999"]
        {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}");
        }
        let cells = |color: &str| svg.lines().filter(|line| line.starts_with("<rect") && line.contains(color)).count();
        // The bar has a hundred colours of its own; its ends may round to these two.
        assert!((1..=2).contains(&cells("#440154")) && (1..=2).contains(&cells("#FEE825")));
        assert_eq!(cells("#E1E1E1"), 4, "one of the first, three of the second were not measured");
        assert!(!drawn(&[map("", vec![vec![Some(1.0); 2]; 2])]).contains("not run"));
    }

    #[test]
    fn cells_are_as_exact_as_their_size() {
        let text = |value: f64| drawn(&[map("", vec![vec![Some(value)]])]);
        for (value, shown) in [(0.0512, "0.0512"), (4.24159, "4.24"), (311.07, "311.1"), (2.5e7, "2.5e7")] {
            assert!(text(value).contains(&format!("\n{shown}\n")), "{shown}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |maps: &[HeatMap], name: &str| {
            let output = folder.path().join(name);
            let error = heat_maps(maps, &output).unwrap_err();
            assert!(!output.exists());
            error.to_string()
        };
        assert!(refused(&[], "map.svg").contains("map.svg: expected maps of at least one row"));
        assert!(refused(&[HeatMap { x: vec![], ..map("", vec![]) }], "map.svg").contains("found none"));
        let wide = HeatMap { x: vec![String::new(); 1_000_000], ..map("", vec![]) };
        assert!(refused(&[wide], "map.png").contains("expected at most 100 million pixels"));
        assert!(refused(&[map("", vec![])], "map.pdf").contains("has to end in .svg or .png"));
        // Neither too few rows nor what is no number breaks anything.
        assert!(drawn(&[map("", vec![vec![Some(f64::NAN)]])]).contains("not run"));
    }
}
