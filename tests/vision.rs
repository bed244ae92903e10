//! Image networks: their sizes, their initialisation, and what batch normalisation remembers.

use nmt::init::gradinit::{GradInitConfig, Target, gradinit};
use nmt::init::rescale;
use nmt::params::BlockKind;
use nmt::random::with_generator;
use nmt::task::{Mode, Task};
use nmt::vision::{Architecture, Builder, Classifier, Geometry, PictureBatch, Plain, fixup, kaiming};
use tch::{Device, Kind, Tensor};

fn network(architecture: Architecture, batch_norm: bool) -> Classifier {
    Classifier::new(architecture, batch_norm, architecture.pictures().1, Device::Cpu)
}

fn pictures(count: i64, side: i64, seed: u64) -> PictureBatch {
    with_generator(seed, || {
        let pictures = Tensor::randn([count, 3, side, side], (Kind::Float, Device::Cpu));
        let classes = Tensor::randint(10, [count], (Kind::Int64, Device::Cpu));
        PictureBatch { pictures, classes, mixed: None }
    })
}

/// Table 1 of the paper, in millions: 20.03, 20.04, 1.72, 1.73, 36.49, 1.72, 0.75, 0.77 and 25.6.
#[test]
fn networks_have_the_papers_sizes() {
    for (architecture, batch_norm, parameters) in [
        (Architecture::Vgg19, false, 20_029_514),
        (Architecture::Vgg19, true, 20_040_522),
        (Architecture::Resnet110, false, 1_723_914),
        (Architecture::Resnet110, true, 1_728_058),
        (Architecture::Wrn28_10, true, 36_489_290),
        (Architecture::FixupResnet110, false, 1_720_138),
        (Architecture::Densenet100, false, 748_336),
        (Architecture::Densenet100, true, 769_162),
        (Architecture::Resnet50, true, 25_557_032), // torchvision's
    ] {
        let network = network(architecture, batch_norm);
        assert_eq!(network.layout().total(), parameters, "{} {batch_norm}", architecture.name());
        assert_eq!(network.running().is_some(), batch_norm);
    }
}

#[test]
fn every_network_gives_logits_and_a_gradient_of_every_block() {
    let both = Architecture::ALL.into_iter().flat_map(|architecture| [(architecture, true), (architecture, false)]);
    for (architecture, batch_norm) in both.filter(|pair| *pair != (Architecture::FixupResnet110, true)) {
        let network = network(architecture, batch_norm);
        let (side, classes) = architecture.pictures();
        let theta = kaiming(architecture, network.layout(), 1);
        let batch = pictures(2, if side == 224 { 64 } else { side }, 1);
        let logits = tch::no_grad(|| network.logits(&theta, &batch.pictures, Mode::evaluate(Kind::Float)));
        assert_eq!(logits.size(), [2, classes], "{}", architecture.name());
        if architecture == Architecture::Wrn28_10 {
            continue; // Seconds.
        }
        let name = format!("{}, normalisation {batch_norm}", architecture.name());
        let (loss, gradient) = network.gradient(&theta, &batch, Mode::initialise());
        assert!(loss.sum.double_value(&[]).is_finite() && loss.count == 2);
        for (block, part) in network.layout().blocks().iter().zip(network.layout().split(&gradient)) {
            let norm = part.norm().double_value(&[]);
            assert!(norm.is_finite() && norm > 0.0, "{name}, {}: {norm}", block.name);
        }
    }
}

#[test]
fn kaiming_has_its_deviations() {
    let network = network(Architecture::Vgg19, true);
    let theta = kaiming(Architecture::Vgg19, network.layout(), 3);
    for (block, part) in network.layout().blocks().iter().zip(network.layout().split(&theta)) {
        let deviation = part.std(true).double_value(&[]);
        match block.kind {
            BlockKind::Convolution if block.numel() > 100_000 => {
                let expected = (2.0 / (block.shape[0] * 9) as f64).sqrt();
                assert!((deviation / expected - 1.0).abs() < 0.01, "{}: {deviation} for {expected}", block.name);
            }
            BlockKind::Weight => assert!((deviation / 0.01 - 1.0).abs() < 0.05, "{}: {deviation}", block.name),
            BlockKind::NormScale => assert_eq!(part.min().double_value(&[]), 1.0),
            BlockKind::Bias | BlockKind::NormBias => assert_eq!(part.abs().max().double_value(&[]), 0.0),
            _ => {}
        }
    }
    assert!(theta.equal(&kaiming(Architecture::Vgg19, network.layout(), 3)));
    assert!(!theta.equal(&kaiming(Architecture::Vgg19, network.layout(), 4)));
}

/// With every branch at 0 the network is its first convolution, halved twice, and the linear layer gives its bias: 0.
#[test]
fn fixup_begins_with_nothing() {
    let network = network(Architecture::FixupResnet110, false);
    let theta = fixup(network.layout(), 1);
    let batch = pictures(3, 32, 2);
    let logits = tch::no_grad(|| network.logits(&theta, &batch.pictures, Mode::evaluate(Kind::Float)));
    assert_eq!(logits.abs().max().double_value(&[]), 0.0);
    let loss = network.loss(&theta, &batch, Mode::evaluate(Kind::Float)).mean().double_value(&[]);
    assert!((loss - 10f64.ln()).abs() < 1e-6, "{loss}");
    let first = network.layout().blocks().iter().position(|block| block.name == "layer1.0.conv1.weight").unwrap();
    let deviation = network.layout().split(&theta)[first].std(true).double_value(&[]);
    let expected = (2.0 / (16.0 * 9.0) / 54.0f64).sqrt();
    assert!((deviation / expected - 1.0).abs() < 0.1, "{deviation} for {expected}");
}

/// One normalisation of pictures whose mean and variance are known.
#[test]
fn running_statistics_follow_training_alone() {
    let mut builder = Builder::new(true);
    let norm = builder.norm("bn", 3);
    let net = nmt::vision::Sequence::default().then(norm).then(Plain::GlobalAverage).then(builder.linear("fc", 3, 10));
    let network = Classifier::of(builder, Box::new(net), Device::Cpu);
    let theta = Tensor::ones([network.layout().total()], (Kind::Float, Device::Cpu));
    let batch = pictures(4, 8, 5);
    let running = || Vec::<f32>::try_from(&network.running().unwrap().1).unwrap();
    assert_eq!(running(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    for mode in [Mode::initialise(), Mode::initialise_twice(), Mode::evaluate(Kind::Float)] {
        let _ = network.gradient(&theta, &batch, mode);
        assert_eq!(running(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "{mode:?}");
    }
    let _ = network.gradient(&theta, &batch, Mode::train(Kind::Float, 1));
    let by_channel = batch.pictures.transpose(0, 1).reshape([3, -1]); // [3, 4·8·8]
    for channel in 0..3 {
        let values = by_channel.get(channel);
        let mean = 0.1 * values.mean(Kind::Float).double_value(&[]);
        let variance = 0.9 + 0.1 * values.var(true).double_value(&[]); // unbiased, as in PyTorch
        assert!((f64::from(running()[channel as usize]) - mean).abs() < 1e-6);
        assert!((f64::from(running()[3 + channel as usize]) - variance).abs() < 1e-5);
    }
}

#[test]
fn mixed_pictures_have_a_loss_of_both_classes() {
    let network = network(Architecture::Densenet100, true);
    let theta = kaiming(Architecture::Densenet100, network.layout(), 1);
    let of = |classes: Tensor, mixed| {
        let batch = PictureBatch { pictures: pictures(4, 32, 1).pictures, classes, mixed };
        network.loss(&theta, &batch, Mode::initialise()).sum.double_value(&[])
    };
    let (a, b) = (Tensor::from_slice(&[0i64, 1, 2, 3]), Tensor::from_slice(&[3i64, 2, 1, 0]));
    let expected = 0.3 * of(a.shallow_clone(), None) + 0.7 * of(b.shallow_clone(), None);
    let found = of(a, Some((b, 0.3)));
    assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
}

/// A plain network without normalisation whose first gradient is far above γ: GradInit brings it down to it.
#[test]
fn gradinit_bounds_the_gradient() {
    let mut builder = Builder::new(false);
    let net = builder
        .normalised_convolution(("conv1", ""), 3, 16, Geometry::three(1))
        .then(Plain::Relu)
        .then(builder.normalised_convolution(("conv2", ""), 16, 16, Geometry::three(2)))
        .then(Plain::Relu)
        .then(Plain::GlobalAverage)
        .then(builder.linear("fc", 16, 10));
    let network = Classifier::of(builder, Box::new(net), Device::Cpu);
    let theta = kaiming(Architecture::Resnet110, network.layout(), 1) * 3.0;
    let batch = || pictures(16, 16, 7);
    let settings = GradInitConfig {
        optimizer: Target::Sgd,
        iterations: 150,
        eta: 0.1,
        tau: 1e-2,
        gamma: 1.0,
        ..Default::default()
    };
    let mut norms = Vec::new();
    let scales = gradinit(
        &network,
        &theta,
        &settings,
        |_| Ok((batch(), batch())),
        |iteration| {
            norms.push(iteration.gradient_norm);
            Ok(())
        },
    )
    .unwrap();
    assert!(norms[0] > 2.0, "{}", norms[0]);
    let (_, gradient) = network.gradient(
        &rescale(network.layout(), &theta, &Tensor::from_slice(&scales).to_kind(Kind::Float)),
        &batch(),
        Mode::initialise(),
    );
    let last = (gradient / 16.0).norm().double_value(&[]);
    assert!(last < 1.3, "from {} to {last}", norms[0]);
}
