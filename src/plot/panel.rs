//! The parts that every figure is made of: panels with axes, lines in them, and a legend above.

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::element::{Circle, EmptyElement, PathElement, Polygon};
use plotters::prelude::{Cartesian2d, DashedLineSeries, DrawingBackend};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoTextStyle, RGBColor, ShapeStyle, TextStyle};

use super::axis::{Axis, number_text};
use super::picture::{Area, Drawn};

/// Colours that people with any kind of colour vision can tell apart: Okabe and Ito, "Color Universal Design" (2008),
/// without black, which is for axes, and with yellow, the faintest on white, last.
pub const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),   // blue
    RGBColor(213, 94, 0),    // vermillion
    RGBColor(0, 158, 115),   // bluish green
    RGBColor(204, 121, 167), // reddish purple
    RGBColor(230, 159, 0),   // orange
    RGBColor(86, 180, 233),  // sky blue
    RGBColor(240, 228, 66),  // yellow
];

/// The colour of text and of what belongs to no run.
pub const INK: RGBColor = RGBColor(38, 38, 38);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// Sizes in pixels of the drawing.
const TEXT: u32 = 30;
const TICK_TEXT: u32 = 27;
const MARGIN: u32 = 20;
const LEFT_LABELS: u32 = 130;
const LEFT_TICKS: u32 = 115;
const BOTTOM_LABELS: u32 = 90;
const BOTTOM_TICKS: u32 = 50;
const LEGEND_ROW: i32 = 46;
const SAMPLE: i32 = 60;

/// A panel with its axes.
pub struct Panel<'a, B: DrawingBackend> {
    chart: ChartContext<'a, B, Cartesian2d<Axis, Axis>>,
    /// The high end of y.
    ceiling: f64,
}

/// The shape of a line's points: with it lines can be told apart without their colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Circle,
    /// A square on its side.
    Square,
    /// A triangle on its side.
    Triangle,
    /// A square on its corner.
    Diamond,
}

/// All of them.
pub const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond];

impl Marker {
    /// Its corners around (0, 0); a disc has none.
    fn corners(self, radius: i32) -> Vec<(i32, i32)> {
        let r = radius;
        match self {
            Marker::Circle => Vec::new(),
            Marker::Square => vec![(-r, -r), (r, -r), (r, r), (-r, r)],
            Marker::Triangle => vec![(0, -r - r / 4), (r + r / 4, r), (-r - r / 4, r)],
            Marker::Diamond => vec![(0, -r - r / 2), (r + r / 2, 0), (0, r + r / 2), (-r - r / 2, 0)],
        }
    }
}

/// How a line is drawn; also what the legend shows of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stroke {
    /// The line's and the points' colour.
    pub color: RGBColor,
    /// Its opacity, 0 to 1.
    pub opacity: f64,
    /// Width of the line; 0 for points only.
    pub width: u32,
    /// Radius of the points; 0 for none.
    pub point: u32,
    /// Their shape.
    pub marker: Marker,
    /// Dashes instead of a whole line.
    pub dashed: bool,
}

impl Stroke {
    /// A whole line without points.
    pub fn line(color: RGBColor, width: u32) -> Stroke {
        Stroke { color, opacity: 1.0, width, point: 0, marker: Marker::Circle, dashed: false }
    }

    fn shape(&self) -> ShapeStyle {
        ShapeStyle { color: self.color.mix(self.opacity), filled: true, stroke_width: self.width }
    }
}

impl<'a, B: DrawingBackend> Panel<'a, B> {
    /// Draw the axes on an area. The description of x stands below the lowest panel of a figure only.
    pub fn new(area: &'a Area<B>, x: &Axis, y: &Axis, lowest: bool) -> Drawn<B, Panel<'a, B>> {
        Panel::with_margin(area, x, y, lowest, 4 * MARGIN)
    }

    /// The same with others beside it, close to the right edge of its area.
    pub fn beside(area: &'a Area<B>, x: &Axis, y: &Axis, lowest: bool) -> Drawn<B, Panel<'a, B>> {
        Panel::with_margin(area, x, y, lowest, 2 * MARGIN)
    }

    fn with_margin(area: &'a Area<B>, x: &Axis, y: &Axis, lowest: bool, right: u32) -> Drawn<B, Panel<'a, B>> {
        let mut chart = ChartBuilder::on(area)
            .margin_top(MARGIN)
            .margin_right(right)
            .margin_left(MARGIN)
            .margin_bottom(MARGIN / 2)
            .y_label_area_size(if y.label.is_empty() { LEFT_TICKS } else { LEFT_LABELS })
            .x_label_area_size(if lowest { BOTTOM_LABELS } else { BOTTOM_TICKS })
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .bold_line_style(ShapeStyle { color: GRID.to_rgba(), filled: false, stroke_width: 2 })
            .light_line_style(GRID.mix(0.0))
            .axis_style(ShapeStyle { color: INK.to_rgba(), filled: false, stroke_width: 2 })
            .label_style(("sans-serif", TICK_TEXT, &INK))
            .axis_desc_style(("sans-serif", TEXT, &INK))
            .x_label_formatter(&|&tick| number_text(tick))
            .y_label_formatter(&|&tick| number_text(tick))
            .x_desc(if lowest { x.label.as_str() } else { "" })
            .y_desc(y.label.as_str())
            .set_all_tick_mark_size(8)
            .draw()?;
        Ok(Panel { chart, ceiling: y.high })
    }

    /// Draw a line through points. It leaves through the upper end of the axis where values are beyond it. A line of
    /// one point shows as a point whatever its stroke.
    pub fn line(&mut self, points: &[(f64, f64)], stroke: Stroke) -> Drawn<B> {
        for piece in pieces_below(points, self.ceiling) {
            if stroke.dashed {
                self.chart.draw_series(DashedLineSeries::new(piece, 16, 10, stroke.shape()))?;
            } else if stroke.width > 0 {
                self.chart.draw_series(LineSeries::new(piece, stroke.shape()))?;
            }
        }
        let radius = if points.len() == 1 { stroke.point.max(6) } else { stroke.point };
        if radius > 0 {
            let seen = points.iter().filter(|(_, y)| *y <= self.ceiling);
            let corners = stroke.marker.corners(radius as i32);
            if corners.is_empty() {
                self.chart.draw_series(seen.map(|&point| Circle::new(point, radius, stroke.shape())))?;
            } else {
                let marker = |&point| EmptyElement::at(point) + Polygon::new(corners.clone(), stroke.shape());
                self.chart.draw_series(seen.map(marker))?;
            }
        }
        Ok(())
    }
}

/// The pieces of a line that are not above a ceiling, each with the places where it crosses it.
fn pieces_below(points: &[(f64, f64)], ceiling: f64) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<(f64, f64)> = None;
    for &(x, y) in points {
        let seen_before = before.is_some_and(|(_, y)| y <= ceiling);
        let crossing = before
            .filter(|_| seen_before != (y <= ceiling))
            .map(|(x0, y0)| (x0 + (x - x0) * (ceiling - y0) / (y - y0), ceiling));
        if !seen_before && y <= ceiling {
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.extend(crossing);
            piece.extend((y <= ceiling).then_some((x, y)));
        }
        before = Some((x, y));
    }
    pieces
}

/// A line of the legend: its name and how it is drawn.
pub type LegendEntry = (String, Stroke);

/// Draw the legend along the top of an area, in as many rows as it needs; returns the area below.
pub fn legend<B: DrawingBackend>(area: &Area<B>, groups: &[Vec<LegendEntry>]) -> Drawn<B, Area<B>> {
    let style = text_style();
    let (width, _) = area.dim_in_pixel();
    let (left, right) = ((LEFT_LABELS + MARGIN) as i32, width as i32 - MARGIN as i32);
    let mut top = MARGIN as i32 / 2;
    for group in groups.iter().filter(|group| !group.is_empty()) {
        let mut x = left;
        for (name, stroke) in group {
            let name = fitting(area, name, &style, right - left - SAMPLE - 15)?;
            let text_width = area.estimate_text_size(&name, &style)?.0 as i32;
            if x > left && x + SAMPLE + 15 + text_width > right {
                (x, top) = (left, top + LEGEND_ROW);
            }
            sample(area, (x, top + LEGEND_ROW / 2), stroke)?;
            let anchored = style.pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(&name, &anchored, (x + SAMPLE + 15, top + LEGEND_ROW / 2))?;
            x += SAMPLE + 15 + text_width + 45;
        }
        top += LEGEND_ROW;
    }
    Ok(area.split_vertically(top).1)
}

/// The text of legends and titles.
pub fn text_style() -> TextStyle<'static> {
    ("sans-serif", TEXT).into_text_style(&(1, 1)).color(&INK)
}

/// A line of text around a place of an area.
pub fn centred_text<B: DrawingBackend>(area: &Area<B>, text: &str, place: (i32, i32)) -> Drawn<B> {
    area.draw_text(text, &text_style().pos(Pos::new(HPos::Center, VPos::Center)), place)
}

/// The same, read from below.
pub fn upright_text<B: DrawingBackend>(area: &Area<B>, text: &str, place: (i32, i32)) -> Drawn<B> {
    let style = text_style().transform(FontTransform::Rotate270).pos(Pos::new(HPos::Center, VPos::Center));
    area.draw_text(text, &style, place)
}

/// A name without its middle when it is too long for a row: names of runs differ at their ends.
pub fn fitting<B: DrawingBackend>(area: &Area<B>, name: &str, style: &TextStyle, width: i32) -> Drawn<B, String> {
    let letters: Vec<char> = name.chars().collect();
    let mut text = name.to_owned();
    let mut kept = letters.len();
    while kept > 8 && area.estimate_text_size(&text, style)?.0 as i32 > width {
        kept -= 2;
        let (head, tail) = (&letters[..kept / 2], &letters[letters.len() - kept / 2..]);
        text = head.iter().chain(&['…']).chain(tail).collect();
    }
    Ok(text)
}

/// The piece of line that the legend shows.
fn sample<B: DrawingBackend>(area: &Area<B>, (x, y): (i32, i32), stroke: &Stroke) -> Drawn<B> {
    let shape = stroke.shape();
    let ends: &[(i32, i32)] = if stroke.dashed { &[(0, 16), (22, 38), (44, 60)] } else { &[(0, SAMPLE)] };
    if stroke.width > 0 {
        for (start, end) in ends {
            area.draw(&PathElement::new(vec![(x + start, y), (x + end, y)], shape))?;
        }
    }
    if stroke.point > 0 {
        let middle = (x + SAMPLE / 2, y);
        let corners = stroke.marker.corners(stroke.point as i32);
        if corners.is_empty() {
            area.draw(&Circle::new(middle, stroke.point, shape))?;
        } else {
            area.draw(&(EmptyElement::at(middle) + Polygon::new(corners, shape)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pieces_below;

    /// Oracle: crossings by hand, on lines of slope 2.
    #[test]
    fn a_line_leaves_through_the_ceiling_and_comes_back() {
        let points = [(0.0, 6.0), (1.0, 8.0), (3.0, 12.0), (4.0, 99.0), (5.0, 14.0), (8.0, 8.0), (9.0, 1.0)];
        assert_eq!(
            pieces_below(&points, 10.0),
            [vec![(0.0, 6.0), (1.0, 8.0), (2.0, 10.0)], vec![(7.0, 10.0), (8.0, 8.0), (9.0, 1.0)],]
        );
        assert_eq!(pieces_below(&points[2..5], 10.0), Vec::<Vec<_>>::new());
        assert_eq!(pieces_below(&points, 99.0), [points.to_vec()]);
        assert_eq!(pieces_below(&points[..1], 10.0), [vec![(0.0, 6.0)]]);
    }
}
