//! VGG-19 (Simonyan and Zisserman, 2015) for CIFAR-10: 16 convolutions and one linear layer.

use crate::vision::module::{Builder, Geometry, Plain, Sequence};

/// Channels and number of the convolutions between two poolings.
const STAGES: [(i64, usize); 5] = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)];

/// 20.03 million parameters without and 20.04 with batch normalisation, where the convolutions keep their biases.
pub fn vgg19(builder: &mut Builder, classes: i64) -> Sequence {
    let (mut net, mut inputs, mut number) = (Sequence::default(), 3, 0);
    for (outputs, convolutions) in STAGES {
        for _ in 0..convolutions {
            let name = format!("features.conv{number}");
            let convolution = builder.biased_convolution(&name, inputs, outputs, Geometry::three(1));
            let norm = builder.optional_norm(&format!("features.bn{number}"), outputs);
            net = net.then(convolution).then_some(norm).then(Plain::Relu);
            (inputs, number) = (outputs, number + 1);
        }
        net = net.then(Plain::MaxPool(Geometry { kernel: 2, stride: 2, padding: 0 }));
    }
    net.then(builder.linear("classifier", inputs, classes))
}
