//! GradInit on a network that this library has never seen: a deep ReLU network without normalisation.
//!
//! Prints the loss after one SGD step from the plain initialisation, whose sixteen layers are each too large by a half
//! and multiply to a loss in the thousands, and from the learnt one: below 0.6, where the target's variance is 0.5.
//!
//!     cargo run --release --example gradinit_any_network

use nmt::init::gradinit::{GradInitConfig, Target, gradinit};
use nmt::init::rescale;
use nmt::params::{BlockKind, Layout, View};
use nmt::task::{Loss, Mode, Task};
use tch::{Device, Kind, Tensor};

/// Sixteen layers of 32 units that fit y = sin(3x).
struct Network {
    layout: Layout,
    layers: Vec<(View, View)>,
}

impl Network {
    fn new() -> Network {
        let mut layout = Layout::default();
        let widths = [1, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 1];
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(i, width)| {
                let weight = layout.add(&format!("{i}.weight"), &[width[1], width[0]], BlockKind::Weight);
                (weight, layout.add(&format!("{i}.bias"), &[width[1]], BlockKind::Bias))
            })
            .collect();
        Network { layout, layers }
    }
}

impl Task for Network {
    type Batch = Tensor; // x, [N, 1]

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn loss(&self, theta: &Tensor, x: &Tensor, _: Mode) -> Loss {
        let views = self.layout.views(theta);
        let last = self.layers.len() - 1;
        let mut h = x.shallow_clone();
        for (i, &(weight, bias)) in self.layers.iter().enumerate() {
            h = h.linear(&views[weight], Some(&views[bias])); // [N, out]
            if i < last {
                h = h.relu();
            }
        }
        let sum = (h - (x * 3.0).sin()).square().sum(Kind::Float);
        Loss { nll: sum.detach(), sum, count: x.size()[0] }
    }
}

fn main() -> nmt::Result<()> {
    tch::manual_seed(1);
    let network = Network::new();
    let options = (Kind::Float, Device::Cpu);
    // Too large by a half: what GradInit has to find out.
    let parts: Vec<Tensor> = network
        .layout
        .blocks()
        .iter()
        .map(|block| match block.kind {
            BlockKind::Weight => Tensor::randn([block.numel()], options) * (1.5 * (2.0 / block.shape[1] as f64).sqrt()),
            _ => Tensor::randn([block.numel()], options) * 0.1,
        })
        .collect();
    let theta = Tensor::cat(&parts, 0);
    let batch = || Tensor::rand([128, 1], options) * 2.0 - 1.0;

    let (eta, gamma) = (0.1, 1.0);
    let config =
        GradInitConfig { optimizer: Target::Sgd, iterations: 300, eta, gamma, tau: 1e-2, ..GradInitConfig::default() };
    let scales = gradinit(&network, &theta, &config, |_| Ok((batch(), batch())), |_| Ok(()))?;
    let learnt = rescale(&network.layout, &theta, &Tensor::from_slice(&scales).to_kind(Kind::Float));

    let after_one_step = |theta: &Tensor| {
        let theta = theta.detach().set_requires_grad(true);
        let loss = network.loss(&theta, &batch(), Mode::initialise()).mean();
        let g = Tensor::run_backward(&[&loss], &[&theta], false, false).remove(0);
        let stepped = theta.detach() - &g / g.norm() * eta;
        network.loss(&stepped, &batch(), Mode::initialise()).mean().double_value(&[])
    };
    println!("plain initialisation, loss after one step: {:.3}", after_one_step(&theta));
    println!("learnt initialisation, loss after one step: {:.3}", after_one_step(&learnt));
    Ok(())
}
