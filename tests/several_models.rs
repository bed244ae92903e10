//! Means of checkpoints, and models that translate together.
mod common;

use common::command::Lab;
use common::{batch_of_pairs, tensors};
use nmt::decode::BatchSearch;
use nmt::model::{Dropout, Transformer, TranslationBatch};
use nmt::task::Task;
use nmt::translation::ModelFolder;
use tch::{Device, Kind, Tensor};

const KEEP: &[&str] =
    &["--max-updates=20", "--set=validation.every_updates=5", "--set=training.keep_checkpoints=3", "--quiet"];

#[test]
fn the_newest_checkpoints_stay_and_are_averaged() {
    let lab = Lab::new();
    lab.preprocess().train("run", KEEP).ok();
    let names = [10, 15, 20].map(|update| format!("run/checkpoint-{update}.safetensors"));
    assert!(names.iter().all(|name| lab.path(name).exists()) && !lab.path("run/checkpoint-5.safetensors").exists());
    lab.nmt(&["average", "run", "--output", "run/all.safetensors"]).ok();
    let newest = ["average", "run", "--last=2", "--output=run/two.safetensors"];
    let written = lab.nmt(&newest);
    assert!(written.stderr.contains("the mean of 2 checkpoints: run/checkpoint-15.safetensors"), "{}", written.stderr);
    assert_eq!(written.ok(), "run/two.safetensors\n");
    lab.nmt(&newest).fails(2, &["run/two.safetensors exists already", "--overwrite"]);
    let of = |name: &str| tensors(&lab.path(name));
    let (all, parts) = (of("run/all.safetensors"), [0, 1, 2].map(|i: usize| of(&names[i])));
    assert_eq!(all.len(), parts[0].len());
    for (name, mean) in &all {
        let sum: Tensor = parts.iter().map(|part| part[name].to_kind(Kind::Double)).sum();
        let distance = (mean.to_kind(Kind::Double) - sum / 3.0).abs().max().double_value(&[]);
        assert!(distance <= 1e-7 * (1.0 + mean.abs().max().double_value(&[])), "{name}: {distance}");
    }
    assert!(!all["encoder.layers.0.fc1.weight"].equal(&parts[2]["encoder.layers.0.fc1.weight"]));
    // In the run folder it is a model; its metadata are those of one.
    lab.nmt(&["score", "--model", "run/all.safetensors", "--data", "data", "--metrics", "bleu"]).ok();

    lab.train("other", &["--max-updates=2", "--set=model.embed_dim=16"]).ok();
    lab.nmt(&["average", "run/best.safetensors", "other/best.safetensors", "--output", "x.safetensors"])
        .fails(1, &["other/best.safetensors", "shape"]);
    lab.nmt(&["average", "other", "--output", "x.safetensors"])
        .fails(1, &["checkpoints of validations", "keep_checkpoints"]);
    lab.nmt(&["average", "--output", "x.safetensors"]).fails(2, &["RUN|CHECKPOINT"]);
    assert!(!lab.path("x.safetensors").exists());
}

/// The logarithms of the probabilities of the target, `[T, V]`, in libtorch's operations.
fn log_probabilities(model: &Transformer, theta: &Tensor, batch: &TranslationBatch) -> Tensor {
    let (views, none) = (model.views(theta, Kind::Float), Dropout::off());
    let encoded = model.encode(&views, batch, &none);
    model.logits(&views, &model.decode(&views, batch, &encoded, &none)).log_softmax(-1, Kind::Float)
}

/// Oracle: the mean of the probabilities that each network gives the tokens which were found.
#[test]
fn models_translate_together_by_their_mean_probability() {
    let lab = Lab::new();
    lab.preprocess();
    for (run, seed) in [("a", "--seed=1"), ("b", "--seed=2")] {
        lab.train(run, &["--max-updates=60", seed]).ok();
    }
    let paths = ["a", "b"].map(|run| lab.path(run));
    let together = ModelFolder::open_all(&paths, Device::Cpu).unwrap();
    let alone = paths.map(|path| ModelFolder::open(&path, Device::Cpu).unwrap());
    let search = BatchSearch { search: together.config.search.clone(), max_tokens: 100, compute: Kind::Float };
    let source = together.text.encode("a d e c");
    let found = together.translator(&search).unwrap().translate(std::slice::from_ref(&source), |_| {}).unwrap();
    let best = &found[0][0];
    let batch = batch_of_pairs(&[(source, best.tokens.clone())]);
    let [a, b] = &alone.map(|model| tch::no_grad(|| log_probabilities(&model.model, &model.theta, &batch)));
    for (position, (&token, &score)) in best.tokens.iter().zip(&best.positional_scores).enumerate() {
        let of = |all: &Tensor| all.view([-1, all.size()[all.dim() - 1]]).double_value(&[position as i64, token]);
        let expected = ((of(a).exp() + of(b).exp()) / 2.0).ln();
        assert!((f64::from(score) - expected).abs() < 1e-4, "{position}: {score} for {expected}");
        assert!((of(a) - expected).abs() > 1e-4, "the networks are too alike to show anything");
    }
    assert_eq!(together.model.layout().total(), alone_total(&lab));

    let translate = |models: &[&str]| {
        let arguments = [&["translate", "--format=jsonl", "--input=test.de", "--quiet", "--model"], models].concat();
        lab.nmt(&arguments).ok()
    };
    assert_eq!(translate(&["a", "b"]), translate(&["b", "a"]));
    assert_ne!(translate(&["a", "b"]), translate(&["a"]));
    let score = lab.nmt(&["score", "--data=data", "--metrics=bleu", "--model", "a", "b"]);
    assert_eq!(score.code, 0, "{}", score.stderr);
    let reversed =
        ["preprocess", "--source-lang=en", "--target-lang=de", "--train=train", "--valid=valid", "--test=test"];
    lab.nmt(&[&reversed[..], &["--tokenizer=none", "--joined-dictionary", "--output=reversed"]].concat()).ok();
    let mut other = lab.train_arguments("c", &["--max-updates=1"]);
    other[2] = "reversed";
    lab.nmt(&other).ok();
    lab.nmt(&["translate", "--input=test.de", "--model", "a", "c"]).fails(1, &["de → en", "en → de"]);
}

fn alone_total(lab: &Lab) -> i64 {
    tensors(&lab.path("a/best.safetensors")).values().map(|tensor| tensor.numel() as i64).sum()
}
