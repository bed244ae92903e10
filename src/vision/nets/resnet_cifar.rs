//! ResNet-110 (He et al., 2016) for CIFAR-10: three stages of 18 blocks of two convolutions, 16, 32 and 64 channels wide.

use crate::vision::module::{Builder, Geometry, Halve, PadChannels, Plain, Residual, Sequence};

/// Blocks of a stage.
pub(super) const BLOCKS: usize = 18;
/// Channels of the stages.
pub(super) const WIDTHS: [i64; 3] = [16, 32, 64];

/// 1.73 million parameters with and 1.72 without batch normalisation, in whose place are the convolutions' biases. The
/// way past a block that halves the picture takes every second pixel, normalises it, and adds channels of zeros.
pub fn resnet110(builder: &mut Builder, classes: i64) -> Sequence {
    let mut net = builder.normalised_convolution(("conv1", "bn1"), 3, WIDTHS[0], Geometry::three(1)).then(Plain::Relu);
    let mut inputs = WIDTHS[0];
    for (stage, outputs) in (1..).zip(WIDTHS) {
        for block in 0..BLOCKS {
            let name = format!("layer{stage}.{block}");
            let stride = if outputs == inputs { 1 } else { 2 };
            let names = |number: u32| (format!("{name}.conv{number}"), format!("{name}.bn{number}"));
            let ((conv1, bn1), (conv2, bn2)) = (names(1), names(2));
            let branch = Sequence::default()
                .then(builder.normalised_convolution((&conv1, &bn1), inputs, outputs, Geometry::three(stride)))
                .then(Plain::Relu)
                .then(builder.normalised_convolution((&conv2, &bn2), outputs, outputs, Geometry::three(1)));
            let mut skip = Sequence::default();
            if stride == 2 {
                let norm = builder.optional_norm(&format!("{name}.downsample.1"), inputs);
                // Normalising the zeros as well would shift them: they come after it.
                skip = skip.then(Halve).then_some(norm).then(PadChannels);
            }
            net = net.then(Residual { branch, skip }).then(Plain::Relu);
            inputs = outputs;
        }
    }
    net.then(Plain::GlobalAverage).then(builder.linear("fc", inputs, classes))
}
