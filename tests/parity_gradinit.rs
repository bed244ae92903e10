//! Thirty iterations of GradInit on tiny Transformers and image networks (oracle: the published code, commit 777c407,
//! torch 2.1.2).
mod common;

use common::{batch, json, reference, tensors, transformer};
use nmt::init::gradinit::{Branch, GradInitConfig, Preset, Target, gradinit};
use nmt::model::TranslationBatch;
use nmt::task::Task;
use nmt::train::load_running;
use nmt::vision::{Builder, Classifier, Geometry, PictureBatch, Plain};
use tch::{Device, Kind, Tensor};

/// On a Transformer.
fn follow(run: &str, tolerance: f64) {
    let Some(folder) = reference("golden/gradinit") else { return };
    let golden = json(&folder.join(format!("{run}.json")));
    let name = golden["model"].as_str().unwrap();
    let Some(sizes) = reference(&format!("golden/transformer/case_{}", &name[name.len() - 1..])) else { return };
    let model = transformer(&sizes);
    let theta0 = model.layout().load(&folder.join(format!("{name}.state.safetensors")), "").unwrap();
    let batches = tensors(&folder.join(format!("{name}.batches.safetensors")));
    let given = &golden["hyper_parameters"];
    let number = |key: &str| given[key].as_f64().unwrap();
    let config = GradInitConfig {
        optimizer: if given["alg"] == "adam" { Target::Adam } else { Target::Sgd },
        iterations: 30,
        eta: number("eta"),
        tau: number("lr"),
        gamma: number("gamma"),
        min_scale: number("min_scale"),
        max_norm_scale: golden["max_scale_ln_weights_only"].as_f64().unwrap(),
        clip: number("grad_clip"),
        beta1: number("beta1"),
        beta2: number("beta2"),
        ..GradInitConfig::of(Preset::PublishedCode)
    };
    let draw = |t: u64| {
        let part = |which: &str| TranslationBatch::new(&batch(&batches, &format!("{t}.{which}.")), Device::Cpu);
        Ok((part("S"), part("Stilde")))
    };
    compare(run, &golden, &model, &theta0, &config, draw, tolerance);
}

/// On a network of two convolutions and a linear layer, with batch normalisation or biases.
fn follow_on_pictures(run: &str) {
    let Some(folder) = reference("golden/gradinit") else { return };
    let golden = json(&folder.join(format!("{run}.json")));
    let batch_norm = golden["config"]["bn"].as_bool().unwrap();
    let mut builder = Builder::new(batch_norm);
    let second = Geometry { kernel: 3, stride: 2, padding: 1 };
    let net = builder
        .normalised_convolution(("conv1", "bn1"), 3, 6, Geometry::three(1))
        .then(Plain::Relu)
        .then(builder.normalised_convolution(("conv2", "bn2"), 6, 8, second))
        .then(Plain::Relu)
        .then(builder.linear("fc", 8 * 4 * 4, 5));
    let network = Classifier::of(builder, Box::new(net), Device::Cpu);
    let state = folder.join(if batch_norm { "cnn_bn.state.safetensors" } else { "cnn_nobn.state.safetensors" });
    let theta0 = network.layout().load(&state, "").unwrap();
    load_running(&state, &network).unwrap();
    let running = || network.running().map(|(_, running)| running.copy());
    let before = running();
    let halves = tensors(&folder.join("cnn.half_batches.safetensors"));
    let given = &golden["hyper_parameters"];
    let number = |key: &str| given[key].as_f64().unwrap();
    let config = GradInitConfig {
        optimizer: if given["alg"] == "adam" { Target::Adam } else { Target::Sgd },
        iterations: 30,
        eta: number("eta"),
        tau: number("lr"),
        gamma: number("gamma"),
        min_scale: number("min_scale"),
        clip: number("grad_clip"),
        ..GradInitConfig::of(Preset::PublishedImageCode)
    };
    let draw = |t: u64| {
        let drawn: Vec<i64> = serde_json::from_value(golden["rows"][t as usize]["half_batches"].clone()).unwrap();
        let pair = |first: i64, second: i64| {
            let rows = |key: &str| Tensor::cat(&[halves[key].get(first), halves[key].get(second)], 0);
            PictureBatch { pictures: rows("images"), classes: rows("labels").to_kind(Kind::Int64), mixed: None }
        };
        // A constraint step draws no half for S̃.
        Ok((pair(drawn[0], drawn[1]), pair(drawn[0], *drawn.last().unwrap())))
    };
    compare(run, &golden, &network, &theta0, &config, draw, 1e-3);
    assert_eq!(running(), before, "running statistics move in training alone");
}

/// Follow a run of the published code, iteration by iteration.
fn compare<T: Task>(
    run: &str,
    golden: &serde_json::Value,
    task: &T,
    theta0: &Tensor,
    config: &GradInitConfig,
    draw: impl FnMut(u64) -> nmt::Result<(T::Batch, T::Batch)>,
    tolerance: f64,
) {
    let unstable: Vec<&str> =
        golden["unstable_scales_do_not_compare"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let blocks = task.layout().blocks();
    let mut branches = String::new();
    let scales = gradinit(task, theta0, config, draw, |iteration| {
        let row = &golden["rows"][iteration.iteration as usize];
        branches.push(if iteration.branch == Branch::Constraint { 'C' } else { 'o' });
        let relative = |value: f64, key: &str| (value / row[key].as_f64().unwrap() - 1.0).abs();
        assert!(relative(iteration.loss, "loss_S") < 1e-4, "{run} loss at {}", iteration.iteration);
        assert!(relative(iteration.gradient_norm, "grad_norm_p") < 1e-3, "{run} norm at {}", iteration.iteration);
        assert_eq!(iteration.loss_after_step.is_some(), row["loss_Stilde_after_step"].is_number(), "{run}");
        if let Some(loss) = iteration.loss_after_step {
            assert!(relative(loss, "loss_Stilde_after_step") < 1e-3, "{run} after the step at {}", iteration.iteration);
        }
        // A gradient's share of the largest one: where that is small, all are looked at as closely.
        let gradients = row["d_alpha"].as_object().unwrap().values().filter_map(|value| value.as_f64());
        let largest = gradients.fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for (block, (&gradient, &scale)) in blocks.iter().zip(iteration.scale_gradients.iter().zip(&iteration.scales)) {
            if unstable.contains(&block.name.as_str()) {
                continue;
            }
            if let Some(expected) = row["d_alpha"][&block.name].as_f64() {
                let distance = (gradient - expected).abs();
                let bound = 1e-2 * expected.abs().max(0.1 * largest);
                assert!(distance < bound, "{run} {}: {gradient} for {expected}", block.name);
            }
            let expected = row["alpha"][&block.name].as_f64().unwrap_or(1.0);
            assert!(
                (scale - expected).abs() < tolerance,
                "{run} {}: {scale} for {expected} at {}",
                block.name,
                iteration.iteration
            );
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(branches, golden["branches"].as_str().unwrap(), "{run}");
    assert!(scales.iter().any(|scale| (scale - 1.0).abs() > 0.05));
}

#[test]
fn adam_on_case_a() {
    follow("transformer_a_adam", 1e-3);
}

#[test]
fn adam_on_case_b() {
    follow("transformer_b_adam", 1e-3);
}

#[test]
fn sgd_on_case_a() {
    follow("transformer_a_sgd", 1e-3);
}

#[test]
fn bounds_are_kept_on_case_a() {
    follow("transformer_a_adam_clamp", 2e-3);
}

#[test]
fn sgd_on_pictures() {
    follow_on_pictures("cnn_bn_sgd");
    follow_on_pictures("cnn_nobn_sgd");
}

#[test]
fn adam_on_pictures() {
    follow_on_pictures("cnn_bn_adam");
    follow_on_pictures("cnn_nobn_adam");
}
