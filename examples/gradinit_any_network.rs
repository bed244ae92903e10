//! GradInit on a network that this library has never seen: sixteen ReLU layers without normalisation, each too large by a
//! half, for which one SGD step from the plain initialisation ends at a loss in the thousands; from the learnt one below 0.6
//! (the target's variance is 0.5). `cargo run --release --example gradinit_any_network`

use nmt::init::gradinit::{GradInitConfig, Target, gradinit};
use nmt::init::rescale;
use nmt::params::{BlockKind, Layout, View};
use nmt::task::{Loss, Mode, Task};
use tch::{Device, Kind, Tensor};

/// A network says where its blocks lie in θ, and what its loss is as a function of θ and a batch.
struct Network {
    layout: Layout,
    layers: Vec<(View, View)>,
}

impl Task for Network {
    type Batch = Tensor; // x, [N, 1]; the network is to learn sin(3x)

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn loss(&self, theta: &Tensor, x: &Tensor, _: Mode) -> Loss {
        let views = self.layout.views(theta);
        let linear = |h: &Tensor, (weight, bias): (View, View)| h.linear(&views[weight], Some(&views[bias])); // [N, out]
        let (last, before) = self.layers.split_last().expect("layers");
        let h = before.iter().fold(x.shallow_clone(), |h, layer| linear(&h, *layer).relu());
        let sum = (linear(&h, *last) - (x * 3.0).sin()).square().sum(Kind::Float);
        Loss { nll: sum.detach(), sum, count: x.size()[0] }
    }
}

fn main() -> nmt::Result<()> {
    tch::manual_seed(1);
    let (mut layout, mut layers, options) = (Layout::default(), Vec::new(), (Kind::Float, Device::Cpu));
    for i in 0..16 {
        let (inputs, outputs) = (if i == 0 { 1 } else { 32 }, if i == 15 { 1 } else { 32 });
        let weight = layout.add(&format!("{i}.weight"), &[outputs, inputs], BlockKind::Weight);
        layers.push((weight, layout.add(&format!("{i}.bias"), &[outputs], BlockKind::Bias)));
    }
    let plain = layout.blocks().iter().map(|block| match block.kind {
        BlockKind::Weight => Tensor::randn([block.numel()], options) * (1.5 * (2.0 / block.shape[1] as f64).sqrt()),
        _ => Tensor::randn([block.numel()], options) * 0.1,
    });
    let theta = Tensor::cat(&plain.collect::<Vec<_>>(), 0);
    let network = Network { layout, layers };
    let batch = || Tensor::rand([128, 1], options) * 2.0 - 1.0;
    let config = GradInitConfig { optimizer: Target::Sgd, eta: 0.1, gamma: 1.0, tau: 5e-3, ..Default::default() };
    let scales = gradinit(&network, &theta, &config, |_| Ok((batch(), batch())), |_| Ok(()))?;
    let learnt = rescale(network.layout(), &theta, &Tensor::from_slice(&scales).to_kind(Kind::Float));
    for (name, theta) in [("plain", &theta), ("learnt", &learnt)] {
        let (_, g) = network.gradient(theta, &batch(), Mode::initialise());
        let stepped = theta - &g / g.norm() * config.eta;
        let loss = network.loss(&stepped, &batch(), Mode::initialise()).mean().double_value(&[]);
        println!("{name} initialisation, loss after one step: {loss:.3}");
    }
    Ok(())
}
