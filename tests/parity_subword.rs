//! Byte-pair encoding is that of subword-nmt.
//! Oracle: merges and text of subword-nmt 0.3.8 in the reference data, `golden/bpe`.

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use common::reference;
use nmt::text::{Merge, Subword, blank_separated, join_subwords, learn_merges};

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.split_terminator('\n').map(str::to_string).collect()
}

/// The tokenised text that the reference merges were learnt from.
fn training_counts() -> Option<HashMap<String, u64>> {
    let mut counts = HashMap::new();
    for language in ["de", "en"] {
        let path = reference(&format!("multi30k/tok/train-5k.lc.norm.tok.{language}"))?;
        for line in lines(&path) {
            blank_separated(&line).for_each(|word| *counts.entry(word.to_string()).or_default() += 1);
        }
    }
    Some(counts)
}

fn learn(counts: &HashMap<String, u64>) -> Vec<Merge> {
    learn_merges(counts.iter().map(|(word, &count)| (word.as_str(), count)), 2000, |_| Ok(())).unwrap()
}

/// Text and what `apply-bpe` made of it.
const TEXTS: [(&str, &str); 6] = [
    ("multi30k/tok/val.lc.norm.tok.de", "golden/bpe/val.bpe.de"),
    ("multi30k/tok/val.lc.norm.tok.en", "golden/bpe/val.bpe.en"),
    ("golden/moses/tok.de", "golden/bpe/moses-tok.bpe.de"),
    ("golden/moses/tok.en", "golden/bpe/moses-tok.bpe.en"),
    ("golden/moses/in.de", "golden/bpe/moses-in.bpe.de"),
    ("golden/moses/in.en", "golden/bpe/moses-in.bpe.en"),
];

/// `segment` leaves the white space around a line out, which `apply-bpe` keeps.
fn trimmed(line: &str) -> &str {
    line.trim_matches(['\r', ' '])
}

fn assert_segments_as_the_reference(subword: &Subword) {
    for (text, expected) in TEXTS {
        let (Some(text), Some(expected)) = (reference(text), reference(expected)) else { return };
        let (text, pieces) = (lines(&text), lines(&expected));
        assert_eq!(text.len(), pieces.len());
        for (line, expected_pieces) in text.iter().zip(&pieces) {
            let segmented = subword.segment(line);
            assert_eq!(segmented, trimmed(expected_pieces), "{}: {line:?}", expected.display());
            // And back: only superfluous blanks are lost, and words that end with @@ by themselves.
            if !line.contains("@@") {
                let words: Vec<&str> = blank_separated(line).collect();
                assert_eq!(join_subwords(&segmented), words.join(" ").trim_end());
            }
        }
    }
}

fn codes() -> Option<PathBuf> {
    reference("golden/bpe/codes.txt")
}

#[test]
fn codes_are_applied_as_apply_bpe_does() {
    let Some(codes) = codes() else { return };
    let subword = Subword::read(&codes).unwrap();
    assert_eq!(subword.merges().len(), 2000);
    assert_segments_as_the_reference(&subword);
}

#[test]
fn a_tokenizer_json_gives_the_same_pieces() {
    let Some(counts) = training_counts() else { return };
    let folder = tempfile::tempdir().unwrap();
    let merges = learn(&counts);
    let learnt = Subword::from_merges(&merges, counts.keys().flat_map(|word| word.chars())).unwrap();
    learnt.save(&folder.path().join("tokenizer.json")).unwrap();
    let subword = Subword::load(folder.path()).unwrap().unwrap();
    assert_eq!(subword.merges().len(), 2000);
    assert_segments_as_the_reference(&subword);

    // The crate by itself, without any code of ours, reads the file and finds the same pieces.
    let crate_alone = tokenizers::Tokenizer::from_file(folder.path().join("tokenizer.json")).unwrap();
    let Some(text) = reference(TEXTS[0].0) else { return };
    let mut compared = 0;
    for line in lines(&text) {
        let encoding = crate_alone.encode(line.as_str(), false).unwrap();
        if encoding.get_ids().contains(&0) {
            continue; // A character that the training text does not have, of which the crate only keeps that it is unknown.
        }
        let pieces: Vec<String> = encoding
            .get_tokens()
            .iter()
            .map(|token| token.strip_suffix("</w>").map_or_else(|| format!("{token}@@"), str::to_string))
            .collect();
        assert_eq!(pieces.join(" "), subword.segment(&line));
        compared += 1;
    }
    assert!(compared > 900, "{compared}");
}

#[test]
fn the_merges_are_those_of_learn_bpe() {
    let (Some(codes), Some(counts)) = (codes(), training_counts()) else { return };
    let expected: Vec<String> = lines(&codes).into_iter().skip(1).collect();
    let learnt: Vec<String> = learn(&counts).into_iter().map(|(first, second)| format!("{first} {second}")).collect();
    assert_eq!(learnt, expected);
}
