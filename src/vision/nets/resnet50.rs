//! ResNet-50 (He et al., 2016) for ImageNet, stride in the 3 × 3 convolution; torchvision's parameter names.

use crate::vision::module::{Builder, Geometry, Plain, Residual, Sequence};

/// Width of the bottleneck and blocks of the stages.
const STAGES: [(i64, usize); 4] = [(64, 3), (128, 4), (256, 6), (512, 3)];
/// How much wider a block's output is than its bottleneck.
const EXPANSION: i64 = 4;

/// 25.56 million parameters.
pub fn resnet50(builder: &mut Builder, classes: i64) -> Sequence {
    let first = Geometry { kernel: 7, stride: 2, padding: 3 };
    let mut net = builder
        .normalised_convolution(("conv1", "bn1"), 3, 64, first)
        .then(Plain::Relu)
        .then(Plain::MaxPool(Geometry::three(2)));
    let mut inputs = 64;
    for (stage, (width, blocks)) in (1..).zip(STAGES) {
        for block in 0..blocks {
            let name = format!("layer{stage}.{block}");
            let stride = if block == 0 && stage > 1 { 2 } else { 1 };
            let outputs = EXPANSION * width;
            let mut unit = |conv: &str, bn: &str, inputs, outputs, geometry| {
                let (conv, bn) = (format!("{name}.{conv}"), format!("{name}.{bn}"));
                builder.normalised_convolution((&conv, &bn), inputs, outputs, geometry)
            };
            let branch = Sequence::default()
                .then(unit("conv1", "bn1", inputs, width, Geometry::one(1)))
                .then(Plain::Relu)
                .then(unit("conv2", "bn2", width, width, Geometry::three(stride)))
                .then(Plain::Relu)
                .then(unit("conv3", "bn3", width, outputs, Geometry::one(1)));
            let skip = match block {
                0 => unit("downsample.0", "downsample.1", inputs, outputs, Geometry::one(stride)),
                _ => Sequence::default(),
            };
            net = net.then(Residual { branch, skip }).then(Plain::Relu);
            inputs = outputs;
        }
    }
    net.then(Plain::GlobalAverage).then(builder.linear("fc", inputs, classes))
}
