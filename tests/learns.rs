//! A task that has to be learnt: reverse a sequence of letters and write it in capitals, without warmup: from a learnt
//! initialisation, and without layer normalisation.
mod common;

use common::command::{Lab, TINY};

/// Train without warmup and give the BLEU of the test split.
fn bleu(lab: &Lab, options: &[&str]) -> f64 {
    let rate = ["--no-warmup", "--set=schedule.learning_rate=0.01", "--max-updates=700"];
    let validation = ["--set=validation.every_updates=350", "--set=optimizer.weight_decay=0"];
    lab.train("run", &[&rate[..], &validation, options].concat()).ok();
    let score = ["score", "--model", "run", "--data", "data", "--json", "--metrics", "bleu"];
    let found: serde_json::Value = serde_json::from_str(&lab.nmt(&score).ok()).unwrap();
    found["bleu"]["score"].as_f64().unwrap()
}

#[test]
fn reversing_is_learnt_after_gradinit_without_warmup() {
    let lab = Lab::new();
    lab.preprocess();
    let mut arguments = vec!["gradinit", "--data", "data", "--optimizer", "adam", "--output", "init.safetensors"];
    arguments.extend(TINY);
    arguments.extend(["--set=gradinit.iterations=40", "--eta=0.005", "--tau=0.01", "--gamma=300"]);
    lab.nmt(&arguments).ok();
    let bleu = bleu(&lab, &["--init=init.safetensors"]);
    assert!(bleu > 60.0, "the test split was learnt to BLEU {bleu}");
}

#[test]
fn reversing_is_learnt_without_layer_normalisation() {
    for options in [
        &["--set=model.layer_norm=false", "--set=init.method=t-fixup"][..],
        &["--set=model.layer_norm=false", "--set=model.fixup=true", "--set=init.method=fixup"],
    ] {
        let lab = Lab::new();
        let bleu = bleu(lab.preprocess(), options);
        assert!(bleu > 60.0, "{options:?}: the test split was learnt to BLEU {bleu}");
    }
}
