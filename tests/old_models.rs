//! Models that earlier versions wrote translate as they did then.
mod common;

use std::path::Path;

use common::command::Lab;
use serde_json::Value;

/// `tests/models/format-N/`: a run folder of the format N with what it made of `source.txt`
/// (`nmt translate --format jsonl --n-best 2`). When the format changes, a folder is added and none is taken away.
#[test]
fn models_of_every_format_translate_as_they_did() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models");
    let mut models = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let model = entry.unwrap().path();
        let lab = Lab::new();
        let (model_path, source) = (model.display().to_string(), model.join("source.txt").display().to_string());
        let arguments = ["--threads=1", "translate", "--model", &model_path, "--input", &source];
        let found = lab.nmt(&[&arguments[..], &["--format=jsonl", "--n-best=2"]].concat()).ok();
        let expected = std::fs::read_to_string(model.join("expected.jsonl")).unwrap();
        assert_eq!(found.lines().count(), expected.lines().count());
        for (found, expected) in found.lines().zip(expected.lines()) {
            let parse = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
            let (found, expected) = (parse(found), parse(expected));
            assert_eq!(found["source"], expected["source"]);
            let pairs = |value: &Value| value["translations"].as_array().unwrap().clone();
            // Processors round differently.
            for (found, expected) in pairs(&found).iter().zip(&pairs(&expected)) {
                assert_eq!((&found["text"], &found["tokens"]), (&expected["text"], &expected["tokens"]));
                let of = |value: &Value| value["score"].as_f64().unwrap();
                assert!((of(found) - of(expected)).abs() < 1e-4, "{found} for {expected}");
            }
        }
        models += 1;
    }
    assert_eq!(models, 1);
}

/// A file of a format that is not known yet says so, instead of being misread.
#[test]
fn a_newer_format_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/format-1");
    std::fs::create_dir(lab.path("model")).unwrap();
    for entry in std::fs::read_dir(&model).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), lab.path("model").join(entry.file_name())).unwrap();
    }
    let path = lab.path("model/best.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let (key, other) = (br#"\"nmt_format\":\"1\""#, br#"\"nmt_format\":\"9\""#);
    let at = bytes.windows(key.len()).position(|part| part == key).unwrap();
    let mut changed = bytes.clone();
    changed[at..at + other.len()].copy_from_slice(other);
    // The checksum is left out, as docs/formats.md tells programs that change a checkpoint.
    let crc = br#"\"crc32\":"#;
    let at = changed.windows(crc.len()).position(|part| part == crc).unwrap();
    changed[at + 2] = b'x';
    std::fs::write(&path, changed).unwrap();
    lab.nmt(&["translate", "--model", "model", "--input", "train.de"])
        .fails(1, &["expected a checkpoint of format 1 or lower, found format 9", "update this one"]);
}
