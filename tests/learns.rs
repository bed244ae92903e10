//! A task that has to be learnt: reverse a sequence of letters and write it in capitals, from a learnt initialisation,
//! without warmup.
mod common;

use common::command::{Lab, TINY};

#[test]
fn reversing_is_learnt_after_gradinit_without_warmup() {
    let lab = Lab::new();
    lab.preprocess();
    let mut arguments = vec!["gradinit", "--data", "data", "--optimizer", "adam", "--output", "init.safetensors"];
    arguments.extend(TINY);
    arguments.extend(["--set=gradinit.iterations=40", "--eta=0.005", "--tau=0.01", "--gamma=300"]);
    lab.nmt(&arguments).ok();
    let rate = ["--init=init.safetensors", "--no-warmup", "--set=schedule.learning_rate=0.01", "--max-updates=700"];
    lab.train("run", &[&rate[..], &["--set=validation.every_updates=350", "--set=optimizer.weight_decay=0"]].concat())
        .ok();
    let score = ["score", "--model", "run", "--data", "data", "--json", "--metrics", "bleu"];
    let found: serde_json::Value = serde_json::from_str(&lab.nmt(&score).ok()).unwrap();
    let bleu = found["bleu"]["score"].as_f64().unwrap();
    assert!(bleu > 60.0, "the test split was learnt to BLEU {bleu}");
}
