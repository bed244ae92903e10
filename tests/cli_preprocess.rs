//! `nmt preprocess` and `nmt data show` from the outside: what is printed where, and the exit code.
//! Expected values are worked out by hand from the small texts below.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn nmt(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nmt")).current_dir(dir).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A folder with `train`, `dev` and `t` in German and English.
fn corpus() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("train.de", "Ein Haus.\nEin Baum, ein Haus!\n");
    write("train.en", "A house.\nA tree, a house!\n");
    write("dev.de", "Ein Baum.\n");
    write("dev.en", "It's a tree.\n");
    write("t.de", "Haus\n");
    write("t.en", "house\n");
    folder
}

const LANGUAGES: [&str; 4] = ["--source-lang", "de", "--target-lang", "en"];

fn preprocess(dir: &Path, arguments: &[&str]) -> Output {
    nmt(dir, &[&["preprocess"], LANGUAGES.as_slice(), arguments].concat())
}

#[test]
fn the_table_is_the_result() {
    let folder = corpus();
    let all = ["--train", "train", "--valid", "dev", "--lowercase", "--output", "data"];
    let tests = ["--test", "t", "--test", "late=t", "--test", "dev", "--test", "t"];
    let output = preprocess(folder.path(), &[all.as_slice(), &tests].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let table: Vec<Vec<&str>> = stdout(&output).lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        "split lang read kept empty short long ratio tokens unknown %",
        "train de 2 2 0 0 0 0 11 0 0.000",
        "train en 2 2 0 0 0 0 11 0 0.000",
        "valid de 1 1 0 0 0 0 4 0 0.000",
        // "it &apos;s a tree ." and </s>: two words were not seen.
        "valid en 1 1 0 0 0 0 6 2 33.333",
        "test de 1 1 0 0 0 0 2 0 0.000",
        "test en 1 1 0 0 0 0 2 0 0.000",
        "late de 1 1 0 0 0 0 2 0 0.000",
        "late en 1 1 0 0 0 0 2 0 0.000",
        "test1 de 1 1 0 0 0 0 4 0 0.000",
        "test1 en 1 1 0 0 0 0 6 2 33.333",
        "test2 de 1 1 0 0 0 0 2 0 0.000",
        "test2 en 1 1 0 0 0 0 2 0 0.000",
        // ein haus baum . , ! and four specials, filled up to a multiple of 8.
        "dictionary de: 16 entries",
        "dictionary en: 16 entries",
    ];
    assert_eq!(table, expected.map(|line| line.split_whitespace().collect::<Vec<_>>()));

    let show = |arguments: &[&str]| {
        let output = nmt(folder.path(), &[&["data", "show", "--data", "data"], arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output).to_string()
    };
    assert_eq!(show(&["--split", "train", "--lang", "de"]), "ein haus .\nein baum , ein haus !\n");
    assert_eq!(show(&["--split", "valid", "--lang", "en"]), "<unk> <unk> a tree .\n");
    // By falling count, then by code point: ein 3, haus 2, ! 1, "," 1, . 1, baum 1.
    assert_eq!(show(&["--split", "train", "--lang", "de", "--ids"]), "4 5 8 2\n4 9 7 4 5 6 2\n");
}

#[test]
fn pieces_are_shown_as_stored_or_joined() {
    let folder = corpus();
    let learn = ["--train", "train", "--bpe-merges", "3", "--joined-dictionary", "--output", "data"];
    let output = preprocess(folder.path(), &learn);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("byte-pair encoding: 3 merges"), "{}", stdout(&output));
    let show = ["data", "show", "--data", "data", "--split", "train", "--lang", "en"];
    // Seen three times: "i n</w>" and "a u", the last by code point first. Seen twice: of eight pairs "u s" is the last.
    assert_eq!(stdout(&nmt(folder.path(), &show)), "A h@@ o@@ us@@ e .\nA t@@ r@@ e@@ e , a h@@ o@@ us@@ e !\n");
    let joined = nmt(folder.path(), &[show.as_slice(), &["--remove-bpe"]].concat());
    assert_eq!(stdout(&joined), "A house .\nA tree , a house !\n");

    // Every merge left out, twice.
    let dropout = ["--bpe-dropout", "1", "--bpe-dropout-copies", "2", "--seed", "3", "--overwrite"];
    let output = preprocess(folder.path(), &[&learn, &dropout[..]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let line = "BPE-dropout: probability 1, seed 3, 2 copies of the training text\n";
    assert!(stdout(&output).contains(line), "{}", stdout(&output));
    let characters = "A h@@ o@@ u@@ s@@ e .\nA t@@ r@@ e@@ e , a h@@ o@@ u@@ s@@ e !\n";
    assert_eq!(stdout(&nmt(folder.path(), &show)), characters.repeat(2));
}

#[test]
fn a_reader_that_stops_is_no_failure() {
    let folder = corpus();
    let many = "ein haus\n".repeat(100_000);
    fs::write(folder.path().join("many.de"), &many).unwrap();
    fs::write(folder.path().join("many.en"), &many).unwrap();
    let output = preprocess(folder.path(), &["--train", "many", "--tokenizer", "none", "--output", "data"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut show = Command::new(env!("CARGO_BIN_EXE_nmt"))
        .current_dir(folder.path())
        .args(["data", "show", "--data", "data", "--split", "train", "--lang", "de"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(show.stdout.take());
    let output = show.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn failures_have_a_code_and_say_what_to_do() {
    let folder = corpus();
    let dir = folder.path();
    fs::write(dir.join("file"), "").unwrap();
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let output = preprocess(dir, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    };
    refused(&["--train", "nowhere", "--output", "data"], 1, "nowhere.de.gz");
    refused(&["--train", "train"], 2, "--output");
    refused(&["--train", "train", "--output", "data", "--tokenizer", "perl"], 2, "moses");
    refused(&["--train", "train", "--output", "data", "--max-ratio", "0.5"], 2, "1.5");
    refused(&["--train", "train", "--output", "data", "--bpe", "x", "--bpe-merges", "3"], 2, "cannot be used with");
    refused(&["--train", "train", "--output", "data", "--bpe", "nowhere.json"], 1, "nowhere.json");
    refused(&["--train", "train", "--output", "data", "--bpe-dropout", "0.1"], 2, "--bpe-merges N");
    refused(&["--train", "train", "--output", "data", "--bpe-merges", "3", "--bpe-dropout", "2"], 2, "from 0 to 1");
    refused(&["--train", "train", "--output", "data", "--bpe-merges", "3", "--seed", "2"], 2, "--bpe-dropout");
    refused(&["--train", "train", "--output", "data", "--source-dictionary", "nowhere.txt"], 1, "nowhere.txt");
    refused(&["--train", "train", "--output", "data", "--test", "=t"], 2, "--test NAME=PREFIX");
    refused(&["--train", "train", "--output", "file"], 1, "file");
    refused(&["--train", "train", "--output", "file/data"], 1, "file");
    refused(&["--train", "train", "--output", "."], 2, "no part of a dataset");
    assert!(!dir.join("data").exists());

    let made = preprocess(dir, &["--train", "train", "--output", "data", "--quiet"]);
    assert!(made.status.success() && made.stderr.is_empty(), "{}", stderr(&made));
    let shown = |arguments: &[&str], code: i32, expected: &str| {
        let output = nmt(dir, &[&["data", "show"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    shown(&["--data", "data", "--split", "valid", "--lang", "de"], 2, "it has train");
    shown(&["--data", "data", "--split", "train", "--lang", "fr"], 2, "it has de, en");
    shown(&["--data", "nowhere", "--split", "train", "--lang", "de"], 1, "nowhere");
    fs::write(dir.join("data/train.de-en.de.bin"), "odd").unwrap();
    shown(&["--data", "data", "--split", "train", "--lang", "de"], 1, "train.de-en.de.bin");
}
