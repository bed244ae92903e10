//! fairseq's checkpoints as run folders. Oracle: what fairseq 0.12.2 itself makes of the same sentences.
mod common;

use std::path::{Path, PathBuf};

use common::command::Lab;
use common::tensors;
use nmt::import::{FairseqCheckpoint, Pickle, TorchFile};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fairseq").join(name)
}

/// Import `NAME.pt` with these dictionaries into the run folder `run`.
fn import(lab: &Lab, name: &str, dictionaries: &str, run: &str) -> common::command::Ran {
    let (checkpoint, data) = (golden(&format!("{name}.pt")), golden(dictionaries));
    let [checkpoint, data] = [&checkpoint, &data].map(|path| path.to_str().unwrap());
    let languages = ["--source-lang=de", "--target-lang=en"];
    lab.nmt(&[&["import", "--checkpoint", checkpoint, "--data", data, "--output", run], &languages[..]].concat())
}

/// Tokens and scores of fairseq's, and of the run folder's translations of the same sentences; the largest difference of scores.
fn compare(lab: &Lab, run: &str, expected: &str) -> f64 {
    let expected = std::fs::read_to_string(golden(expected)).unwrap();
    let expected: Vec<Value> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let source: String = expected.iter().map(|one| format!("{}\n", one["source"].as_str().unwrap())).collect();
    let arguments = ["translate", "--model", run, "--beam=5", "--compute=fp32", "--format=jsonl"];
    let found = lab.nmt_with_input(&arguments, source.as_bytes()).ok();
    assert_eq!(found.lines().count(), expected.len());
    let mut difference: f64 = 0.0;
    for (expected, found) in expected.iter().zip(found.lines()) {
        let found: Value = serde_json::from_str(found).unwrap();
        let best = &found["translations"][0];
        let mut tokens = best["tokens"].as_array().unwrap().clone();
        assert_eq!(tokens.pop().unwrap(), "</s>");
        assert_eq!(&tokens, expected["tokens"].as_array().unwrap(), "{expected}");
        difference = difference.max((best["score"].as_f64().unwrap() - expected["score"].as_f64().unwrap()).abs());
    }
    difference
}

#[test]
fn imported_models_translate_as_in_fairseq() {
    let lab = Lab::new();
    for (name, dictionaries, expected, tolerance) in [
        ("untied", "separate", "untied", 1e-5),
        ("untied_legacy", "separate", "untied", 1e-5),
        ("pre_norm_shared", "joined", "pre_norm_shared", 1e-5),
        // fairseq computed with the rounded weights in fp32, too.
        ("half", "separate", "half", 1e-5),
    ] {
        assert_eq!(import(&lab, name, dictionaries, name).ok(), format!("{name}\n"));
        let difference = compare(&lab, name, &format!("{expected}.expected.jsonl"));
        println!("{name}: the same translations as fairseq's, scores differ by {difference:.1e} at most");
        assert!(difference < tolerance, "{name}: {difference}");
    }
    // Both forms hold the same numbers.
    common::assert_same_tensors(&lab.path("untied/best.safetensors"), &lab.path("untied_legacy/best.safetensors"));
    let config = std::fs::read_to_string(lab.path("untied/config.toml")).unwrap();
    for line in [
        "encoder_layers = 1",
        "max_positions = 64",
        "warmup_updates = 100",
        "kind = \"inverse-sqrt\"",
        "clip_norm = 1.0",
    ] {
        assert!(config.contains(&format!("\n{line}\n")), "no {line} in {config}");
    }
    import(&lab, "untied", "separate", "untied").fails(2, &["untied exists already", "--output"]);
}

#[test]
fn training_goes_on_with_what_adam_remembers() {
    let lab = Lab::new();
    let note = import(&lab, "untied", "separate", "run");
    assert!(note.stderr.contains("Adam's memory of 568 updates"), "{}", note.stderr);
    note.ok();
    // Data with fairseq's dictionaries.
    let dictionaries = [golden("separate/dict.de.txt"), golden("separate/dict.en.txt")];
    let [source, target] = dictionaries.each_ref().map(|path| path.to_str().unwrap());
    let preprocess =
        ["preprocess", "--source-lang=de", "--target-lang=en", "--train=train", "--valid=valid", "--test=test"];
    let given = ["--tokenizer=none", "--source-dictionary", source, "--target-dictionary", target, "--output=data"];
    lab.nmt(&[&preprocess[..], &given].concat()).ok();
    let moments = tensors(&lab.path("run/last.safetensors"));
    let second = &moments["optimizer.v.encoder.layers.0.self_attn.q_proj.weight"];
    assert!(second.min().double_value(&[]) >= 0.0 && second.max().double_value(&[]) > 0.0);
    let resume = [
        "train",
        "--data=data",
        "--output=run",
        "--resume",
        "--threads=1",
        "--max-updates=590",
        "--set=training.log_every=10",
    ];
    lab.nmt(&resume).ok();
    let events = lab.events("run");
    let first = events.iter().find(|event| event["event"] == "update").unwrap();
    assert_eq!(first["update"], 570);
    // From the start it would be 4 bits; a wrong optimiser's memory throws it off at once.
    let loss = first["nll_loss"].as_f64().unwrap();
    assert!(loss < 0.6, "{loss}");
    // Weights without a memory of Adam's are a start.
    import(&lab, "half", "separate", "half").ok();
    assert!(!lab.path("half/last.safetensors").exists());
    let sizes = [
        "model.embed_dim=32",
        "model.ffn_dim=64",
        "model.attention_heads=2",
        "model.encoder_layers=2",
        "model.decoder_layers=2",
    ];
    let mut train =
        vec!["train", "--data=data", "--output=more", "--init=half/best.safetensors", "--max-updates=3", "--threads=1"];
    let sizes = sizes.map(|size| format!("--set={size}"));
    train.extend(sizes.iter().map(String::as_str));
    lab.nmt(&train).ok();
}

#[test]
fn what_cannot_be_imported_is_named() {
    let lab = Lab::new();
    let import_file = |file: &Path, data: &Path, further: &[&str]| {
        let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
        lab.nmt(&[&["import", "--checkpoint", file, "--data", data, "--output=x"], further].concat())
    };
    let languages = ["--source-lang=de", "--target-lang=en"];
    let (untied, separate) = (golden("untied.pt"), golden("separate"));
    import_file(&untied, &separate, &[]).fails(2, &["tell the languages", "--source-lang"]);
    import_file(&untied, &golden("joined"), &languages)
        .fails(1, &["untied.pt", "shape", "other model sizes, dictionaries or classes"]);
    import_file(&golden("none.pt"), &separate, &languages).fails(1, &["none.pt"]);
    import_file(&golden("README.md"), &separate, &languages).fails(1, &["README.md: expected a file of torch.save"]);
    // A tensor of a network that is not here: of another name in the first text that has it.
    let (mut bytes, name) = (std::fs::read(golden("half.pt")).unwrap(), b"encoder.layers.0.fc1.weight");
    let at = bytes.windows(name.len()).position(|window| window == name).unwrap();
    bytes[at + 19] = b'x';
    std::fs::write(lab.path("other.pt"), bytes).unwrap();
    import_file(&lab.path("other.pt"), &separate, &languages)
        .fails(1, &["`encoder.layers.0.fcx.weight`, which is none"]);
    // A pickle that is no checkpoint, and one that names what would be executed.
    for (name, bytes, part) in [
        ("list.pt", &b"\x80\x02]q\x00."[..], "expected a file of torch.save"),
        ("system.pt", b"cposix\nsystem\n(S'touch executed'\ntR.", "expected a file of torch.save"),
    ] {
        std::fs::write(lab.path(name), bytes).unwrap();
        import_file(&lab.path(name), &separate, &languages).fails(1, &[name, part]);
    }
    assert!(!lab.path("executed").exists());
    // Cut off, at several places.
    for file in ["untied.pt", "untied_legacy.pt"] {
        let whole = std::fs::read(golden(file)).unwrap();
        for part in [10, whole.len() / 3, whole.len() - 100] {
            std::fs::write(lab.path("cut.pt"), &whole[..part]).unwrap();
            import_file(&lab.path("cut.pt"), &separate, &languages)
                .fails(1, &["cut.pt: expected a file of torch.save"]);
        }
    }
    assert!(!lab.path("x").exists());
}

#[test]
fn tensors_that_reach_beyond_their_storage_are_refused() {
    let lab = Lab::new();
    let whole = std::fs::read(golden("untied_legacy.pt")).unwrap();
    let file = TorchFile::open(&golden("untied_legacy.pt")).unwrap();
    assert!(Pickle::read(&whole).is_ok());
    let find = |file: &TorchFile| -> Vec<nmt::Result<Option<tch::Tensor>>> {
        (0..file.pickle.len()).map(|id| file.tensor(id)).collect()
    };
    let tensors = find(&file);
    let count = tensors.iter().filter(|tensor| matches!(tensor, Ok(Some(_)))).count();
    assert!(count > 50 && tensors.iter().all(Result::is_ok), "{count}");
    // `K\x20` is 32, a size that most tensors here have: a larger one has no numbers.
    let mut bytes = whole;
    let mut changed = 0;
    for at in 0..bytes.len() / 4 {
        if bytes[at..].starts_with(b"K\x20K\x20\x86") {
            bytes[at + 1] = 0xff;
            changed += 1;
        }
    }
    assert!(changed > 0);
    std::fs::write(lab.path("changed.pt"), bytes).unwrap();
    let changed = find(&TorchFile::open(&lab.path("changed.pt")).unwrap());
    let refused: Vec<String> = changed.into_iter().filter_map(|found| Some(found.err()?.to_string())).collect();
    assert!(!refused.is_empty() && refused.iter().all(|error| error.contains("beyond its storage")), "{refused:?}");
}

/// The configuration of Hydra, whose groups are one in the other, as dicts and as objects of OmegaConf.
#[test]
fn nested_settings_are_read() {
    for name in ["nested.pt", "omegaconf.pt"] {
        let checkpoint = FairseqCheckpoint::open(&golden(name)).unwrap();
        assert_eq!(checkpoint.languages(), [Some("de"), Some("en")], "{name}");
        let config = checkpoint.config().unwrap();
        let model = &config.model;
        assert_eq!((model.embed_dim, model.ffn_dim, model.attention_heads), (48, 96, 4), "{name}");
        assert_eq!((model.encoder_layers, model.decoder_layers, model.pre_norm), (3, 2, true), "{name}");
        assert_eq!((model.dropout, model.share_all_embeddings), (0.25, true), "{name}");
        assert_eq!((config.optimizer.beta2, config.optimizer.weight_decay), (0.98, 1e-4), "{name}");
        assert_eq!((config.schedule.learning_rate, config.schedule.warmup_updates), (5e-4, 4000), "{name}");
        let training = &config.training;
        assert_eq!(
            (training.max_updates, training.update_frequency, training.max_tokens),
            (100_000, 4, 4096),
            "{name}"
        );
        assert_eq!(training.label_smoothing, 0.1, "{name}");
    }
}
