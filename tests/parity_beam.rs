//! Beam search hypotheses and scores (oracle: fairseq 1.0.0a0 `SequenceGenerator`).
mod common;

use common::{json, reference, tensors, transformer};
use nmt::decode::{Hypothesis, SearchConfig, beam_search};
use nmt::task::Task;
use tch::{Device, Kind};

fn compare(found: &[Hypothesis], expected: &serde_json::Value, place: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{place}");
    for (found, expected) in found.iter().zip(expected) {
        let tokens: Vec<i64> = expected["tokens"].as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect();
        assert_eq!(found.tokens, tokens, "{place}");
        let score = expected["score"].as_f64().unwrap();
        assert!((found.score / score - 1.0).abs() < 1e-5, "{place}: {} for {score}", found.score);
        for (a, b) in found.positional_scores.iter().zip(expected["positional_scores"].as_array().unwrap()) {
            assert!((*a as f64 - b.as_f64().unwrap()).abs() < 5e-5, "{place}");
        }
    }
}

#[test]
fn hypotheses_are_fairseqs() {
    for case in ["case_a", "case_b"] {
        let Some(folder) = reference(&format!("golden/transformer/{case}")) else { return };
        let model = transformer(&folder);
        let theta = model.layout().load(&folder.join("state.safetensors"), "").unwrap();
        let weights = model.weights(&theta, Kind::Float);
        let batch = common::batch(&tensors(&folder.join("batch.safetensors")), "");
        for run in json(&folder.join("beam.json"))["runs"].as_array().unwrap() {
            let config = SearchConfig {
                beam: run["beam"].as_u64().unwrap() as usize,
                length_penalty: run["lenpen"].as_f64().unwrap(),
                max_length_a: run["max_len_a"].as_f64().unwrap(),
                max_length_b: run["max_len_b"].as_f64().unwrap(),
                min_length: run["min_len"].as_u64().unwrap() as usize,
                early_stopping: true,
            };
            let place = format!("{case} beam {} penalty {}", config.beam, config.length_penalty);
            // The decoder without a graph and the one in libtorch's operations.
            let ours = model.start_search(&weights, &batch.source, batch.s, Device::Cpu);
            let plain = model.start_plain_search(&weights, &batch.source, batch.s, Device::Cpu);
            for mut decoder in [ours, plain] {
                let found = beam_search(&model, decoder.as_mut(), batch.n, batch.s, &config).unwrap();
                for (i, hypotheses) in found.iter().enumerate() {
                    compare(hypotheses, &run["batched"][i], &format!("{place} batched {i}"));
                }
            }
            for (i, row) in batch.source.chunks(batch.s).enumerate() {
                let alone: Vec<i64> = row.iter().copied().filter(|&id| id != 1).collect();
                let mut decoder = model.start_search(&weights, &alone, alone.len(), Device::Cpu);
                let found = beam_search(&model, decoder.as_mut(), 1, alone.len(), &config).unwrap();
                compare(&found[0], &run["single"][i], &format!("{place} single {i}"));
            }
        }
    }
}
