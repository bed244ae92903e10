//! FixUpResNet-110 (Zhang, Dauphin and Ma, 2019) for CIFAR-10: ResNet-110 without normalisation, with a scalar before and
//! after every convolution of a branch and a multiplier at its end.

use crate::vision::module::{Builder, Geometry, Halve, Module, PadChannels, Pass, Plain, Sequence, Shift};
use crate::vision::nets::resnet_cifar::{BLOCKS, WIDTHS};
use tch::Tensor;

/// 1.72 million parameters.
pub fn fixup_resnet110(builder: &mut Builder, classes: i64) -> Sequence {
    let first = builder.convolution("conv1", 3, WIDTHS[0], Geometry::three(1));
    let mut net = Sequence::default().then(first).then(builder.branch_bias("bias1")).then(Plain::Relu);
    let mut inputs = WIDTHS[0];
    for (stage, outputs) in (1..).zip(WIDTHS) {
        for block in 0..BLOCKS {
            net = net.then(fixup_block(builder, &format!("layer{stage}.{block}"), inputs, outputs)).then(Plain::Relu);
            inputs = outputs;
        }
    }
    let last = builder.branch_bias("bias2");
    net.then(Plain::GlobalAverage).then(last).then(builder.linear("fc", inputs, classes))
}

fn fixup_block(builder: &mut Builder, name: &str, inputs: i64, outputs: i64) -> Block {
    let stride = if outputs == inputs { 1 } else { 2 };
    let before = builder.branch_bias(&format!("{name}.bias1a"));
    let branch = Sequence::default()
        .then(builder.convolution(&format!("{name}.conv1"), inputs, outputs, Geometry::three(stride)))
        .then(builder.branch_bias(&format!("{name}.bias1b")))
        .then(Plain::Relu)
        .then(builder.branch_bias(&format!("{name}.bias2a")))
        .then(builder.convolution(&format!("{name}.conv2"), outputs, outputs, Geometry::three(1)))
        .then(builder.branch_scale(&format!("{name}.scale")))
        .then(builder.branch_bias(&format!("{name}.bias2b")));
    let skip = (stride == 2).then(|| Sequence::default().then(Halve).then(PadChannels));
    Block { before, branch, skip }
}

/// A residual block whose first scalar also shifts what is halved on the way past it.
struct Block {
    before: Shift,
    branch: Sequence,
    /// None: the input itself.
    skip: Option<Sequence>,
}

impl Module for Block {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        let shifted = self.before.forward(input, pass);
        let branch = self.branch.forward(&shifted, pass);
        match &self.skip {
            None => branch + input,
            Some(skip) => branch + skip.forward(&shifted, pass),
        }
    }
}
