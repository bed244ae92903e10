//! The scripts of `data-prep/` that split a corpus: what they write, what they refuse. Expected values are worked out by
//! hand, sums by `sha2`.
mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use common::command::Lab;
use common::pictures::write_cifar;
use common::reference;
use flate2::{Compression, write::GzEncoder};
use nmt::vision::pictures::{PictureOptions, Pictures, Split};
use sha2::{Digest, Sha256};

const LANGUAGES: [&str; 4] = ["--source-lang", "de", "--target-lang", "en"];
const TEXTS: [&str; 6] = ["train.de", "train.en", "valid.de", "valid.en", "test.de", "test.en"];

/// The training corpus of a [`Lab`] as `corpus.tsv`: target, source, and where it comes from. Its lines.
fn tsv(lab: &Lab) -> Vec<String> {
    let side = |lang: &str| fs::read_to_string(lab.path(&format!("train.{lang}"))).unwrap();
    let (source, target) = (side("de"), side("en"));
    let pairs = target.lines().zip(source.lines());
    let lines: Vec<String> = pairs.map(|(target, source)| format!("{target}\t{source}\tCC BY\n")).collect();
    fs::write(lab.path("corpus.tsv"), lines.concat()).unwrap();
    lines
}

fn texts(folder: &Path) -> [String; 6] {
    TEXTS.map(|name| fs::read_to_string(folder.join(name)).unwrap())
}

/// The SHA-256 of a sentence modulo `n`, byte by byte.
fn modulo(sentence: &str, n: u32) -> u32 {
    Sha256::digest(sentence).iter().fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % n)
}

fn sum(path: &Path) -> String {
    format!("{:x}", Sha256::digest(fs::read(path).unwrap()))
}

#[test]
fn the_split_follows_from_the_sentences() {
    let lab = Lab::new();
    let mut lines = tsv(&lab);
    let split = ["--columns", "2,1", "--every", "10"];
    let ran = lab.data_prep("tsv.sh", &[&["corpus.tsv", "a"], &LANGUAGES[..], &split].concat(), &[]);
    assert!(ran.stderr.contains("pairs: train "), "{}", ran.stderr);
    ran.ok();
    let first = texts(&lab.path("a.text"));
    let lengths = first.each_ref().map(|text| text.lines().count());
    assert_eq!((lengths[0], lengths[2], lengths[4]), (lengths[1], lengths[3], lengths[5]));
    // 40 of 400 expected, and at most six standard deviations from it.
    assert!([lengths[2], lengths[4]].into_iter().all(|n| (4..=76).contains(&n)), "{lengths:?}");
    assert!(first[5].lines().all(|target| modulo(target, 10) == 0));
    assert!(first[3].lines().all(|target| modulo(target, 10) == 1));
    assert!(first[1].lines().all(|target| modulo(target, 10) > 1));
    // No sentence of one text is in another.
    for (a, b) in [(0, 2), (0, 4), (2, 4), (1, 3), (1, 5), (3, 5)] {
        let set = |text: &'_ str| text.lines().map(str::to_string).collect::<BTreeSet<_>>();
        assert!(set(&first[a]).is_disjoint(&set(&first[b])), "{} and {}", TEXTS[a], TEXTS[b]);
    }
    for (split, text) in [("train", &first[0]), ("valid", &first[2]), ("test", &first[4])] {
        let shown = lab.nmt(&["data", "show", "--data", "a", "--split", split, "--lang", "de"]).ok();
        assert_eq!(shown.lines().count(), text.lines().count(), "{split}");
    }

    // In another order, and as two compressed files: the same pairs in the same texts.
    lines.reverse();
    let pack = |name: &str, column: usize| {
        let mut file = GzEncoder::new(fs::File::create(lab.path(name)).unwrap(), Compression::fast());
        lines.iter().for_each(|line| writeln!(file, "{}", line.split('\t').nth(column).unwrap()).unwrap());
        file.finish().unwrap();
    };
    pack("reverse.de.gz", 1);
    pack("reverse.en.gz", 0);
    let pair = ["reverse.de.gz", "reverse.en.gz", "b"];
    lab.data_prep("pair.sh", &[&pair, &LANGUAGES[..], &["--every", "10", "--bpe-merges", "5"]].concat(), &[]).ok();
    let backwards = |text: String| text.lines().rev().map(|line| format!("{line}\n")).collect::<String>();
    let reversed = texts(&lab.path("b.text")).map(backwards);
    assert_eq!(reversed, first);
    assert!(lab.path("b/tokenizer.json").exists(), "further options go to nmt preprocess");

    // Everything is training text.
    let all = ["corpus.tsv", "c", "--columns", "2,1", "--every", "0"];
    lab.data_prep("tsv.sh", &[&all, &LANGUAGES[..]].concat(), &[]).ok();
    assert_eq!(fs::read_to_string(lab.path("c.text/train.de")).unwrap().lines().count(), 400);
    assert!(!lab.path("c.text/valid.de").exists() && !lab.path("c/valid.de-en.de.bin").exists());
}

/// A validation or training pair that shares one sentence with a held-out one is left out.
#[test]
fn shared_sentences_leave_the_training_text() {
    let lab = Lab::new();
    tsv(&lab);
    let run = |output: &str| {
        let split = ["corpus.tsv", output, "--columns", "2,1", "--every", "10"];
        let ran = lab.data_prep("tsv.sh", &[&split, &LANGUAGES[..]].concat(), &[]);
        let note = ran.stderr.clone();
        ran.ok();
        note
    };
    let before = run("a");
    assert!(before.contains("; 0 left out"), "{before}");
    let held_out = fs::read_to_string(lab.path("a.text/test.de")).unwrap();
    let mut corpus = fs::read_to_string(lab.path("corpus.tsv")).unwrap();
    // Other translations of a test sentence that do not go to the test text themselves.
    let others = (0..).map(|i| format!("Z {i}")).filter(|target| modulo(target, 10) != 0);
    others.take(10).for_each(|target| corpus += &format!("{target}\t{}\n", held_out.lines().next().unwrap()));
    fs::write(lab.path("corpus.tsv"), corpus).unwrap();
    let after = run("b");
    assert!(after.contains("; 10 left out"), "{after}");
    assert_eq!(texts(&lab.path("a.text")), texts(&lab.path("b.text")));
}

#[test]
fn sums_are_checked_before_anything_is_written() {
    let lab = Lab::new();
    tsv(&lab);
    let right = sum(&lab.path("corpus.tsv"));
    let wrong = "0".repeat(64);
    let columns = ["corpus.tsv", "data", "--columns", "2,1", "--every", "10"];
    let tsv = |sum: &str| lab.data_prep("tsv.sh", &[&columns, &LANGUAGES[..], &["--sha256", sum]].concat(), &[]);
    tsv(&wrong).fails(1, &["corpus.tsv", &wrong, &right, "--sha256"]);
    assert!(!lab.path("data").exists() && !lab.path("data.text").exists());
    tsv(&right.to_uppercase()).ok();

    let pair = |second: &str| {
        let sums = ["--every", "10", "--sha256", &sum(&lab.path("train.de")), "--sha256", second];
        lab.data_prep("pair.sh", &[&["train.de", "train.en", "pair"], &LANGUAGES[..], &sums].concat(), &[])
    };
    pair(&wrong).fails(1, &["train.en", &wrong]);
    pair(&sum(&lab.path("train.en"))).ok();
    let one = ["train.de", "train.en", "x", "--sha256", &wrong];
    lab.data_prep("pair.sh", &[&one, &LANGUAGES[..]].concat(), &[]).fails(2, &["pair.sh: error: ", "2 times"]);
}

#[test]
fn bad_files_fail_and_leave_no_dataset() {
    let lab = Lab::new();
    let corpora: [(&str, &[u8], &str); 5] = [
        ("one.tsv", b"A\n", "one.tsv:1: expected 2 columns"),
        ("latin1.tsv", b"A\ta\nB\t\xfc\n", "latin1.tsv:2: expected UTF-8"),
        ("few.tsv", b"A\ta\nB\tb\n", "found train 2, valid 0, test 0; give a smaller --every"),
        ("bad.gz", b"A\ta\n", "bad.gz: Not a gzipped file"),
        ("bad.zip", b"A\ta\n", "bad.zip: File is not a zip file"),
    ];
    for (name, content, message) in corpora {
        fs::write(lab.path(name), content).unwrap();
        lab.data_prep("tsv.sh", &[&[name, "data"], &LANGUAGES[..]].concat(), &[]).fails(1, &[message]);
    }
    lab.data_prep("tsv.sh", &[&["none.tsv", "data"], &LANGUAGES[..]].concat(), &[]).fails(1, &["none.tsv"]);
    fs::write(lab.path("short.en"), "A\n").unwrap();
    let uneven = ["train.de", "short.en", "data"];
    lab.data_prep("pair.sh", &[&uneven, &LANGUAGES[..]].concat(), &[])
        .fails(1, &["short.en: expected as many", "found 1"]);
    assert!(!lab.path("data").exists());
    let left = fs::read_dir(lab.path("data.text")).map_or(0, |files| files.count());
    assert_eq!(left, 0, "half a text");
}

#[test]
fn another_edition_is_refused_until_it_is_asked_for() {
    let lab = Lab::new();
    fs::create_dir(lab.path("raw")).unwrap();
    for (from, to) in [("train", "train"), ("valid", "val"), ("test", "test_2016_flickr")] {
        for lang in ["de", "en"] {
            fs::copy(lab.path(&format!("{from}.{lang}")), lab.path(&format!("raw/{to}.{lang}"))).unwrap();
        }
    }
    let found = sum(&lab.path("raw/test_2016_flickr.de"));
    lab.data_prep("multi30k.sh", &["raw", "data"], &[]).fails(1, &["4be6b5b3236b79c2", &found, "--any-edition"]);
    assert!(!lab.path("data").exists());
    lab.data_prep("multi30k.sh", &["raw", "data", "--any-edition"], &[]).ok();
    assert!(lab.path("data/test.de-en.en.idx").exists());
    fs::remove_file(lab.path("raw/val.en")).unwrap();
    lab.data_prep("multi30k.sh", &["raw", "more", "--any-edition"], &[]).fails(1, &["neither val.en nor val.en.gz"]);
    fs::write(lab.path("de-en.tgz"), "no archive").unwrap();
    let ours = sum(&lab.path("de-en.tgz"));
    lab.data_prep("iwslt14.sh", &["de-en.tgz", "c", "--sha256", "00"], &[]).fails(1, &["the SHA-256 00", &ours]);
    // The right sum, and still no archive.
    lab.data_prep("iwslt14.sh", &["de-en.tgz", "c", "--sha256", &ours], &[]).fails(1, &["de-en.tgz: expected"]);
}

/// The archive's folder becomes what `nmt vision` takes; what lies beside the batches is left out.
#[test]
fn the_archive_of_cifar_10_is_checked_and_unpacked() {
    let lab = Lab::new();
    write_cifar(&lab.path("cifar-10-batches-bin"), 50, 10);
    fs::write(lab.path("cifar-10-batches-bin/readme.html"), "x").unwrap();
    let packed =
        Command::new("tar").args(["-czf", "a.tgz", "cifar-10-batches-bin"]).current_dir(lab.path(".")).status();
    assert!(packed.unwrap().success());
    let ours = sum(&lab.path("a.tgz"));
    let run =
        |further: &[&str]| lab.data_prep("cifar10.sh", &[&["cifar", "--archive", "a.tgz"], further].concat(), &[]);
    run(&[]).fails(1, &["a.tgz: expected a file with the SHA-256 c4a38c50a1bc5f3a", &ours]);
    assert!(!lab.path("cifar").exists());
    assert_eq!(run(&["--sha256", &ours]).ok(), "cifar\n");
    let mut names: Vec<_> = fs::read_dir(lab.path("cifar"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [1, 2, 3, 4, 5].map(|batch| format!("data_batch_{batch}.bin"));
    assert_eq!(names, [&["batches.meta.txt".to_string()], &expected[..], &["test_batch.bin".to_string()]].concat());
    let pictures = Pictures::open(&lab.path("cifar"), Split::Train, PictureOptions::default());
    assert_eq!(pictures.unwrap().len(), 50);
    run(&["--sha256", &ours]).fails(2, &["cifar is there already"]);
    // A name may end with a slash, and what is not given is fetched: by a `curl` that copies.
    fs::create_dir(lab.path("bin")).unwrap();
    let curl = format!("#!/bin/sh\ncp '{}' \"$5\"\n", lab.path("a.tgz").display());
    fs::write(lab.path("bin/curl"), curl).unwrap();
    Command::new("chmod").args(["+x", "bin/curl"]).current_dir(lab.path(".")).status().unwrap();
    let fetched = lab.data_prep("cifar10.sh", &["fetched/", "--sha256", &ours], &[&lab.path("bin")]);
    assert_eq!(fetched.ok(), "fetched\n");
    assert!(lab.path("fetched/test_batch.bin").exists());
    lab.data_prep("cifar10.sh", &["more", "--archive", "none.tgz"], &[]).fails(1, &["none.tgz: expected a copy"]);
}

#[test]
fn wrong_use_ends_with_2_and_the_usage() {
    let lab = Lab::new();
    let tests: [(&str, &[&str]); 11] = [
        ("cifar10.sh", &[]),
        ("cifar10.sh", &["cifar", "--archive"]),
        ("multi30k.sh", &["raw"]),
        ("multi30k.sh", &["raw", "data", "--any"]),
        ("iwslt14.sh", &[]),
        ("tatoeba.sh", &[]),
        ("tatoeba.sh", &["data", "--archive"]),
        ("pair.sh", &["train.de", "train.en"]),
        ("pair.sh", &["train.de", "train.en", "data"]),
        ("tsv.sh", &["corpus.tsv", "data", "--source-lang", "de", "--target-lang", "en", "--columns", "0,1"]),
        ("tsv.sh", &["corpus.tsv", "data", "--source-lang", "de", "--target-lang", "en", "--every", "1"]),
    ];
    for (script, arguments) in tests {
        lab.data_prep(script, arguments, &[]).fails(2, &["usage: "]);
    }
}

/// A `.zip` of the form of Tatoeba's, given and fetched.
#[test]
fn tatoeba_takes_another_edition_when_it_is_told_to() {
    let lab = Lab::new();
    tsv(&lab);
    fs::rename(lab.path("corpus.tsv"), lab.path("deu.txt")).unwrap();
    fs::write(lab.path("_about.txt"), "about").unwrap();
    let zip = ["-m", "zipfile", "-c", "deu-eng.zip", "deu.txt", "_about.txt"];
    assert!(Command::new("python3").args(zip).current_dir(lab.path("")).status().unwrap().success());
    let local = ["--archive", "deu-eng.zip"];
    let sum = sum(&lab.path("deu-eng.zip"));
    lab.data_prep("tatoeba.sh", &[&["a"], &local[..]].concat(), &[]).fails(1, &["71750f704aeb6b0a", &sum]);
    let other = ["--sha256", &sum, "--every", "10"];
    lab.data_prep("tatoeba.sh", &[&["a"], &local[..], &other].concat(), &[]).ok();
    assert!(lab.path("a/tokenizer.json").exists() && lab.path("a/test.de-en.en.idx").exists());

    // Instead of the network: a program `curl` that finds the file, then one that does not.
    fs::create_dir(lab.path("bin")).unwrap();
    let curl = |script: &str| {
        fs::write(lab.path("bin/curl"), format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(lab.path("bin/curl")).status().unwrap().success());
    };
    let bin = lab.path("bin");
    curl("cp deu-eng.zip \"${@:(-2):1}\"");
    lab.data_prep("tatoeba.sh", &[&["b"], &other[..]].concat(), &[&bin]).ok();
    assert_eq!(texts(&lab.path("a.text")), texts(&lab.path("b.text")));
    curl("exit 22");
    lab.data_prep("tatoeba.sh", &["c"], &[&bin]).fails(1, &["--archive"]);
    assert!(!lab.path("c").exists());
}

/// The edition whose sum the script knows: 169,197 lines (README of the reference data).
#[test]
fn tatoeba_itself() {
    let Some(archive) = reference("tatoeba/deu-eng.zip") else { return };
    let lab = Lab::new();
    let ran = lab.data_prep("tatoeba.sh", &["data", "--archive", archive.to_str().unwrap()], &[]);
    let digits = |c: char| !c.is_ascii_digit();
    let counted = ran.stderr.lines().find(|line| line.starts_with("pairs: ")).unwrap().to_string();
    ran.ok();
    let numbers: Vec<u64> = counted.split(digits).filter_map(|number| number.parse().ok()).collect();
    assert_eq!(numbers.iter().sum::<u64>(), 169_197, "{counted}");
    let lengths = texts(&lab.path("data.text")).map(|text| text.lines().count() as u64);
    assert_eq!([lengths[0], lengths[2], lengths[4]], numbers[..3]);
}
