//! Image networks against other implementations of them: tests/networks/README.md says which, and how `expected.json` was made.

use nmt::params::{Block, BlockKind, Layout};
use nmt::task::{Mode, Task};
use nmt::vision::{Architecture, Classifier, PictureBatch};
use serde_json::Value;
use tch::{Device, Kind, Tensor};

/// Numbers from 0 to 1 that any language can make: a counter, and the finaliser of MurmurHash3.
fn uniform(stream: u64, count: usize) -> Vec<f64> {
    let start = (stream + 1).wrapping_mul(1_442_695_040_888_963_407);
    let number = |i: u64| {
        let mut x = (i + 1).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(start);
        x ^= x >> 33;
        x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
        x ^= x >> 33;
        (x >> 40) as f64 / f64::from(1 << 24)
    };
    (0..count as u64).map(number).collect()
}

/// Blocks in alphabetical order, each with its place in the layout.
fn by_name(layout: &Layout) -> Vec<(usize, &Block)> {
    let mut blocks: Vec<(usize, &Block)> = layout.blocks().iter().enumerate().collect();
    blocks.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
    blocks
}

/// A vector of the layout whose blocks have the streams from `first` on, in alphabetical order.
fn filled(layout: &Layout, first: u64, gain: f64) -> Tensor {
    let mut parts: Vec<Tensor> = layout.blocks().iter().map(|_| Tensor::new()).collect();
    for (stream, (place, block)) in (first..).zip(by_name(layout)) {
        let fan_out = |shape: &[i64]| (shape[0] * shape[2] * shape[3]) as f64;
        let (bound, offset) = match block.kind {
            BlockKind::Convolution => (gain * (6.0 / fan_out(&block.shape)).sqrt(), 0.0),
            BlockKind::Weight => (0.2, 0.0),
            BlockKind::NormScale | BlockKind::BranchScale | BlockKind::RunningVariance => (0.5, 1.0),
            _ => (0.1, 0.0),
        };
        let numbers: Vec<f64> =
            uniform(stream, block.numel() as usize).into_iter().map(|u| (2.0 * u - 1.0) * bound + offset).collect();
        parts[place] = Tensor::from_slice(&numbers).to_kind(Kind::Float);
    }
    Tensor::cat(&parts, 0)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// Refuse what differs by more than `share` of the greatest of them.
fn assert_near(what: &str, found: &[f64], expected: &[f64], names: &[&str], share: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let greatest = expected.iter().fold(0.0f64, |greatest, number| greatest.max(number.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        // What is 0 but for rounding, a bias before a normalisation, has its errors.
        let allowed = share * expected.abs() + 1e-6 * greatest;
        assert!(
            (found - expected).abs() <= allowed,
            "{what} {}: {found} for {expected}, greatest {greatest}",
            names.get(place).unwrap_or(&"")
        );
    }
}

fn norms(layout: &Layout, vector: &Tensor) -> Vec<f64> {
    let parts = layout.split(vector);
    by_name(layout).iter().map(|(place, _)| parts[*place].to_kind(Kind::Double).norm().double_value(&[])).collect()
}

/// Logits by running statistics, the loss by those of the batch, its gradient, and what it leaves of the running ones.
fn compare(architecture: Architecture, batch_norm: bool) {
    let expected: Value = serde_json::from_str(include_str!("networks/expected.json")).unwrap();
    let name = format!("{} {}", architecture.name(), if batch_norm { "with" } else { "without" });
    let expected = &expected[name.as_str()];
    let (side, gain) = (expected["side"].as_i64().unwrap(), expected["gain"].as_f64().unwrap());
    let network = Classifier::new(architecture, batch_norm, 10, Device::Cpu);
    let layout = network.layout();
    let theta = filled(layout, 0, gain);
    let streams = layout.blocks().len() as u64;
    if let Some((running_layout, mut running)) = network.running() {
        running.copy_(&filled(running_layout, streams, gain));
    }
    let pixels: Vec<f64> =
        uniform(1_000_003, (2 * 3 * side * side) as usize).into_iter().map(|u| u * 4.0 - 2.0).collect();
    let batch = PictureBatch {
        pictures: Tensor::from_slice(&pixels).reshape([2, 3, side, side]).to_kind(Kind::Float),
        classes: Tensor::from_slice(&[3i64, 8]),
        mixed: None,
    };
    let logits = tch::no_grad(|| network.logits(&theta, &batch.pictures, Mode::evaluate(Kind::Float)));
    let logits = Vec::<f64>::try_from(logits.to_kind(Kind::Double).reshape([-1])).unwrap();
    let rows: Vec<f64> = expected["logits"].as_array().unwrap().iter().flat_map(numbers).collect();
    assert_near(&format!("{name}, logits"), &logits, &rows, &[], 1e-3);

    let (loss, gradient) = network.gradient(&theta, &batch, Mode::train(Kind::Float, 1));
    assert_near(&name, &[loss.sum.double_value(&[])], &[expected["loss"].as_f64().unwrap()], &["loss"], 1e-3);
    let names: Vec<&str> = by_name(layout).iter().map(|(_, block)| block.name.as_str()).collect();
    let found = norms(layout, &gradient);
    // The oracle has fp64. Through 110 layers that normalise by two pictures fp32's rounding, which depends on the
    // processor's vectors, comes to 1.3 % in one block.
    let share = if architecture == Architecture::Resnet110 && batch_norm { 3e-2 } else { 1e-2 };
    assert_near(&format!("{name}, gradient of"), &found, &numbers(&expected["gradient_norms"]), &names, share);
    let running = network.running().map_or(Vec::new(), |(layout, running)| norms(layout, &running));
    assert_near(&format!("{name}, running"), &running, &numbers(&expected["running_norms"]), &[], 1e-4);
}

#[test]
fn vgg19() {
    compare(Architecture::Vgg19, true);
    compare(Architecture::Vgg19, false);
}

#[test]
fn resnet110() {
    compare(Architecture::Resnet110, true);
    compare(Architecture::Resnet110, false);
}

#[test]
fn wide_resnet() {
    compare(Architecture::Wrn28_10, true);
}

#[test]
fn fixup_resnet110() {
    compare(Architecture::FixupResnet110, false);
}

#[test]
fn densenet100() {
    compare(Architecture::Densenet100, true);
    compare(Architecture::Densenet100, false);
}

#[test]
fn resnet50() {
    compare(Architecture::Resnet50, true);
}
