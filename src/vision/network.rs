//! An image network as a function of θ, and its loss as a [`Task`].

use tch::{Device, Kind, Reduction, Tensor};

use super::architecture::Architecture;
use super::batch::PictureBatch;
use super::module::{Builder, Module, Pass, Statistics};
use super::nets;
use crate::params::{Block, BlockKind, Layout};
use crate::task::{Loss, Mode, Purpose, Task};

/// A network with its loss.
pub struct Classifier {
    layout: Layout,
    running_layout: Layout,
    running: Tensor,
    net: Box<dyn Module>,
}

impl Classifier {
    /// A network of `architecture` for `classes` classes, its running statistics as at the start: means 0, variances 1.
    pub fn new(architecture: Architecture, batch_norm: bool, classes: i64, device: Device) -> Classifier {
        let mut builder = Builder::new(batch_norm);
        let net = nets::build(architecture, &mut builder, classes);
        Classifier::of(builder, net, device)
    }

    /// Of modules that were put together otherwise.
    pub fn of(builder: Builder, net: Box<dyn Module>, device: Device) -> Classifier {
        let options = (Kind::Float, device);
        let start = |block: &Block| match block.kind {
            BlockKind::RunningVariance => Tensor::ones([block.numel()], options),
            _ => Tensor::zeros([block.numel()], options),
        };
        let parts: Vec<Tensor> = builder.running.blocks().iter().map(start).collect();
        let running = if parts.is_empty() { Tensor::zeros([0], options) } else { Tensor::cat(&parts, 0) };
        Classifier { layout: builder.layout, running_layout: builder.running, running, net }
    }

    /// The logits of pictures, `[images, classes]`, fp32.
    pub fn logits(&self, theta: &Tensor, pictures: &Tensor, mode: Mode) -> Tensor {
        let exact = self.layout.views(theta);
        let rounded = (mode.compute != theta.kind()).then(|| self.layout.views(&theta.to_kind(mode.compute)));
        let parameters = rounded.as_ref().unwrap_or(&exact);
        let running = self.running_layout.views(&self.running);
        let statistics = match mode.purpose {
            Purpose::Train { .. } => Statistics::Moving,
            Purpose::Initialise => Statistics::Batch,
            Purpose::Evaluate => Statistics::Running,
        };
        let pass = Pass { parameters, exact: &exact, running: &running, statistics };
        let mut pictures = pictures.to_kind(mode.compute);
        if pictures.device() != Device::Cpu {
            // Channels last in memory, as the convolutions of a GPU work: every layer after it keeps the order.
            // [images, channels, height, width] -> [images, height, width, channels] and back
            pictures = pictures.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
        }
        self.net.forward(&pictures, &pass).to_kind(Kind::Float)
    }

    /// The summed cross-entropy of logits, natural logarithm, a differentiable scalar.
    pub fn cross_entropy(logits: &Tensor, classes: &Tensor) -> Tensor {
        logits.cross_entropy_loss::<Tensor>(classes, None, Reduction::Sum, -100, 0.0)
    }
}

impl Task for Classifier {
    type Batch = PictureBatch;

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn running(&self) -> Option<(&Layout, Tensor)> {
        (self.running_layout.total() > 0).then(|| (&self.running_layout, self.running.shallow_clone()))
    }

    fn loss(&self, theta: &Tensor, batch: &PictureBatch, mode: Mode) -> Loss {
        let logits = self.logits(theta, &batch.pictures, mode);
        let nll = Classifier::cross_entropy(&logits, &batch.classes);
        let sum = match &batch.mixed {
            Some((others, share)) => &nll * *share + Classifier::cross_entropy(&logits, others) * (1.0 - share),
            None => nll.shallow_clone(),
        };
        Loss { sum, nll: nll.detach(), count: batch.classes.size()[0] }
    }
}
