//! How image networks are drawn: Kaiming's rule, FixUp's, and PyTorch's defaults.

use tch::{Device, Kind, Tensor};

use super::architecture::Architecture;
use crate::params::{Block, BlockKind, Layout};
use crate::random::with_generator;

/// A θ drawn from libtorch's generator seeded with `seed`, `[P]`, fp32, as the GradInit paper's networks are before
/// anything is learnt:
///
/// | blocks | drawn from |
/// |---|---|
/// | convolutions | N(0, 2/n), n = outputs × height × width of the kernel (He et al., 2015, fan-out) |
/// | convolutions of WRN-28-10 | uniform in ±1/√fan-in, their biases, too (PyTorch's default) |
/// | the linear layer | uniform in ±1/√fan-in; of VGG-19 N(0, 0.01²) |
/// | biases, shifts, FixUp's added scalars | 0, but for WRN-28-10 |
/// | normalisation, FixUp's multipliers | 1 |
pub fn kaiming(architecture: Architecture, layout: &Layout, seed: u64) -> Tensor {
    let options = (Kind::Float, Device::Cpu);
    let as_pytorch = architecture == Architecture::Wrn28_10;
    let draw = |block: &Block| {
        let empty = || Tensor::empty([block.numel()], options);
        let uniform = |fan_in: i64| {
            let bound = (fan_in.max(1) as f64).powf(-0.5);
            empty().uniform_(-bound, bound)
        };
        match block.kind {
            BlockKind::Convolution if as_pytorch => uniform(block.shape.iter().skip(1).product()),
            BlockKind::Convolution => {
                let fan_out: i64 = block.shape[0] * block.shape[2] * block.shape[3];
                empty().normal_(0.0, (2.0 / fan_out as f64).sqrt())
            }
            BlockKind::Weight if architecture == Architecture::Vgg19 => empty().normal_(0.0, 0.01),
            BlockKind::Weight => uniform(block.shape[1]),
            BlockKind::Bias if as_pytorch => uniform(layout.fan_in_of_bias(block).unwrap_or(1)),
            BlockKind::NormScale | BlockKind::BranchScale => Tensor::ones([block.numel()], options),
            _ => Tensor::zeros([block.numel()], options),
        }
    };
    with_generator(seed, || Tensor::cat(&layout.blocks().iter().map(draw).collect::<Vec<_>>(), 0))
}

/// FixUp's θ (Zhang, Dauphin, Ma, 2019) of FixUpResNet-110: as [`kaiming`], but for the first convolution of each of the L
/// branches, which is L^(-1/2) times as large, and the second and the linear layer, which are 0.
pub fn fixup(layout: &Layout, seed: u64) -> Tensor {
    let branches = layout.blocks().iter().filter(|block| block.kind == BlockKind::BranchScale).count() as f64;
    let parts = layout.split(&kaiming(Architecture::FixupResnet110, layout, seed));
    let scaled = |(block, part): (&Block, Tensor)| match (block.kind, block.name.starts_with("layer")) {
        (BlockKind::Convolution, true) if block.name.ends_with("conv1.weight") => part * branches.powf(-0.5),
        (BlockKind::Convolution, true) | (BlockKind::Weight, _) => part.zeros_like(),
        _ => part,
    };
    Tensor::cat(&layout.blocks().iter().zip(parts).map(scaled).collect::<Vec<_>>(), 0)
}
