//! Admin's multipliers of skip connections (oracle: golden/admin, made in double precision with torch 2.1.2).
mod common;

use common::{batch, json, reference, tensors, transformer};
use nmt::model::{ModelConfig, Transformer, TranslationBatch, WSkipRule};
use nmt::task::{Mode, Task};
use tch::{Device, Kind, Tensor};

/// The model of the oracle with w_skip, its parameters with multipliers of 3 (a profile must not depend on them), and its
/// batch.
fn material(folder: &std::path::Path) -> (Transformer, Tensor, TranslationBatch) {
    let plain = transformer(folder);
    let config = ModelConfig { w_skip: true, ..plain.config().clone() };
    let model =
        Transformer::new(&config, plain.source_symbols(), plain.target_symbols(), plain.label_smoothing).unwrap();
    let state = tensors(&folder.join("state.safetensors"));
    let parts: Vec<Tensor> = (model.layout().blocks().iter())
        .map(|block| match block.name.ends_with(".w_skip") {
            true => Tensor::full([block.numel()], 3.0, (Kind::Float, Device::Cpu)),
            false => state[&block.name].view([-1]),
        })
        .collect();
    let batch = TranslationBatch::new(&batch(&tensors(&folder.join("batch.safetensors")), ""), Device::Cpu);
    (model, Tensor::cat(&parts, 0), batch)
}

fn check(model: &Transformer, theta: &Tensor, rows: &serde_json::Value, key: &str) {
    let mut compared = 0;
    for (block, part) in model.layout().blocks().iter().zip(model.layout().split(theta)) {
        let Some(sub_layer) = block.name.strip_suffix(".w_skip") else { continue };
        let row = rows.as_array().unwrap().iter().find(|row| row["sublayer"] == sub_layer).unwrap();
        // The first sub-layer of a stack has an empty sum, which no multiplier can begin with.
        let expected = row[key].as_f64().filter(|&w| w > 0.0).unwrap_or(1.0);
        let (least, most) = (part.min().double_value(&[]), part.max().double_value(&[]));
        assert!((least - expected).abs() < 1e-5 && most == least, "{sub_layer}: {least} to {most} for {expected}");
        compared += 1;
    }
    assert_eq!(compared, rows.as_array().unwrap().len());
}

#[test]
fn multipliers_are_the_oracles() {
    let Some(folder) = reference("golden/transformer/case_a") else { return };
    let Some(golden) = reference("golden/admin/wskip.json") else { return };
    let golden = json(&golden);
    let (model, theta, batch) = material(&folder);

    let sequential = model.profile_w_skip(&theta, &batch, WSkipRule::Sequential);
    check(&model, &sequential, &golden["sequential_profile"], "w_skip");
    let loss = model.loss(&sequential, &batch, Mode::evaluate(Kind::Float)).sum.double_value(&[]);
    let expected = golden["loss_sum_with_profiled_w_skip"]["fp64"].as_f64().unwrap();
    assert!((loss / expected - 1.0).abs() < 1e-6, "{loss} for {expected}");

    let cumulative = model.profile_w_skip(&theta, &batch, WSkipRule::Cumulative);
    check(&model, &cumulative, &golden["vanilla"], "w_skip_literal_sum_nonpad");

    // Nothing else moved, and the given parameters are as they were.
    for (block, (before, after)) in
        model.layout().blocks().iter().zip(model.layout().split(&theta).iter().zip(model.layout().split(&sequential)))
    {
        if block.name.ends_with(".w_skip") {
            assert_eq!(before.double_value(&[0]), 3.0);
        } else {
            assert!(before.equal(&after), "{}", block.name);
        }
    }
}
