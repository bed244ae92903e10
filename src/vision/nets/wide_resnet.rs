//! WRN-28-10 (Zagoruyko and Komodakis, 2016): normalisation and ReLU before every convolution, ten times as wide.

use crate::vision::module::{Builder, Geometry, Plain, Residual, Sequence};

/// Blocks of a stage: (28 - 4) / 6.
const BLOCKS: usize = 4;
/// Channels of the stages.
const WIDTHS: [i64; 3] = [160, 320, 640];

/// 36.49 million parameters: all convolutions have biases, those on the way past a block, too. The stride is the second
/// convolution's.
pub fn wide_resnet(builder: &mut Builder, classes: i64) -> Sequence {
    let mut inputs = 16;
    let mut net = Sequence::default().then(builder.biased_convolution("conv1", 3, inputs, Geometry::three(1)));
    for (stage, outputs) in (1..).zip(WIDTHS) {
        for block in 0..BLOCKS {
            let name = format!("layer{stage}.{block}");
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            let branch = Sequence::default()
                .then_some(builder.optional_norm(&format!("{name}.bn1"), inputs))
                .then(Plain::Relu)
                .then(builder.biased_convolution(&format!("{name}.conv1"), inputs, outputs, Geometry::three(1)))
                .then_some(builder.optional_norm(&format!("{name}.bn2"), outputs))
                .then(Plain::Relu)
                .then(builder.biased_convolution(&format!("{name}.conv2"), outputs, outputs, Geometry::three(stride)));
            let mut skip = Sequence::default();
            if block == 0 {
                let name = format!("{name}.shortcut.0");
                skip = skip.then(builder.biased_convolution(&name, inputs, outputs, Geometry::one(stride)));
            }
            net = net.then(Residual { branch, skip });
            inputs = outputs;
        }
    }
    net.then_some(builder.optional_norm("bn1", inputs))
        .then(Plain::Relu)
        .then(Plain::GlobalAverage)
        .then(builder.linear("linear", inputs, classes))
}
