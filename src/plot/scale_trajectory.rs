//! GradInit's iterations: the loss, the gradient's norm with its bound γ, and the scale of every block.

use std::path::Path;

use plotters::prelude::DrawingBackend;

use super::axis::Axis;
use super::panel::{INK, LegendEntry, Marker, PALETTE, Panel, Stroke, legend};
use super::picture::{Area, Drawn, Format, Picture, save};
use super::trajectory::{Branch, Trajectory};
use crate::error::Result;
use crate::params::BlockKind;

/// Draw the trajectory at `path`, which `nmt gradinit` wrote, to `output`, an `.svg` or a `.png`.
///
/// Three panels against the iteration: the loss before and after a step of the optimiser, natural logarithm; the
/// gradient's norm, coloured by the step that it led to, with γ; the scales, a thin line for each parameter block,
/// coloured by kind of block. Norms and scales that span factors of more than 20 have logarithmic axes.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) for another extension, [`Error::Content`](crate::Error::Content) for a file
/// that is no trajectory, [`Error::Io`](crate::Error::Io) when a file cannot be read or written.
pub fn scale_trajectory(path: &Path, output: &Path) -> Result<()> {
    Format::of(output)?;
    save(&Figure::new(&Trajectory::read(path)?), output)
}

/// The kinds of blocks, as the legend names them.
const KINDS: [&str; 5] = ["weights", "biases", "normalisation", "embeddings", "residual multipliers"];

/// What the legend calls a kind of block.
fn of_kind(kind: BlockKind) -> usize {
    match kind {
        BlockKind::Bias | BlockKind::BranchBias => 1,
        BlockKind::NormScale | BlockKind::NormBias | BlockKind::RunningMean | BlockKind::RunningVariance => 2,
        BlockKind::Embedding => 3,
        BlockKind::SkipScale | BlockKind::BranchScale => 4,
        BlockKind::Weight | BlockKind::Convolution => 0,
    }
}

/// The same by the ending of a Transformer's block's name, for files that say no kinds.
fn by_name(name: &str) -> usize {
    let (module, parameter) = name.rsplit_once('.').unwrap_or(("", name));
    match parameter {
        _ if module.ends_with("norm") => 2,
        _ if module.ends_with("embed_tokens") || module.ends_with("output_projection") => 3,
        "w_skip" | "fixup_multiplier" => 4,
        "bias" | "fixup_input_bias" | "fixup_hidden_bias" => 1,
        _ => 0,
    }
}

type Points = Vec<(f64, f64)>;

struct Figure {
    iterations: Axis,
    loss: Axis,
    norm: Axis,
    scale: Axis,
    loss_before: Points,
    loss_after: Points,
    norms: [Points; 2],
    gamma: Option<f64>,
    /// The lines of each kind.
    scales: [Vec<Points>; KINDS.len()],
}

impl Figure {
    fn new(trajectory: &Trajectory) -> Figure {
        let last = trajectory.iterations.iter().map(|step| step.iteration).max().unwrap_or(0);
        let of = |branch| trajectory.series(|step| step.gradient_norm.filter(|_| step.branch == branch));
        let norms = [of(Branch::Constraint), of(Branch::Objective)];
        let loss_before = trajectory.series(|step| step.loss);
        let loss_after = trajectory.series(|step| step.loss_after_step);
        let mut scales: [Vec<Points>; KINDS.len()] = Default::default();
        for (block, name) in trajectory.names.iter().enumerate() {
            let said = trajectory.kinds.as_ref().and_then(|kinds| kinds.get(block));
            scales[said.map_or_else(|| by_name(name), |kind| of_kind(*kind))]
                .push(trajectory.series(|step| step.scales.get(block).copied().flatten()));
        }
        let values = |lines: &[&Points]| -> Vec<f64> { lines.iter().copied().flatten().map(|point| point.1).collect() };
        // Some room on both sides of γ, whose line would be taken for the panel's edge.
        let gamma = trajectory.gamma.into_iter().flat_map(|gamma| [gamma * 0.8, gamma * 1.2]);
        let norm_values = values(&[&norms[0], &norms[1]]).into_iter().chain(gamma).collect();
        Figure {
            iterations: Axis::starting_at("GradInit iteration", 0.0, last.max(1) as f64),
            loss: axis("loss (natural logarithm)", values(&[&loss_before, &loss_after]), false),
            norm: axis("gradient norm", norm_values, true),
            scale: axis("scale of a block", values(&scales.iter().flatten().collect::<Vec<_>>()), true),
            loss_before,
            loss_after,
            norms,
            gamma: trajectory.gamma,
            scales,
        }
    }

    fn legend(&self) -> [Vec<LegendEntry>; 3] {
        let entry = |name: &str, points: &Points, stroke| (!points.is_empty()).then(|| (name.to_owned(), stroke));
        let losses = [
            entry("loss", &self.loss_before, LOSS),
            entry("loss after one step of the optimiser", &self.loss_after, LOSS_AFTER),
        ];
        let norms = [
            entry("before a step on the norm (constraint)", &self.norms[0], NORMS[0]),
            entry("before a step on the loss (objective)", &self.norms[1], NORMS[1]),
            self.gamma.map(|gamma| (format!("γ = {gamma}"), GAMMA)),
        ];
        let scales = self.scales.iter().enumerate().filter(|(_, lines)| !lines.is_empty());
        let scales =
            scales.map(|(kind, lines)| (format!("{} ({})", KINDS[kind], lines.len()), Stroke::line(PALETTE[kind], 8)));
        [losses.into_iter().flatten().collect(), norms.into_iter().flatten().collect(), scales.collect()]
    }
}

/// A logarithmic axis only where it is wanted and the values span a factor of more than 20.
fn axis(label: &str, values: Vec<f64>, may_be_logarithmic: bool) -> Axis {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match (low, high) {
        _ if values.is_empty() => Axis::linear(label, 0.0, 1.0),
        _ if may_be_logarithmic && low > 0.0 && high / low > 20.0 => Axis::logarithmic(label, low, high),
        _ => Axis::linear(label, low, high),
    }
}

const LOSS: Stroke = Stroke { color: INK, opacity: 1.0, width: 4, point: 0, marker: Marker::Circle, dashed: false };
const LOSS_AFTER: Stroke =
    Stroke { color: PALETTE[0], opacity: 0.8, width: 3, point: 0, marker: Marker::Circle, dashed: false };
const NORMS: [Stroke; 2] = [
    Stroke { color: PALETTE[1], opacity: 0.9, width: 0, point: 6, marker: Marker::Circle, dashed: false },
    Stroke { color: PALETTE[0], opacity: 0.9, width: 0, point: 6, marker: Marker::Circle, dashed: false },
];
const GAMMA: Stroke = Stroke { color: INK, opacity: 1.0, width: 3, point: 0, marker: Marker::Circle, dashed: true };

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        (1800, 1900)
    }

    fn draw<B: DrawingBackend>(&self, area: &Area<B>) -> Drawn<B> {
        let [losses, norms, scales] = self.legend();
        let height = area.dim_in_pixel().1 as i32;
        let (upper, rest) = area.split_vertically(height * 28 / 100);
        let (middle, lower) = rest.split_vertically(height * 30 / 100);

        let below = legend(&upper, &[losses])?;
        let mut panel = Panel::new(&below, &self.iterations, &self.loss, false)?;
        panel.line(&self.loss_before, LOSS)?;
        panel.line(&self.loss_after, LOSS_AFTER)?;

        let below = legend(&middle, &[norms])?;
        let mut panel = Panel::new(&below, &self.iterations, &self.norm, false)?;
        for (points, stroke) in self.norms.iter().zip(NORMS) {
            panel.line(points, stroke)?;
        }
        if let Some(gamma) = self.gamma {
            panel.line(&[(self.iterations.low, gamma), (self.iterations.high, gamma)], GAMMA)?;
        }

        let below = legend(&lower, &[scales])?;
        let mut panel = Panel::new(&below, &self.iterations, &self.scale, true)?;
        for (kind, lines) in self.scales.iter().enumerate() {
            for points in lines {
                panel.line(points, Stroke { opacity: 0.6, ..Stroke::line(PALETTE[kind], 2) })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const BLOCKS: &str = concat!(
        r#"{"event":"blocks","gamma":1.5,"names":["encoder.embed_tokens.weight","#,
        r#""encoder.layers.0.fc1.weight","encoder.layers.0.fc1.bias","encoder.layers.0.final_layer_norm.bias"]}"#,
        "\n"
    );
    const CONSTRAINT: &str = concat!(
        r#"{"iteration":0,"branch":"constraint","loss":9.5,"gradient_norm":2.5,"loss_after_step":null,"#,
        r#""scales":[1.1,0.9,1.0,1.2]}"#,
        "\n"
    );
    const OBJECTIVE: &str = concat!(
        r#"{"iteration":1,"branch":"objective","loss":9.25,"gradient_norm":1.25,"loss_after_step":8.75,"#,
        r#""scales":[1.2,0.8,1.0,1.3]}"#,
        "\n"
    );

    fn drawn(content: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let (path, output) = (folder.path().join("trajectory.jsonl"), folder.path().join("t.svg"));
        std::fs::write(&path, content).unwrap();
        scale_trajectory(&path, &output)?;
        Ok(std::fs::read_to_string(output).unwrap())
    }

    /// Oracle: one line for each block, in its kind's colour and 2 wide, one circle for each norm.
    #[test]
    fn every_block_and_every_norm_is_drawn() {
        let svg = drawn(&[BLOCKS, CONSTRAINT, OBJECTIVE, r#"{"iteration":2,"bra"#].concat()).unwrap();
        let lines = |color: &str| {
            let stroke = format!("opacity=\"0.6\" stroke=\"{color}\" stroke-width=\"2\"");
            svg.matches(&stroke).count()
        };
        let [weights, biases, norms, embeddings] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"].map(lines);
        assert_eq!([weights, biases, norms, embeddings], [1, 1, 1, 1]);
        // The legend shows one of each as well.
        let circles = |color: &str| svg.matches(&format!("opacity=\"0.9\" fill=\"{color}\"")).count();
        assert_eq!([circles("#D55E00"), circles("#0072B2")], [2, 2]);
        for text in ["γ = 1.5", "weights (1)", "normalisation (1)", "gradient norm", "GradInit iteration"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn without_a_bound_there_is_no_line_for_it() {
        let blocks = BLOCKS.replace("1.5", "null");
        assert!(!drawn(&[&blocks, OBJECTIVE].concat()).unwrap().contains('γ'));
    }

    #[test]
    fn kinds_that_are_said_count_more_than_names() {
        let trajectory = |kinds| Trajectory {
            names: vec!["features.norm_final.weight".into(), "conv1.weight".into(), "bn1.bias".into()],
            kinds,
            gamma: None,
            iterations: Vec::new(),
        };
        let counts = |kinds| Figure::new(&trajectory(kinds)).scales.map(|lines| lines.len());
        let kinds = vec![BlockKind::NormScale, BlockKind::Convolution, BlockKind::NormBias];
        assert_eq!((counts(Some(kinds)), counts(None)), ([1, 0, 2, 0, 0], [2, 1, 0, 0, 0]));
    }

    #[test]
    fn kinds_follow_the_names() {
        let names = [
            ("decoder.layers.3.encoder_attn.q_proj.weight", 0),
            ("decoder.layers.3.encoder_attn.q_proj.bias", 1),
            ("decoder.layers.3.encoder_attn_layer_norm.weight", 2),
            ("decoder.layer_norm.bias", 2),
            ("decoder.output_projection.weight", 3),
            ("encoder.layers.0.self_attn.w_skip", 4),
            ("encoder.layers.0.ffn.fixup_multiplier", 4),
            ("encoder.layers.0.ffn.fixup_hidden_bias", 1),
        ];
        for (name, expected) in names {
            assert_eq!(by_name(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_trajectory_is_refused_by_line() {
        let message = |content: &str| match drawn(content).unwrap_err() {
            error @ Error::Content { .. } => error.to_string(),
            other => panic!("{other}"),
        };
        let shorter = OBJECTIVE.replace("1.2,", "");
        let found = message(&[BLOCKS, CONSTRAINT, &shorter].concat());
        assert!(found.contains("trajectory.jsonl:3: expected 4 scales, one for each block, found 3"), "{found}");
        assert!(message(CONSTRAINT).contains("expected a line with `\"event\":\"blocks\"`"));
        assert!(message(BLOCKS).contains("expected at least one iteration, found none"));
        let unknown = CONSTRAINT.replace("constraint", "other");
        assert!(message(&[BLOCKS, &unknown].concat()).contains("trajectory.jsonl:2: expected one JSON object"));
    }
}
