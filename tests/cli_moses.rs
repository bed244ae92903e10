//! `nmt tokenize`, `detokenize`, `normalize` and `lowercase` as filters.
//!
//! Oracle: `golden/moses`, 2,000 lines a language run through Moses' own Perl scripts; the small cases follow from the
//! rules of `tokenizer.perl` and were worked out by hand.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::reference;

fn filter(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nmt"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Beside the reading, or both sides would wait once the pipes are full. A program that refuses does not read.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn filtered(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let output = filter(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn golden(folder: &Path, name: &str, language: &str) -> Vec<u8> {
    fs::read(folder.join(format!("{name}.{language}"))).unwrap()
}

#[test]
fn the_commands_are_the_scripts() {
    let Some(folder) = reference("golden/moses") else { return };
    for language in ["de", "en"] {
        let input = golden(&folder, "in", language);
        let modes: [(&str, &[&str]); 6] = [
            ("tok", &["tokenize"]),
            ("tok-a-noescape", &["tokenize", "--aggressive-hyphens", "--no-escape", "--threads", "3"]),
            ("old-tok", &["tokenize", "--moses-version", "2017"]),
            ("norm", &["normalize", "--threads", "1"]),
            ("old-norm", &["normalize", "--moses-version", "2017"]),
            ("lc", &["lowercase"]),
        ];
        for (name, arguments) in modes {
            let language_option: &[&str] = if name == "lc" { &[] } else { &["--lang", language] };
            let found = filtered(&[arguments, language_option].concat(), &input);
            assert!(found == golden(&folder, name, language), "{name}.{language}");
        }
        let found = filtered(&["detokenize", "--lang", language], &golden(&folder, "tok", language));
        assert!(found == golden(&folder, "tok_detok", language), "tok_detok.{language}");
    }
}

#[test]
fn the_order_is_that_of_the_input_and_lines_end_at_line_feeds_only() {
    // More than two rounds of three threads, and a last line without an end.
    let input: String = (0..7000).map(|i| format!("line {i}\u{2028}x.\n")).collect::<String>() + "End.";
    let expected: String = (0..7000).map(|i| format!("line {i} x .\n")).collect::<String>() + "End .\n";
    for threads in ["1", "3"] {
        let found = filtered(&["tokenize", "--lang", "en", "--threads", threads], input.as_bytes());
        assert!(found == expected.as_bytes(), "{threads} threads");
    }
    assert_eq!(filtered(&["lowercase"], b""), b"");
    assert_eq!(filtered(&["lowercase"], b"\n\nA"), b"\n\na\n");
}

#[test]
fn protected_patterns_stay_in_one_piece() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patterns");
    fs::write(&path, "\\d+:\\d+\n\n[A-Z]{2}!\n").unwrap();
    let path = path.to_str().unwrap();
    let tokenize = |arguments: &[&str], input: &str| {
        String::from_utf8(filtered(&[&["tokenize", "--lang", "en"], arguments].concat(), input.as_bytes())).unwrap()
    };
    let line = "At 12:30, AB! me@x.org (so)";
    assert_eq!(tokenize(&[], line), "At 12 : 30 , AB ! me @ x.org ( so )\n");
    assert_eq!(tokenize(&["--protected", path], line), "At 12:30 , AB! me @ x.org ( so )\n");
    assert_eq!(tokenize(&["--protect-basic"], line), "At 12 : 30 , AB ! me@x.org ( so )\n");
    assert_eq!(tokenize(&["--protect-basic", "--protected", path], line), "At 12:30 , AB! me@x.org ( so )\n");

    fs::write(path, "(").unwrap();
    let refused = filter(&["tokenize", "--lang", "en", "--protected", path], b"a\n");
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && message.contains("a regular expression"), "{message}");
}

#[test]
fn failures_are_named_and_what_came_before_is_written() {
    let output = filter(&["lowercase"], b"A\nB\n\xff\nC\n");
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(message.contains("standard input:3") && message.contains("UTF-8"), "{message}");
    assert_eq!(output.stdout, b"a\nb\n");
    let output = filter(&["tokenize"], b"A\n");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && message.contains("--lang"), "{message}");
    let output = filter(&["tokenize", "--lang", "en", "--protected", "nowhere"], b"A\n");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && message.contains("nowhere"), "{message}");
}

#[test]
fn a_reader_that_stops_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nmt"))
        .args(["tokenize", "--lang", "en"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    // The program may end before it has read all of it.
    let _ = stdin.write_all("A house, a tree.\n".repeat(100_000).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
