//! What initialisations look like: magnitudes and the gradient's standard deviations block by block, as in the paper's
//! Figures 7 and 8.

use std::io::Write;
use std::path::Path;

use plotters::prelude::DrawingBackend;
use plotters::style::RGBColor;

use super::axis::Axis;
use super::panel::{LegendEntry, MARKERS, Marker, PALETTE, Panel, Stroke, centred_text, legend, upright_text};
use super::picture::{Area, Drawn, Format, Picture, save};
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::init::inspect::{BlockStatistics, Group, Inspection};

/// Draw inspections of one layout over each other and write them to `output`, an `.svg` or a `.png`.
///
/// A column a group of blocks, in the paper's order, with ‖W‖₁/d above σ(g), both on logarithmic axes, against the
/// block's number in its group. Additive blocks are not drawn, and what is 0 has no place on such an axis.
///
/// # Errors
/// [`Error::Usage`] for another extension, [`Error::Io`] when the file cannot be written.
pub fn inspection(inspections: &[Inspection], output: &Path) -> Result<()> {
    Format::of(output)?;
    save(&Figure::new(inspections), output)
}

/// Write the figures of [`inspection`], those of additive blocks as well, as CSV: a line a block, in the same order.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written.
pub fn inspection_csv(inspections: &[Inspection], output: &Path) -> Result<()> {
    write_atomically(output, |writer| {
        write_csv(inspections, writer).map_err(|error| Error::io("write", output)(error.into()))
    })
}

fn write_csv(inspections: &[Inspection], writer: &mut impl Write) -> csv::Result<()> {
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(["initialisation", "group", "block", "magnitude", "gradient_std"])?;
    for inspection in inspections {
        for BlockStatistics { group, block, magnitude, gradient_std } in &inspection.blocks {
            csv.serialize((&inspection.name, group, block, magnitude, gradient_std))?;
        }
    }
    csv.flush()?;
    Ok(())
}

/// The columns with their titles.
const COLUMNS: [(Group, &str); 10] = [
    (Group::LayerNorm, "normalisation weights"),
    (Group::Query, "query projection"),
    (Group::Key, "key projection"),
    (Group::Value, "value projection"),
    (Group::OutProjection, "out-projection"),
    (Group::Ffn1, "FFN, fc1"),
    (Group::Ffn2, "FFN, fc2"),
    (Group::Embedding, "embeddings"),
    (Group::ResidualScale, "residual multipliers"),
    (Group::Linear, "convolutions, other linear layers"),
];

/// Where the decoder begins.
const BORDER: Stroke = Stroke { dashed: true, ..line(RGBColor(120, 120, 120)) };

const fn line(color: RGBColor) -> Stroke {
    Stroke { color, opacity: 1.0, width: 3, point: 0, marker: Marker::Circle, dashed: false }
}

/// Sizes in pixels of the drawing.
const COLUMN_WIDTH: u32 = 560;
const PANEL_HEIGHT: u32 = 390;
const ROW_LABELS: u32 = 60;
const TITLE: u32 = 60;
const LEGEND: u32 = 80;
/// As many columns as can still be read across a page.
const MOST_COLUMNS: usize = 5;

struct Figure {
    names: Vec<String>,
    columns: Vec<Column>,
}

struct Column {
    title: &'static str,
    blocks: Axis,
    /// The number of the last block of the encoder, where one of the decoder follows.
    border: Option<usize>,
    rows: [Row; 2],
}

/// One panel: a line an initialisation.
struct Row {
    axis: Axis,
    lines: Vec<Vec<(f64, f64)>>,
}

impl Row {
    fn new(columns: &[Vec<&BlockStatistics>], value: impl Fn(&BlockStatistics) -> f64) -> Row {
        let lines = columns.iter().map(|blocks| {
            let points = blocks.iter().enumerate().map(|(index, block)| (index as f64 + 1.0, value(block)));
            points.filter(|(_, value)| *value > 0.0 && value.is_finite()).collect()
        });
        let lines: Vec<Vec<(f64, f64)>> = lines.collect();
        let values = || lines.iter().flatten().map(|point| point.1);
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        // Some room, so that no marker is cut in two.
        let axis = match high > 0.0 {
            true => Axis::logarithmic("", low / 1.1, high * 1.1),
            false => Axis::logarithmic("", 0.1, 1.0),
        };
        Row { axis, lines }
    }
}

impl Figure {
    fn new(inspections: &[Inspection]) -> Figure {
        let column = |(group, title)| {
            let of = |inspection: &'_ Inspection| -> Vec<usize> {
                let numbered = inspection.blocks.iter().enumerate();
                numbered.filter(|(_, block)| block.group == group).map(|(index, _)| index).collect()
            };
            let blocks: Vec<Vec<&BlockStatistics>> = inspections
                .iter()
                .map(|inspection| of(inspection).into_iter().map(|index| &inspection.blocks[index]).collect())
                .collect();
            let first = blocks.first().filter(|blocks| !blocks.is_empty())?;
            let border = first.iter().position(|block| block.block.starts_with("decoder."));
            Some(Column {
                title,
                blocks: Axis::counting("block", first.len()),
                border: border.filter(|&border| border > 0),
                rows: [Row::new(&blocks, |block| block.magnitude), Row::new(&blocks, |block| block.gradient_std)],
            })
        };
        Figure {
            names: inspections.iter().map(|inspection| inspection.name.clone()).collect(),
            columns: COLUMNS.into_iter().filter_map(column).collect(),
        }
    }

    fn stroke(number: usize) -> Stroke {
        Stroke { point: 9, marker: MARKERS[number % MARKERS.len()], ..line(PALETTE[number % PALETTE.len()]) }
    }

    /// How many bands of columns there are below each other, and how many columns a band has.
    fn bands(&self) -> (usize, usize) {
        let bands = self.columns.len().div_ceil(MOST_COLUMNS).max(1);
        (bands, self.columns.len().div_ceil(bands).max(1))
    }
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        let (bands, columns) = self.bands();
        (ROW_LABELS + columns as u32 * COLUMN_WIDTH, LEGEND + bands as u32 * (TITLE + 2 * PANEL_HEIGHT + 40))
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let entry = |(number, name): (usize, &String)| (name.clone(), Figure::stroke(number));
        let mut entries: Vec<LegendEntry> = self.names.iter().enumerate().map(entry).collect();
        if self.columns.iter().any(|column| column.border.is_some()) {
            entries.push(("the decoder begins".to_owned(), BORDER));
        }
        let below = legend(area, &[entries])?;
        let (bands, columns) = self.bands();
        for (band, shown) in below.split_evenly((bands, 1)).iter().zip(self.columns.chunks(columns)) {
            let (labels, panels) = band.split_horizontally(ROW_LABELS as i32);
            let height = (labels.dim_in_pixel().1 - TITLE) as i32;
            for (row, label) in ["weights: ‖W‖₁ / d", "gradient: σ(g)"].iter().enumerate() {
                let middle = TITLE as i32 + height / 4 + row as i32 * height / 2 - 20;
                upright_text(&labels, label, (ROW_LABELS as i32 / 2 + 10, middle))?;
            }
            for (area, column) in panels.split_evenly((1, columns)).iter().zip(shown) {
                let (title, both) = area.split_vertically(TITLE as i32);
                // Above the axes, which begin on the right of their labels.
                centred_text(&title, column.title, (COLUMN_WIDTH as i32 / 2 + 60, TITLE as i32 - 20))?;
                for (number, (area, row)) in both.split_evenly((2, 1)).iter().zip(&column.rows).enumerate() {
                    let mut panel = Panel::beside(area, &column.blocks, &row.axis, number == 1)?;
                    if let Some(border) = column.border {
                        let x = border as f64 + 0.5;
                        panel.line(&[(x, row.axis.low), (x, row.axis.high)], BORDER)?;
                    }
                    for (number, points) in row.lines.iter().enumerate() {
                        panel.line(points, Stroke { opacity: 0.85, ..Figure::stroke(number) })?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(group: Group, block: &str, magnitude: f64, gradient_std: f64) -> BlockStatistics {
        BlockStatistics { group, block: block.into(), magnitude, gradient_std }
    }

    fn two() -> [Inspection; 2] {
        let blocks = |scale: f64| {
            vec![
                block(Group::LayerNorm, "encoder.norm.weight", scale, 0.25),
                block(Group::LayerNorm, "decoder.norm.weight", 2.0 * scale, 0.0),
                block(Group::Key, "decoder.k_proj.weight", 0.5, 1e-7),
                block(Group::Bias, "decoder.k_proj.bias", 0.0, 0.0),
            ]
        };
        [("xavier, 1", 1.0), ("<after>", 0.5)]
            .map(|(name, scale)| Inspection { name: name.into(), blocks: blocks(scale) })
    }

    fn drawn(inspections: &[Inspection]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("inspection.svg");
        inspection(inspections, &output).unwrap();
        std::fs::read_to_string(output).unwrap()
    }

    /// Oracle: the points above, counted by hand. The first initialisation has discs, the second squares; both have
    /// 3 magnitudes and 2 deviations above 0, and one in the legend.
    #[test]
    fn every_block_of_every_initialisation_is_drawn() {
        let svg = drawn(&two());
        assert_eq!(svg.matches("<circle").count(), 6);
        assert_eq!(svg.lines().filter(|line| line.starts_with("<polygon") && line.contains("#D55E00")).count(), 6);
        for text in [
            "xavier, 1",
            "&lt;after&gt;",
            "normalisation weights",
            "key projection",
            "gradient: σ(g)",
            "the decoder begins",
        ] {
            assert!(svg.contains(&format!("\n{text}\n")), "{text}");
        }
        assert!(!svg.contains("query projection"), "no column for what is not there");
    }

    /// Oracle: the blocks above, written out by hand.
    #[test]
    fn csv_holds_every_block() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("inspection.csv");
        inspection_csv(&two()[..1], &output).unwrap();
        let expected = r#"initialisation,group,block,magnitude,gradient_std
"xavier, 1",layer_norm,encoder.norm.weight,1.0,0.25
"xavier, 1",layer_norm,decoder.norm.weight,2.0,0.0
"xavier, 1",key,decoder.k_proj.weight,0.5,1e-7
"xavier, 1",bias,decoder.k_proj.bias,0.0,0.0
"#;
        assert_eq!(std::fs::read_to_string(output).unwrap(), expected);
    }

    #[test]
    fn nothing_and_zeros_are_drawn_without_failure() {
        drawn(&[]);
        let zeros = Inspection { name: "zeros".into(), blocks: vec![block(Group::Linear, "w", 0.0, 0.0)] };
        assert!(drawn(&[zeros]).contains("convolutions, other linear layers"));
    }
}
