//! DenseNet-100 (Huang et al., 2017) for CIFAR-10: three blocks of 16 bottleneck layers, growth 12, compression ½.

use crate::vision::module::{Builder, Dense, Geometry, Plain, Sequence};

/// Layers of a block.
const LAYERS: i64 = 16;
/// Channels that a layer adds.
const GROWTH: i64 = 12;
/// Channels of a bottleneck.
const BOTTLENECK: i64 = 4 * GROWTH;

/// 0.77 million parameters with and 0.75 without batch normalisation, in whose place are the convolutions' biases.
pub fn densenet100(builder: &mut Builder, classes: i64) -> Sequence {
    let mut channels = 2 * GROWTH;
    let mut net = Sequence::default().then(convolution(builder, "features.conv0", 3, channels, Geometry::three(1)));
    for block in 1..=3 {
        for layer in 1..=LAYERS {
            let name = format!("features.denseblock{block}.denselayer{layer}");
            let added = Sequence::default()
                .then_some(builder.optional_norm(&format!("{name}.norm1"), channels))
                .then(Plain::Relu)
                .then(convolution(builder, &format!("{name}.conv1"), channels, BOTTLENECK, Geometry::one(1)))
                .then_some(builder.optional_norm(&format!("{name}.norm2"), BOTTLENECK))
                .then(Plain::Relu)
                .then(convolution(builder, &format!("{name}.conv2"), BOTTLENECK, GROWTH, Geometry::three(1)));
            net = net.then(Dense(added));
            channels += GROWTH;
        }
        if block < 3 {
            let name = format!("features.transition{block}");
            net = net
                .then_some(builder.optional_norm(&format!("{name}.norm"), channels))
                .then(Plain::Relu)
                .then(convolution(builder, &format!("{name}.conv"), channels, channels / 2, Geometry::one(1)))
                .then(Plain::AveragePool(2));
            channels /= 2;
        }
    }
    net.then_some(builder.optional_norm("features.norm_final", channels))
        .then(Plain::Relu)
        .then(Plain::GlobalAverage)
        .then(builder.linear("classifier", channels, classes))
}

/// With a bias where nothing normalises.
fn convolution(builder: &mut Builder, name: &str, inputs: i64, outputs: i64, geometry: Geometry) -> Sequence {
    let convolution = match builder.batch_norm {
        true => builder.convolution(name, inputs, outputs, geometry),
        false => builder.biased_convolution(name, inputs, outputs, geometry),
    };
    Sequence::default().then(convolution)
}
