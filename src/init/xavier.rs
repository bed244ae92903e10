//! fairseq's default initialisation of a Transformer.

use tch::{Device, Kind, Tensor};

use crate::params::{Block, BlockKind, Layout};
use crate::random::with_generator;

/// A θ drawn from libtorch's generator seeded with `seed`, as fairseq initialises a Transformer: embeddings
/// N(0, 1/d) with the padding row 0; query, key and value uniform Xavier with gain 1/√2, the output projection of
/// attention with gain 1; `fc1` and `fc2` and the biases of query, key and value uniform in ±1/√fan-in; the bias of
/// the output projection 0; normalisation 1 and 0; `w_skip` 1;
/// FixUp's multipliers 1, its biases 0.
pub fn xavier(layout: &Layout, seed: u64) -> Tensor {
    with_generator(seed, || draw(layout))
}

fn draw(layout: &Layout) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    let mut parts = Vec::new();
    for block in layout.blocks() {
        let uniform = |bound: f64| Tensor::empty([block.numel()], options).uniform_(-bound, bound);
        let part = match block.kind {
            BlockKind::NormScale | BlockKind::SkipScale | BlockKind::BranchScale | BlockKind::RunningVariance => {
                Tensor::ones([block.numel()], options)
            }
            BlockKind::Convolution => uniform((block.shape.iter().skip(1).product::<i64>().max(1) as f64).powf(-0.5)),
            BlockKind::NormBias | BlockKind::BranchBias | BlockKind::RunningMean => {
                Tensor::zeros([block.numel()], options)
            }
            BlockKind::Bias if block.name.ends_with("out_proj.bias") => Tensor::zeros([block.numel()], options),
            BlockKind::Bias => uniform((layout.fan_in_of_bias(block).unwrap_or(block.numel()) as f64).powf(-0.5)),
            BlockKind::Embedding => {
                let d = block.shape[1];
                let table = Tensor::empty([block.shape[0], d], options).normal_(0.0, (d as f64).powf(-0.5));
                let _ = table.narrow(0, crate::data::PAD, 1).zero_();
                table.view([-1])
            }
            BlockKind::Weight if feed_forward(&block.name) => uniform((block.shape[1] as f64).powf(-0.5)),
            BlockKind::Weight => {
                let gain = if block.name.contains("out_proj") { 1.0 } else { 0.5f64.sqrt() };
                uniform(gain * (6.0 / (block.shape[0] + block.shape[1]) as f64).sqrt())
            }
        };
        parts.push(part);
    }
    Tensor::cat(&parts, 0)
}

/// θ of initialisations that start from Xavier matrices: as [`xavier`], but for `fc1` and `fc2`, which are uniform Xavier
/// of gain 1 and have no bias; and every block times `factor`.
pub(super) fn scaled_xavier(layout: &Layout, seed: u64, factor: impl Fn(&Block) -> f64) -> Tensor {
    let scale = |block: &Block| {
        let drawn = match (block.kind, block.shape.as_slice()) {
            (BlockKind::Weight, &[rows, columns]) if feed_forward(&block.name) => {
                // From ±1/√columns to ±√(6 / (rows + columns)).
                (6.0 * columns as f64 / (rows + columns) as f64).sqrt()
            }
            (BlockKind::Bias, _) if feed_forward(&block.name) => 0.0,
            _ => 1.0,
        };
        drawn * factor(block)
    };
    let parts = layout.split(&xavier(layout, seed));
    let scaled = |(block, part): (&Block, Tensor)| match scale(block) {
        0.0 => part.zeros_like(), // not -0
        scale => part * scale,
    };
    Tensor::cat(&layout.blocks().iter().zip(parts).map(scaled).collect::<Vec<_>>(), 0)
}

/// The number of blocks with such a name.
pub(super) fn count(layout: &Layout, is: impl Fn(&str) -> bool) -> usize {
    layout.blocks().iter().filter(|block| is(&block.name)).count()
}

fn feed_forward(name: &str) -> bool {
    name.contains(".fc1.") || name.contains(".fc2.")
}
