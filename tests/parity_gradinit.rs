//! Thirty iterations of GradInit on tiny Transformers (oracle: the published code, commit 777c407, torch 2.1.2).
mod common;

use common::{batch, json, reference, tensors, transformer};
use nmt::init::gradinit::{Branch, GradInitConfig, Preset, Target, gradinit};
use nmt::model::TranslationBatch;
use nmt::task::Task;
use tch::Device;

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
    let unstable: Vec<&str> =
        golden["unstable_scales_do_not_compare"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    let blocks = model.layout().blocks();
    let mut branches = String::new();
    let scales = gradinit(
        &model,
        &theta0,
        &config,
        |t| {
            let part = |which: &str| TranslationBatch::new(&batch(&batches, &format!("{t}.{which}.")), Device::Cpu);
            Ok((part("S"), part("Stilde")))
        },
        |iteration| {
            let row = &golden["rows"][iteration.iteration as usize];
            branches.push(if iteration.branch == Branch::Constraint { 'C' } else { 'o' });
            let relative = |value: f64, key: &str| (value / row[key].as_f64().unwrap() - 1.0).abs();
            assert!(relative(iteration.loss, "loss_S") < 1e-4, "{run} loss at {}", iteration.iteration);
            assert!(relative(iteration.gradient_norm, "grad_norm_p") < 1e-3, "{run} norm at {}", iteration.iteration);
            for (block, (&gradient, &scale)) in
                blocks.iter().zip(iteration.scale_gradients.iter().zip(&iteration.scales))
            {
                if unstable.contains(&block.name.as_str()) {
                    continue;
                }
                if let Some(expected) = row["d_alpha"][&block.name].as_f64() {
                    let distance = (gradient - expected).abs();
                    assert!(
                        distance < 1e-2 * expected.abs().max(1.0),
                        "{run} {}: {gradient} for {expected}",
                        block.name
                    );
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
        },
    )
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
