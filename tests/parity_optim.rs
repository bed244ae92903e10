//! Ten updates of fairseq's Adam, torch's SGD and RAdam (oracle: fairseq 1.0.0a0, torch 2.1.2), and the schedules.
mod common;

use common::{batch, distance, json, reference, tensors, transformer};
use nmt::model::TranslationBatch;
use nmt::optim::{OptimizerConfig, OptimizerKind, Schedule, ScheduleConfig, ScheduleKind, clip};
use nmt::task::{Mode, Task};
use tch::{Device, Kind, Tensor};

#[test]
fn ten_updates_end_where_they_should() {
    for case in ["case_a", "case_b"] {
        let Some(folder) = reference(&format!("golden/optim/{case}")) else { return };
        let Some(sizes) = reference(&format!("golden/transformer/{case}")) else { return };
        let model = transformer(&sizes);
        let runs = json(&folder.join("runs.json"));
        let data = tensors(&folder.join("batches.safetensors"));
        for (name, kind, tolerance) in [
            ("adam", OptimizerKind::Adam, 1e-4),
            ("adam_clip", OptimizerKind::Adam, 1e-4),
            ("sgd", OptimizerKind::Sgd, 1e-6),
            ("radam", OptimizerKind::Radam, 1e-6),
        ] {
            let run = &runs[name];
            let clip_norm = run["clip_norm"].as_f64().unwrap();
            let mut theta = model.layout().load(&folder.join("state.safetensors"), "").unwrap();
            let mut optimizer = OptimizerConfig { kind, ..Default::default() }.build(&theta, model.layout());
            let rate = ScheduleConfig { learning_rate: run["lr_max"].as_f64().unwrap(), ..Default::default() };
            let schedule = Schedule::new(&rate, 10);
            for update in 0..10u64 {
                let expected = &run["updates"][update as usize];
                let batch = TranslationBatch::new(&batch(&data, &format!("batch{}.", update % 3)), Device::Cpu);
                let leaf = theta.detach().set_requires_grad(true);
                let loss = model.loss(&leaf, &batch, Mode::evaluate(Kind::Float));
                let value = loss.sum.double_value(&[]) / expected["loss_sum"].as_f64().unwrap();
                assert!((value - 1.0).abs() < 1e-4, "{case} {name}: loss at update {update}");
                let mut gradient = Tensor::run_backward(&[&loss.mean()], &[&leaf], false, false).remove(0);
                let norm = clip(&mut gradient, clip_norm) / expected["grad_norm_before_clip"].as_f64().unwrap();
                assert!((norm - 1.0).abs() < 1e-4, "{case} {name}: norm at update {update}");
                assert!((schedule.rate(update) - expected["lr"].as_f64().unwrap()).abs() < 1e-12);
                optimizer.step(&mut theta, &gradient, schedule.rate(update));
            }
            let golden = tensors(&folder.join(format!("{name}.final.safetensors")));
            for (block, part) in model.layout().blocks().iter().zip(model.layout().split(&theta)) {
                // The gradient of a key bias is rounding noise around 0, which Adam turns into whole steps.
                if !block.name.ends_with("k_proj.bias") {
                    let distance = distance(&part, &golden[&block.name]);
                    assert!(distance < tolerance, "{case} {name}: {} {distance:e}", block.name);
                }
            }
        }
    }
}

#[test]
fn schedules_are_fairseqs() {
    let Some(path) = reference("golden/optim/schedules.json") else { return };
    let golden = json(&path);
    for (name, kind) in [
        ("polynomial_decay", ScheduleKind::Linear),
        ("polynomial_decay_warmup4", ScheduleKind::Linear),
        ("inverse_sqrt", ScheduleKind::InverseSqrt),
    ] {
        let case = &golden[name];
        let number = |key: &str| case[key].as_f64().unwrap_or(0.0);
        let config = ScheduleConfig {
            kind,
            learning_rate: number("lr"),
            warmup_updates: case["warmup_updates"].as_u64().unwrap(),
            warmup_initial: number("warmup_init_lr"),
            minimum: number("end_learning_rate"),
            ..ScheduleConfig::default()
        };
        let schedule = Schedule::new(&config, case["total_num_update"].as_u64().unwrap_or(100));
        for (done, expected) in case["lr_at_num_updates"].as_array().unwrap().iter().enumerate() {
            assert!((schedule.rate(done as u64) - expected.as_f64().unwrap()).abs() < 1e-12, "{name} after {done}");
        }
    }
}
