//! What image networks are built of. Everything is a function of θ; the running statistics of batch normalisation are the
//! one thing that is kept beside it.

use tch::Tensor;

use crate::params::{BlockKind, Layout, View, Views};

/// The momentum of running statistics, as PyTorch counts it: the weight of the new batch.
const MOMENTUM: f64 = 0.1;
/// What is added to a variance.
const EPSILON: f64 = 1e-5;

/// What batch normalisation goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The batch's, and the running ones move towards them: training.
    Moving,
    /// The batch's; the running ones stay: GradInit and MetaInit.
    Batch,
    /// The running ones: evaluation.
    Running,
}

/// One pass through a network: what modules need besides their input.
pub struct Pass<'a> {
    /// Weights in the precision of the activations.
    pub parameters: &'a Views,
    /// The same in fp32, which normalisation computes with.
    pub exact: &'a Views,
    /// Running means and variances, fp32; they share the memory of the network's own.
    pub running: &'a Views,
    /// What normalisation goes by.
    pub statistics: Statistics,
}

/// A part of a network.
pub trait Module {
    /// The output for the input, both `[images, channels, height, width]`.
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor;
}

/// Blocks of θ and of the running statistics, while a network is put together.
pub struct Builder {
    /// θ.
    pub layout: Layout,
    /// The running statistics.
    pub running: Layout,
    /// Batch normalisation; without it learnable biases are in its place.
    pub batch_norm: bool,
}

impl Builder {
    /// Nothing yet.
    pub fn new(batch_norm: bool) -> Builder {
        Builder { layout: Layout::default(), running: Layout::default(), batch_norm }
    }

    /// A convolution without a bias from `inputs` to `outputs` channels.
    pub fn convolution(&mut self, name: &str, inputs: i64, outputs: i64, geometry: Geometry) -> Convolution {
        let shape = [outputs, inputs, geometry.kernel, geometry.kernel];
        let weight = self.layout.add(&format!("{name}.weight"), &shape, BlockKind::Convolution);
        Convolution { weight, bias: None, geometry }
    }

    /// A convolution with a bias.
    pub fn biased_convolution(&mut self, name: &str, inputs: i64, outputs: i64, geometry: Geometry) -> Convolution {
        let convolution = self.convolution(name, inputs, outputs, geometry);
        let bias = self.layout.add(&format!("{name}.bias"), &[outputs], BlockKind::Bias);
        Convolution { bias: Some(bias), ..convolution }
    }

    /// A convolution that batch normalisation follows, or has a bias where the network has no normalisation.
    pub fn normalised_convolution(
        &mut self,
        (name, norm): (&str, &str),
        inputs: i64,
        outputs: i64,
        geometry: Geometry,
    ) -> Sequence {
        if self.batch_norm {
            let convolution = self.convolution(name, inputs, outputs, geometry);
            Sequence::default().then(convolution).then(self.norm(norm, outputs))
        } else {
            Sequence::default().then(self.biased_convolution(name, inputs, outputs, geometry))
        }
    }

    /// Batch normalisation of `channels`.
    pub fn norm(&mut self, name: &str, channels: i64) -> BatchNorm {
        let scale = self.layout.add(&format!("{name}.weight"), &[channels], BlockKind::NormScale);
        let shift = self.layout.add(&format!("{name}.bias"), &[channels], BlockKind::NormBias);
        let mean = self.running.add(&format!("{name}.running_mean"), &[channels], BlockKind::RunningMean);
        let variance = self.running.add(&format!("{name}.running_var"), &[channels], BlockKind::RunningVariance);
        BatchNorm { scale, shift, mean, variance }
    }

    /// Batch normalisation where the network has any.
    pub fn optional_norm(&mut self, name: &str, channels: i64) -> Option<BatchNorm> {
        self.batch_norm.then(|| self.norm(name, channels))
    }

    /// The last layer: `[images, inputs]` to `[images, outputs]`.
    pub fn linear(&mut self, name: &str, inputs: i64, outputs: i64) -> Linear {
        let weight = self.layout.add(&format!("{name}.weight"), &[outputs, inputs], BlockKind::Weight);
        let bias = self.layout.add(&format!("{name}.bias"), &[outputs], BlockKind::Bias);
        Linear { weight, bias }
    }

    /// FixUp's scalar that is added.
    pub fn branch_bias(&mut self, name: &str) -> Shift {
        Shift(self.layout.add(name, &[1], BlockKind::BranchBias))
    }

    /// FixUp's scalar that multiplies.
    pub fn branch_scale(&mut self, name: &str) -> Multiple {
        Multiple(self.layout.add(name, &[1], BlockKind::BranchScale))
    }
}

/// How a kernel moves over a picture.
#[derive(Debug, Clone, Copy)]
pub struct Geometry {
    /// Height and width of the kernel.
    pub kernel: i64,
    /// Pixels between two positions.
    pub stride: i64,
    /// Zeros around the picture.
    pub padding: i64,
}

impl Geometry {
    /// A kernel of 3 × 3 that keeps the size, or halves it with stride 2.
    pub fn three(stride: i64) -> Geometry {
        Geometry { kernel: 3, stride, padding: 1 }
    }

    /// A kernel of 1 × 1.
    pub fn one(stride: i64) -> Geometry {
        Geometry { kernel: 1, stride, padding: 0 }
    }
}

/// A convolution.
pub struct Convolution {
    weight: View,
    bias: Option<View>,
    geometry: Geometry,
}

impl Module for Convolution {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        let Geometry { stride, padding, .. } = self.geometry;
        let bias = self.bias.map(|bias| &pass.parameters[bias]);
        input.conv2d(&pass.parameters[self.weight], bias, [stride, stride], [padding, padding], [1, 1], 1)
    }
}

/// Batch normalisation (Ioffe and Szegedy, 2015) as `torch.nn.BatchNorm2d` computes it.
pub struct BatchNorm {
    scale: View,
    shift: View,
    mean: View,
    variance: View,
}

impl Module for BatchNorm {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        let running = |view: View| (pass.statistics != Statistics::Batch).then(|| pass.running[view].shallow_clone());
        input.batch_norm(
            Some(&pass.exact[self.scale]),
            Some(&pass.exact[self.shift]),
            running(self.mean).as_ref(),
            running(self.variance).as_ref(),
            pass.statistics != Statistics::Running,
            MOMENTUM,
            EPSILON,
            true,
        )
    }
}

/// A linear layer of pictures that are one pixel, or of vectors.
pub struct Linear {
    weight: View,
    bias: View,
}

impl Module for Linear {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        // [images, channels, 1, 1] -> [images, channels]
        input.flatten(1, -1).linear(&pass.parameters[self.weight], Some(&pass.parameters[self.bias]))
    }
}

/// A scalar that is added.
pub struct Shift(View);

impl Module for Shift {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        input + &pass.parameters[self.0]
    }
}

/// A scalar that multiplies.
pub struct Multiple(View);

impl Module for Multiple {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        input * &pass.parameters[self.0]
    }
}

/// What has no parameters.
pub enum Plain {
    /// max(x, 0).
    Relu,
    /// The maximum of squares.
    MaxPool(Geometry),
    /// The mean of squares of this size, side by side.
    AveragePool(i64),
    /// The mean of the picture: `[images, channels, 1, 1]`.
    GlobalAverage,
}

impl Module for Plain {
    fn forward(&self, input: &Tensor, _: &Pass) -> Tensor {
        match *self {
            Plain::Relu => input.relu(),
            Plain::MaxPool(Geometry { kernel, stride, padding }) => {
                input.max_pool2d([kernel, kernel], [stride, stride], [padding, padding], [1, 1], false)
            }
            Plain::AveragePool(size) => input.avg_pool2d([size, size], [size, size], [0, 0], false, true, None::<i64>),
            Plain::GlobalAverage => input.mean_dim([2i64, 3].as_slice(), true, None),
        }
    }
}

/// One after the other.
#[derive(Default)]
pub struct Sequence(Vec<Box<dyn Module>>);

impl Sequence {
    /// With one more at the end.
    #[must_use]
    pub fn then(mut self, module: impl Module + 'static) -> Sequence {
        self.0.push(Box::new(module));
        self
    }

    /// With one more at the end where there is one.
    #[must_use]
    pub fn then_some(self, module: Option<impl Module + 'static>) -> Sequence {
        match module {
            Some(module) => self.then(module),
            None => self,
        }
    }
}

impl Module for Sequence {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        self.0.iter().fold(input.shallow_clone(), |x, module| module.forward(&x, pass))
    }
}

/// A branch beside a way past it, added.
pub struct Residual {
    /// What is learnt.
    pub branch: Sequence,
    /// The way past it; empty: the input itself.
    pub skip: Sequence,
}

impl Module for Residual {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        self.branch.forward(input, pass) + self.skip.forward(input, pass)
    }
}

/// Every second pixel of every second line.
pub struct Halve;

impl Module for Halve {
    fn forward(&self, input: &Tensor, _: &Pass) -> Tensor {
        input.slice(2, None, None, 2).slice(3, None, None, 2)
    }
}

/// As many channels of zeros behind the others.
pub struct PadChannels;

impl Module for PadChannels {
    fn forward(&self, input: &Tensor, _: &Pass) -> Tensor {
        Tensor::cat(&[input, &input.zeros_like()], 1)
    }
}

/// Input and output side by side, channel by channel.
pub struct Dense(pub Sequence);

impl Module for Dense {
    fn forward(&self, input: &Tensor, pass: &Pass) -> Tensor {
        Tensor::cat(&[input, &self.0.forward(input, pass)], 1)
    }
}
