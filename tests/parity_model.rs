//! Encoder output, logits, loss and gradients of fairseq (oracle: fairseq 1.0.0a0, torch 2.1.2, CPU).
mod common;

use common::{batch, distance, json, reference, tensors, transformer};
use nmt::model::{Dropout, TranslationBatch};
use nmt::task::{Mode, Task};
use tch::{Device, Kind, Tensor};

#[test]
fn forward_loss_and_gradients_are_fairseqs() {
    for case in ["case_a", "case_b"] {
        let Some(folder) = reference(&format!("golden/transformer/{case}")) else { return };
        let model = transformer(&folder);
        let theta = model.layout().load(&folder.join("state.safetensors"), "").unwrap();
        let data = batch(&tensors(&folder.join("batch.safetensors")), "");
        let batch = TranslationBatch::new(&data, Device::Cpu);
        let golden = tensors(&folder.join("forward.safetensors"));
        let scalars = json(&folder.join("scalars.json"));

        let views = model.views(&theta, Kind::Float);
        let none = &Dropout::off();
        let encoded = model.encode(&views, &batch, none);
        assert!(distance(&encoded.output, &golden["encoder_out"]) < 1e-5, "{case}: encoder output");
        let logits = model.logits(&views, &model.decode(&views, &batch, &encoded, none));
        // Rows at padding are not part of any loss; fairseq's also depend on how it masks them.
        let rows: Vec<i64> = (0..data.target.len()).filter(|&i| data.target[i] != 1).map(|i| i as i64).collect();
        let rows = Tensor::from_slice(&rows);
        let expected = golden["logits"].view([-1, model.target_symbols()]).index_select(0, &rows);
        assert!(distance(&logits.index_select(0, &rows), &expected) < 1e-5, "{case}: logits");

        for second_order in [false, true] {
            let theta = theta.detach().set_requires_grad(true);
            let mode = Mode { second_order, ..Mode::initialise() };
            let loss = model.loss(&theta, &batch, mode);
            let expected = scalars["fp32"]["loss_sum"].as_f64().unwrap();
            let nll = scalars["fp32"]["nll_loss_sum"].as_f64().unwrap();
            assert_eq!(loss.count, scalars["fp32"]["ntokens"].as_i64().unwrap());
            assert!((loss.sum.double_value(&[]) / expected - 1.0).abs() < 1e-6, "{case}: loss {second_order}");
            assert!((loss.nll.double_value(&[]) / nll - 1.0).abs() < 1e-6, "{case}: nll {second_order}");
            // The training pass without a graph where the graph need not be differentiated again.
            let (again, gradient) = model.gradient(&theta, &batch, mode);
            assert!((again.sum.double_value(&[]) / expected - 1.0).abs() < 1e-6, "{case}: loss {second_order}");
            assert!((again.nll.double_value(&[]) / nll - 1.0).abs() < 1e-6, "{case}: nll {second_order}");
            let by_graph = Tensor::run_backward(&[&loss.sum], &[&theta], false, false).remove(0);
            let golden = tensors(&folder.join("grads.safetensors"));
            let blocks = model.layout().blocks();
            assert_eq!(golden.len(), blocks.len());
            for gradient in [by_graph, gradient] {
                for (block, part) in blocks.iter().zip(model.layout().split(&gradient)) {
                    let distance = distance(&part, &golden[&block.name]);
                    let size = golden[&block.name].abs().max().double_value(&[]);
                    assert!(
                        distance < 1e-5 * size.max(1.0) + 2e-5,
                        "{case}: gradient of {}: {distance:e} of {size}",
                        block.name
                    );
                }
            }
        }
    }
}

/// Oracle: the same with Admin's w_skip (README of golden/admin).
#[test]
fn w_skip_scales_the_skip_connections() {
    let Some(folder) = reference("golden/transformer/case_a") else { return };
    let Some(golden) = reference("golden/admin/forward_wskip.safetensors") else { return };
    let golden = tensors(&golden);
    let plain = transformer(&folder);
    let config = nmt::model::ModelConfig { w_skip: true, ..plain.config().clone() };
    let model =
        nmt::model::Transformer::new(&config, plain.source_symbols(), plain.target_symbols(), plain.label_smoothing)
            .unwrap();
    let state = tensors(&folder.join("state.safetensors"));
    let parts: Vec<Tensor> = model
        .layout()
        .blocks()
        .iter()
        .map(|block| match block.name.strip_suffix(".w_skip") {
            Some(name) => golden[&format!("w_skip.{name}")].expand([16], false).to_kind(Kind::Float),
            None => state[&block.name].view([-1]),
        })
        .collect();
    let theta = Tensor::cat(&parts, 0).set_requires_grad(true);
    let batch = TranslationBatch::new(&batch(&tensors(&folder.join("batch.safetensors")), ""), Device::Cpu);
    let loss = model.loss(&theta, &batch, Mode::evaluate(Kind::Float));
    let gradient = &Tensor::run_backward(&[&loss.sum], &[&theta], false, false)[0];
    let mut compared = 0;
    for (block, part) in model.layout().blocks().iter().zip(model.layout().split(gradient)) {
        let name = match block.name.strip_suffix(".w_skip") {
            Some(name) => format!("grad.w_skip.{name}"),
            None => format!("grad.{}", block.name),
        };
        if let Some(expected) = golden.get(&name) {
            assert!(distance(&part, expected) < 1e-4, "{name}");
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}
