//! Words to pieces and back, with and without BPE-dropout, on invented words.
mod common;

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use common::sentences;
use nmt::data::{Bpe, DropoutOptions, PreprocessOptions, preprocess};
use nmt::text::{BpeDropout, Merge, Subword, TextSettings, Tokenization, blank_separated, join_subwords, learn_merges};
use rand::{Rng, SeedableRng};

/// Twenty words, and how often each occurs in the text that merges are learnt from.
const WORDS: [(&str, u64); 20] = [
    ("tamborine", 3),
    ("tamborines", 10),
    ("undertamber", 6),
    ("bolimero", 13),
    ("bolimeros", 9),
    ("lomeriba", 5),
    ("underlomer", 12),
    ("tamerline", 8),
    ("berolina", 4),
    ("berolinas", 11),
    ("limberotam", 7),
    ("rotamber", 3),
    ("mirabolum", 10),
    ("mirabolums", 6),
    ("underboline", 13),
    ("tolemaria", 9),
    ("marinebo", 5),
    ("marinebos", 12),
    ("alumberto", 8),
    ("timberola", 4),
];

fn line() -> String {
    WORDS.map(|(word, _)| word).join(" ")
}

fn merges() -> Vec<Merge> {
    learn_merges(WORDS, 60, |_| Ok(())).unwrap()
}

fn pairs(merges: &[(&str, &str)]) -> Vec<Merge> {
    merges.iter().map(|(first, second)| (first.to_string(), second.to_string())).collect()
}

#[test]
fn without_dropout_pieces_are_those_of_the_encoding() {
    let merges = merges();
    let (plain, never) = (Subword::from_merges(&merges, []).unwrap(), BpeDropout::new(&merges, 0.0, 1).unwrap());
    // What apply-bpe of subword-nmt 0.3.8 makes of the words, with the merges that its learn-bpe finds.
    let expected = "tambo@@ rin@@ e tamborines under@@ tamber bolimero bolimeros lo@@ mer@@ i@@ b@@ a underlomer \
                    tamerline berolin@@ a berolinas l@@ imber@@ o@@ ta@@ m r@@ o@@ tamber mirabolum mirabolu@@ m@@ s \
                    underboline tolemaria marineb@@ o marinebos a@@ lumberto t@@ imber@@ ol@@ a";
    assert_eq!(plain.segment(&line()), expected);
    assert_eq!(never.segment(&line(), 0, 0), expected);
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    for number in 0..2000 {
        let line = random_line(&mut random);
        assert_eq!(never.segment(&line, 0, number), plain.segment(&line), "{line:?}");
    }
}

#[test]
fn with_every_merge_left_out_pieces_are_characters() {
    let always = BpeDropout::new(&merges(), 1.0, 1).unwrap();
    let characters = |word: &str| word.chars().map(String::from).collect::<Vec<_>>().join("@@ ");
    let expected: Vec<String> = WORDS.iter().map(|(word, _)| characters(word)).collect();
    assert_eq!(always.segment(&line(), 0, 0), expected.join(" "));
    assert_eq!(always.segment("ä x  ŝŝ", 3, 5), "ä x ŝ@@ ŝ");
}

/// Oracle: `apply-bpe --dropout P` of subword-nmt 0.3.8, the mean of 200,000 and 100,000 segmentations of the line;
/// the standard deviation of one is 6.34 and 8.52 pieces.
#[test]
fn the_mean_number_of_pieces_is_that_of_subword_nmt() {
    for (probability, mean, deviation, theirs) in [(0.1, 57.0428, 6.338, 200_000.0), (0.5, 127.9930, 8.523, 100_000.0)]
    {
        let dropout = BpeDropout::new(&merges(), probability, 7).unwrap();
        let n = 20_000;
        let pieces: usize = (0..n).map(|number| dropout.segment(&line(), 0, number).split(' ').count()).sum();
        let found = pieces as f64 / n as f64;
        let tolerance = 4.0 * deviation * (1.0 / n as f64 + 1.0 / theirs).sqrt();
        assert!((found - mean).abs() < tolerance, "{found} is not {mean} ± {tolerance}");
    }
}

/// By hand. `abc`: the first merge is left out with probability p and ends it, and so is the second. `aaaa` with the
/// merge `a a`: (0,1), (1,2) are possible, the third pair is not, its second symbol being `a</w>`. Both stay with
/// probability (1−p)², and then the first counts: `aa a a`; the first alone gives `aa a a`, the second alone `a aa a`.
#[test]
fn segmentations_are_as_likely_as_they_should_be() {
    let p = 0.3;
    let q = 1.0 - p;
    let cases = [
        (pairs(&[("a", "b"), ("ab", "c</w>")]), "abc", vec![("a@@ b@@ c", p), ("ab@@ c", q * p), ("abc", q * q)]),
        (pairs(&[("a", "a")]), "aaaa", vec![("a@@ a@@ a@@ a", p * p), ("aa@@ a@@ a", q), ("a@@ aa@@ a", p * q)]),
        // Of two merges that are possible the earlier comes first; the later only when that is left out.
        (pairs(&[("b", "c</w>"), ("a", "b")]), "abc", vec![("a@@ bc", q), ("ab@@ c", p * q), ("a@@ b@@ c", p * p)]),
    ];
    for (merges, word, expected) in cases {
        let dropout = BpeDropout::new(&merges, p, 3).unwrap();
        let n = 40_000;
        let mut counts: HashMap<String, u64> = HashMap::new();
        (0..n).for_each(|number| *counts.entry(dropout.segment(word, 0, number)).or_default() += 1);
        assert_eq!(counts.len(), expected.len(), "{counts:?}");
        for (segmentation, probability) in expected {
            let found = counts[segmentation] as f64 / n as f64;
            let tolerance = 5.0 * (probability * (1.0 - probability) / n as f64).sqrt();
            assert!((found - probability).abs() < tolerance, "{segmentation}: {found} is not {probability}");
        }
    }
}

#[test]
fn a_line_has_the_same_pieces_every_time_and_every_line_its_own() {
    let dropout = |seed| BpeDropout::new(&merges(), 0.5, seed).unwrap();
    let segment = |seed, text, number| dropout(seed).segment(&line(), text, number);
    assert_eq!(segment(1, 2, 3), segment(1, 2, 3));
    let different: BTreeSet<String> = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (3, 2, 1)]
        .map(|(seed, text, number)| segment(seed, text, number))
        .into();
    assert_eq!(different.len(), 5);
    for wrong in [-0.1, 1.5, f64::NAN] {
        let message = BpeDropout::new(&[], wrong, 1).unwrap_err().to_string();
        assert!(message.contains("from 0 to 1"), "{message}");
    }
}

/// Characters of the merges, and many that no merge has: of one to four bytes, combining, invisible, `@` and `<`.
fn random_word(random: &mut impl Rng) -> String {
    let rare: Vec<char> = "äßŁŝ中文😀👩‍🚀\u{301}\u{200d}\u{a0}\u{3000}\u{85}\u{1f}@</w>&|#%".chars().collect();
    let length = random.random_range(1..=9);
    let character = |random: &mut dyn rand::RngCore| match random.random_range(0..4) {
        0 => rare[random.random_range(0..rare.len())],
        1 => char::from_u32(random.random_range(0x21..0x11_0000)).unwrap_or('ö'),
        _ => char::from(b"abeilmorstu"[random.random_range(0..11)]),
    };
    (0..length).map(|_| character(random)).collect()
}

fn random_line(random: &mut impl Rng) -> String {
    (0..random.random_range(1..=5)).map(|_| random_word(random)).collect::<Vec<_>>().join(" ")
}

/// Pieces joined are the words again, whatever they are made of. What is lost: `@@` at the end of a word, which is the
/// mark of a piece, and white space at the end of a line.
#[test]
fn unknown_characters_survive() {
    let merges = merges();
    let plain = Subword::from_merges(&merges, []).unwrap();
    let dropout = BpeDropout::new(&merges, 0.3, 1).unwrap();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let (mut compared, mut unknown) = (0, 0);
    for number in 0..20_000 {
        let line = random_line(&mut random);
        if blank_separated(&line).any(|word| word.ends_with("@@")) {
            continue;
        }
        let words: Vec<&str> = blank_separated(&line).collect();
        for pieces in [plain.segment(&line), dropout.segment(&line, 0, number)] {
            assert_eq!(join_subwords(&pieces), words.join(" ").trim_end(), "{line:?}: {pieces:?}");
        }
        compared += 1;
        unknown += usize::from(line.chars().any(|c| !merges.iter().any(|(first, _)| first.contains(c)) && c != ' '));
    }
    assert!(compared > 19_500 && unknown > 15_000, "{compared} {unknown}");
}

/// A corpus of invented words; `train` has 2,500 lines, so that several pieces of work make it.
fn corpus(dir: &Path) -> PreprocessOptions {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    for (split, n) in [("train", 2500), ("valid", 50)] {
        for language in ["de", "en"] {
            let word = |random: &mut rand_chacha::ChaCha8Rng| WORDS[random.random_range(0..WORDS.len())].0;
            let line =
                |random: &mut rand_chacha::ChaCha8Rng| [word(random), word(random), word(random)].join(" ") + "\n";
            let text: String = (0..n).map(|_| line(&mut random)).collect();
            fs::write(dir.join(format!("{split}.{language}")), text).unwrap();
        }
    }
    PreprocessOptions {
        source_language: "de".to_string(),
        target_language: "en".to_string(),
        train: Some(dir.join("train")),
        valid: Some(dir.join("valid")),
        text: TextSettings { tokenizer: Tokenization::None, ..TextSettings::default() },
        bpe: Bpe::Merges(60),
        padding_factor: 8,
        threads: Some(1),
        output: dir.join("data"),
        ..PreprocessOptions::default()
    }
}

fn dropped(dir: &Path, output: &str, threads: usize, seed: u64, copies: u64) -> PreprocessOptions {
    let bpe_dropout = Some(DropoutOptions { probability: 0.1, seed, copies });
    PreprocessOptions { bpe_dropout, threads: Some(threads), output: dir.join(output), ..corpus(dir) }
}

#[test]
fn dropout_is_for_the_training_text_alone_and_the_same_with_every_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let run = |options: &PreprocessOptions| preprocess(options, || None).unwrap();
    let (plain, one) = (run(&corpus(dir)), run(&dropped(dir, "one", 1, 1, 1)));
    run(&dropped(dir, "two", 2, 1, 1));
    run(&dropped(dir, "other", 2, 2, 1));
    for name in fs::read_dir(dir.join("one")).unwrap().map(|entry| entry.unwrap().file_name()) {
        let bytes = |run: &str| fs::read(dir.join(run).join(&name)).unwrap();
        assert_eq!(bytes("one"), bytes("two"), "{name:?}");
    }
    let joined = |lines: &[String]| lines.iter().map(|line| join_subwords(line)).collect::<Vec<_>>();
    for language in ["de", "en"] {
        let of = |run: &str, split: &str| sentences(&dir.join(run), split, language);
        assert_eq!(of("data", "valid"), of("one", "valid"), "other texts are as ever");
        let (whole, one, other) = (of("data", "train"), of("one", "train"), of("other", "train"));
        assert!(whole != one && one != other);
        assert_eq!(joined(&whole), joined(&one), "the words are the same");
        // The dictionary has the pieces of every segmentation.
        assert!(one.iter().chain(&of("one", "valid")).all(|line| !line.contains("<unk>")));
    }
    assert!(one.splits[0].sides[0].tokens > plain.splits[0].sides[0].tokens);
    assert_eq!(one.splits[1].sides[0].tokens, plain.splits[1].sides[0].tokens);
    assert!(one.splits.iter().all(|split| split.sides.iter().all(|side| side.unknown == 0)));
    assert!(one.to_string().contains("BPE-dropout: probability 0.1, seed 1, 1 copy of the training text"), "{one}");
}

#[test]
fn every_copy_has_pieces_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let report = preprocess(&dropped(dir, "data", 2, 1, 3), || None).unwrap();
    let single = preprocess(&dropped(dir, "single", 2, 1, 1), || None).unwrap();
    assert_eq!(report.splits[0].kept, 2500);
    let source = sentences(&dir.join("data"), "train", "de");
    assert_eq!((source.len(), sentences(&dir.join("data"), "train", "en").len()), (7500, 7500));
    let copies: Vec<&[String]> = source.chunks(2500).collect();
    assert_eq!(copies[0], sentences(&dir.join("single"), "train", "de"));
    assert!(copies[0] != copies[1] && copies[1] != copies[2] && copies[0] != copies[2]);
    let joined = |lines: &[String]| lines.iter().map(|line| join_subwords(line)).collect::<Vec<_>>();
    assert!(copies.iter().all(|copy| joined(copy) == joined(copies[0])));
    assert_eq!(sentences(&dir.join("data"), "valid", "de").len(), 50);
    assert!(report.splits[0].sides[0].tokens > 2 * single.splits[0].sides[0].tokens);
}

#[test]
fn dropout_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let message = |options: &PreprocessOptions| preprocess(options, || None).unwrap_err().to_string();
    let good = dropped(dir, "data", 1, 1, 1);
    let without = PreprocessOptions { bpe: Bpe::None, ..good.clone() };
    assert!(message(&without).contains("give --bpe-merges N or --bpe FILE"));
    let dropout = |probability, copies| Some(DropoutOptions { probability, seed: 1, copies });
    assert!(message(&PreprocessOptions { bpe_dropout: dropout(1.5, 1), ..good.clone() }).contains("found 1.5"));
    assert!(message(&PreprocessOptions { bpe_dropout: dropout(0.1, 0), ..good.clone() }).contains("found 0"));
    assert!(!dir.join("data").exists());
    preprocess(&good, || None).unwrap();
    let test_alone = PreprocessOptions {
        train: None,
        bpe: Bpe::File(dir.join("data/tokenizer.json")),
        source_dictionary: nmt::data::DictionaryOptions {
            file: Some(dir.join("data/dict.de.txt")),
            ..Default::default()
        },
        joined_dictionary: true,
        output: dir.join("late"),
        ..good
    };
    assert!(message(&test_alone).contains("expected a training text for BPE-dropout"));
}
