//! Input that is wrong: named, with what to do, exit code 1 for failure and 2 for wrong use, and nothing is lost.
mod common;

use std::path::Path;

use common::command::{Lab, flip_byte};

const PREPROCESS: &[&str] = &["preprocess", "--source-lang", "de", "--target-lang", "en", "--tokenizer", "none"];

fn preprocess(lab: &Lab, further: &[&str]) -> common::command::Ran {
    lab.nmt(&[PREPROCESS, further, &["--output", "out"]].concat())
}

#[test]
fn text_that_is_wrong() {
    let lab = Lab::new();
    preprocess(&lab, &["--train", "nowhere"]).fails(1, &["nowhere.de", "nowhere.de.gz"]);
    std::fs::write(lab.path("empty.de"), "").unwrap();
    std::fs::write(lab.path("empty.en"), "").unwrap();
    preprocess(&lab, &["--train", "empty"]).fails(1, &["empty.de"]);
    std::fs::write(lab.path("unequal.de"), "a\nb\nc\n").unwrap();
    std::fs::write(lab.path("unequal.en"), "a\nb\n").unwrap();
    preprocess(&lab, &["--train", "unequal"]).fails(1, &["unequal", "3", "2"]);
    std::fs::write(lab.path("bytes.de"), b"a\n\xff\xfe\n").unwrap();
    std::fs::write(lab.path("bytes.en"), "a\nb\n").unwrap();
    preprocess(&lab, &["--train", "bytes"]).fails(1, &["bytes.de:2", "UTF-8"]);
    std::fs::write(lab.path("zipped.de.gz"), b"\x1f\x8b\x08 not a gzip file").unwrap();
    std::fs::write(lab.path("zipped.en"), "a\n").unwrap();
    preprocess(&lab, &["--train", "zipped"]).fails(1, &["zipped.de.gz"]);
    assert!(!lab.path("out").exists(), "nothing is left behind");
    let names: Vec<String> = std::fs::read_dir(lab.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.contains("tmp") && !name.starts_with('.')), "{names:?}");
}

#[test]
fn data_that_are_damaged() {
    let lab = Lab::new();
    lab.preprocess();
    let idx = lab.path("data/train.de-en.de.idx");
    let bin = lab.path("data/train.de-en.en.bin");
    let (index, ids) = (std::fs::read(&idx).unwrap(), std::fs::read(&bin).unwrap());
    flip_byte(&idx, 0);
    lab.train("run", &[]).fails(1, &["train.de-en.de.idx", "magic", "preprocess"]);
    std::fs::write(&idx, &index[..index.len() / 2]).unwrap();
    lab.train("run", &[]).fails(1, &["train.de-en.de.idx"]);
    std::fs::write(&idx, &index).unwrap();
    std::fs::write(&bin, &ids[..ids.len() - 2]).unwrap();
    lab.train("run", &[]).fails(1, &["train.de-en.en.bin"]);
    std::fs::write(&bin, &ids).unwrap();
    std::fs::write(lab.path("data/dict.en.txt"), "A 1\n").unwrap();
    lab.train("run", &[]).fails(1, &["dict.en.txt", "id"]);
    std::fs::remove_file(lab.path("data/dict.en.txt")).unwrap();
    lab.train("run", &[]).fails(1, &["dict.en.txt", "check the path"]);
    lab.nmt(&["train", "--data", "nowhere", "--output", "run"]).fails(1, &["nowhere"]);
    assert!(!lab.path("run").exists(), "nothing is left behind");
}

#[test]
fn checkpoints_that_are_damaged_or_of_another_model() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=2"]).ok();
    let best = lab.path("run/best.safetensors");
    let whole = std::fs::read(&best).unwrap();
    let translate = || lab.nmt_with_input(&["translate", "--model", "run"], b"a b\n");
    for (bytes, what) in
        [(&whole[..whole.len() - 5], "cut"), (&whole[..7], "header"), (&b"not a checkpoint"[..], "other")]
    {
        std::fs::write(&best, bytes).unwrap();
        eprintln!("{what}");
        translate().fails(1, &["best.safetensors", "safetensors file", "truncated or altered"]);
    }
    std::fs::write(&best, &whole).unwrap();
    translate().ok();

    // Weights of other sizes, and of other dictionaries.
    let other = ["--init", "run/best.safetensors", "--set", "model.embed_dim=64"];
    lab.train("wider", &other).fails(1, &["best.safetensors", "shape"]);
    let letters = std::fs::read_to_string(lab.path("data/dict.de.txt")).unwrap();
    let mut lines: Vec<&str> = letters.lines().collect();
    lines.swap(0, 1);
    for lang in ["de", "en"] {
        std::fs::write(lab.path(&format!("data/dict.{lang}.txt")), lines.join("\n") + "\n").unwrap();
    }
    lab.train("b", &[]).fails(1, &["data/dict.de.txt: expected the dictionary that preprocess.json"]);
    // Data that say nothing of their dictionaries, as fairseq's.
    std::fs::remove_file(lab.path("data/preprocess.json")).unwrap();
    lab.train("b", &["--init", "run/best.safetensors"])
        .fails(1, &["source dictionary is ", "give the data that it was trained on"]);
    let resume = ["train", "--data", "data", "--output", "run", "--resume", "--max-updates", "4"];
    lab.nmt(&resume).fails(1, &["last.safetensors", "dictionary is "]);
    lab.nmt(&["score", "--model", "run", "--data", "data"]).fails(1, &["data/dict.de.txt", "another one"]);
    std::fs::remove_file(lab.path("run/dict.de.txt")).unwrap();
    translate().fails(1, &["run/dict.de.txt", "check the path"]);
    lab.nmt_with_input(&["translate", "--model", "nowhere"], b"").fails(1, &["nowhere", "no such folder"]);
}

#[test]
fn settings_that_are_wrong() {
    let lab = Lab::new();
    lab.preprocess();
    lab.train("run", &["--set", "training.max_update=3"]).fails(2, &["training.max_update", "`training.max_updates`"]);
    std::fs::write(lab.path("my.toml"), "[trainin]\n").unwrap();
    lab.train("run", &["--config", "my.toml"]).fails(2, &["my.toml:1", "`training`"]);
    lab.train("run", &["--config", "no.toml"]).fails(1, &["no.toml"]);
    lab.train("run", &["--set", "model.embed_dim=33"]).fails(2, &["model.embed_dim", "33"]);
    lab.train("run", &["--set", "validation.split=dev"]).fails(2, &["dev", "test, train, valid"]);
    lab.train("run", &["--set", "gradinit.batch_size=8"]).fails(2, &["counts pictures", "gradinit.max_tokens"]);
    lab.train("run", &["--set", "model.share_all_embeddings=maybe"]).fails(2, &["share_all_embeddings=maybe"]);
}

#[test]
fn sentences_that_are_too_long() {
    let lab = Lab::new();
    lab.preprocess();
    lab.train("run", &["--max-tokens", "5"]).fails(1, &["at most 5 tokens", "--max-tokens"]);
    let skip = ["--max-tokens", "5", "--set", "training.skip_too_long=true", "--max-updates", "2"];
    let ran = lab.train("skipped", &skip);
    assert!(ran.stderr.contains("are too long and left out"), "{}", ran.stderr);
    ran.ok();
    lab.train("short", &["--max-updates", "2", "--set", "model.max_positions=8"]).ok();
    let long = "a ".repeat(20) + "\n";
    let ran = lab.nmt_with_input(&["translate", "--model", "short"], ("a\n".to_string() + &long).as_bytes());
    assert_eq!(ran.stdout.lines().count(), 1, "what comes before it is translated");
    ran.fails(1, &["standard input:2", "at most 8"]);
    lab.nmt_with_input(&["translate", "--model", "short"], long.as_bytes())
        .fails(1, &["standard input:1", "at most 8"]);
    lab.nmt_with_input(&["translate", "--model", "short"], b"a\n\xff\n").fails(1, &["standard input:2", "UTF-8"]);
}

#[test]
fn a_loss_that_is_no_number_names_update_and_block() {
    let lab = Lab::new();
    lab.preprocess();
    let wild = ["--set", "schedule.learning_rate=1e30", "--max-updates", "20"];
    lab.train("run", &wild).fails(1, &["at update 2", "first bad block: ", "lower schedule.learning_rate"]);
}

/// A full disk is played by the kernel's own: writing to it fails with ENOSPC. Running as root, a read-only folder
/// would not be one, so that a file stands in the folder's place.
#[test]
fn output_that_cannot_be_written() {
    let lab = Lab::new();
    lab.preprocess();
    std::fs::write(lab.path("file"), "").unwrap();
    lab.train("file/run", &["--max-updates", "1"]).fails(1, &["file/run"]);
    lab.train("file", &["--max-updates", "1"]).fails(2, &["--output file: expected a folder"]);
    if Path::new("/dev/full").exists() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = lab.command(&["config"]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("cannot write") && message.contains("free some space"), "{message}");
    }
}
