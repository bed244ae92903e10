//! Raw text becomes the dataset that fairseq-preprocess would have made, and bad text becomes an error and nothing else.
//! Oracle: the output of fairseq-preprocess 0.12.2 (`golden/fairseq-data`) and Multi30k's tokenised files in the
//! reference data; otherwise values worked out by hand.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::{json, reference, sentences};
use nmt::Error;
use nmt::data::{Bpe, Dictionary, DictionaryOptions, IndexedDataset, PreprocessOptions, PreprocessReport, preprocess};
use nmt::text::moses::Version;
use nmt::text::{LengthFilter, Subword, TextPipeline, TextSettings, Tokenization};

/// Tokenised German-English text; nothing to read yet.
fn options(output: &Path) -> PreprocessOptions {
    PreprocessOptions {
        source_language: "de".to_string(),
        target_language: "en".to_string(),
        text: TextSettings { tokenizer: Tokenization::None, ..TextSettings::default() },
        padding_factor: 8,
        output: output.to_path_buf(),
        threads: Some(2),
        ..PreprocessOptions::default()
    }
}

fn run(options: &PreprocessOptions) -> nmt::Result<PreprocessReport> {
    preprocess(options, || None)
}

/// The message of the error that it has to be.
fn refusal(options: &PreprocessOptions) -> String {
    run(options).expect_err("should have been refused").to_string()
}

/// The contents of all files of a folder.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    fs::read_dir(dir).unwrap().map(|entry| file(entry.unwrap())).collect()
}

/// Write `NAME.de` and `NAME.en` and return the prefix.
fn text(dir: &Path, name: &str, source: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> PathBuf {
    fs::write(dir.join(format!("{name}.de")), source).unwrap();
    fs::write(dir.join(format!("{name}.en")), target).unwrap();
    dir.join(name)
}

#[test]
fn the_files_are_those_of_fairseq() {
    for (variant, joined_dictionary) in [("joined", true), ("separate", false)] {
        let (Some(golden), Some(text)) =
            (reference(&format!("golden/fairseq-data/{variant}")), reference("golden/fairseq-data/text"))
        else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data");
        let report = run(&PreprocessOptions {
            train: Some(text.join("train")),
            valid: Some(text.join("valid")),
            tests: vec![("test".to_string(), text.join("test"))],
            joined_dictionary,
            ..options(&output)
        })
        .unwrap();
        let (ours, theirs) = (contents(&output), contents(&golden));
        assert_eq!(ours.len(), theirs.len() + 1, "and preprocess.json");
        for (name, content) in &theirs {
            assert!(ours.get(name) == Some(content), "{variant}/{name}");
        }
        let saved = json(&output.join("preprocess.json"));
        assert_eq!(saved["report"], serde_json::to_value(&report).unwrap());
        let sizes = &json(&reference(&format!("golden/fairseq-data/{variant}.json")).unwrap())["dict"]["de"];
        assert_eq!(report.dictionaries[0].size, sizes["symbols"].as_array().unwrap().len());
    }
}

#[test]
fn the_limits_of_dictionaries_are_those_of_fairseq() {
    let limits = |threshold, words| DictionaryOptions { threshold, words, ..DictionaryOptions::default() };
    for (variant, joined_dictionary, source, target, padding_factor) in [
        ("separate_threshold", false, limits(3, None), limits(4, None), 8),
        ("separate_nwords", false, limits(0, Some(40)), limits(0, Some(30)), 1),
        ("joined_threshold_pad8", true, limits(5, None), limits(5, None), 8),
    ] {
        let (Some(golden), Some(text)) =
            (reference(&format!("golden/fairseq-data/{variant}.json")), reference("golden/fairseq-data/text"))
        else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("data");
        run(&PreprocessOptions {
            train: Some(text.join("train")),
            valid: Some(text.join("valid")),
            joined_dictionary,
            source_dictionary: source,
            target_dictionary: target,
            padding_factor,
            ..options(&output)
        })
        .unwrap();
        let golden = json(&golden);
        for language in ["de", "en"] {
            let dictionary = Dictionary::load(&output.join(format!("dict.{language}.txt"))).unwrap();
            let symbols: Vec<&str> = dictionary.iter().map(|(word, _)| word).collect();
            assert_eq!(serde_json::json!(symbols), golden["dict"][language]["symbols"], "{variant}");
            for split in ["train", "valid"] {
                let dataset = IndexedDataset::open(&output.join(format!("{split}.de-en.{language}"))).unwrap();
                let ids: Vec<Vec<i64>> = (0..dataset.len()).map(|i| dataset.get(i)).collect();
                assert_eq!(serde_json::json!(ids), golden["ids"][format!("{split}.{language}")], "{variant} {split}");
            }
        }
    }
}

/// From the archives of Multi30k to pieces, with any number of threads; then a second dataset with the same pieces.
#[test]
fn multi30k_from_raw_text_to_pieces() {
    let Some(raw) = reference("multi30k/raw") else { return };
    let folder = tempfile::tempdir().unwrap();
    let multi30k = |name: &str, threads| PreprocessOptions {
        text: TextSettings {
            lowercase_first: true,
            normalize: true,
            moses_version: Version::Of2017,
            ..TextSettings::default()
        },
        threads: Some(threads),
        ..options(&folder.path().join(name))
    };
    let whole = |name: &str, threads| PreprocessOptions {
        train: Some(raw.join("val")),
        tests: vec![("test".to_string(), raw.join("test_2016_flickr"))],
        bpe: Bpe::Merges(2000),
        joined_dictionary: true,
        ..multi30k(name, threads)
    };
    let report = run(&whole("one", 1)).unwrap();
    run(&whole("three", 3)).unwrap();
    let one = folder.path().join("one");
    assert!(contents(&one) == contents(&folder.path().join("three")), "the output depends on the number of threads");
    assert_eq!((report.splits[0].read, report.splits[0].kept, report.splits[1].kept), (1014, 1014, 1000));
    assert_eq!((report.bpe_merges, report.splits[0].sides[0].unknown), (Some(2000), 0));

    let subword = Subword::load(&one).unwrap().unwrap();
    for language in ["de", "en"] {
        let dictionary = Dictionary::load(&one.join(format!("dict.{language}.txt"))).unwrap();
        let pipeline = TextPipeline::load(&one, language).unwrap().unwrap();
        for (split, tokenised) in [("train", "val"), ("test", "test_2016_flickr")] {
            let dataset = IndexedDataset::open(&one.join(format!("{split}.de-en.{language}"))).unwrap();
            let words = reference(&format!("multi30k/tok/{tokenised}.lc.norm.tok.{language}")).unwrap();
            let words = fs::read_to_string(words).unwrap();
            for (i, line) in words.split_terminator('\n').enumerate() {
                assert_eq!(dataset.get(i), dictionary.encode(&subword.segment(line)), "{split} {i}: {line}");
            }
        }
        // What `translate` does with raw text gives the same ids.
        let mut reader = nmt::text::LineReader::open(&raw.join(format!("val.{language}.gz"))).unwrap();
        let first = pipeline.apply(reader.read_line().unwrap().unwrap());
        let dataset = IndexedDataset::open(&one.join(format!("train.de-en.{language}"))).unwrap();
        assert_eq!(dictionary.encode(&subword.segment(&first)), dataset.get(0));
    }

    // The dictionary counts what the training text has.
    let mut counts = BTreeMap::<String, u64>::new();
    for language in ["de", "en"] {
        for sentence in sentences(&one, "train", language) {
            sentence.split(' ').for_each(|piece| *counts.entry(piece.to_string()).or_default() += 1);
        }
    }
    let dictionary = Dictionary::load(&one.join("dict.de.txt")).unwrap();
    let made = dictionary.iter().skip(4).filter(|(word, _)| !word.starts_with("madeupword"));
    assert_eq!(made.map(|(word, count)| (word.to_string(), count)).collect::<BTreeMap<_, _>>(), counts);

    // A test set that comes later: finished merges and dictionary, no training text.
    let later = PreprocessOptions {
        tests: vec![("test".to_string(), raw.join("test_2016_flickr"))],
        bpe: Bpe::File(one.join("tokenizer.json")),
        joined_dictionary: true,
        target_dictionary: DictionaryOptions { file: Some(one.join("dict.en.txt")), ..DictionaryOptions::default() },
        ..multi30k("later", 2)
    };
    run(&later).unwrap();
    let (first, later) = (contents(&one), contents(&folder.path().join("later")));
    for name in ["dict.de.txt", "dict.en.txt", "test.de-en.de.bin", "test.de-en.en.idx", "tokenizer.json"] {
        assert!(first[name] == later[name], "{name}");
    }
}

#[test]
fn pairs_of_odd_lengths_leave_the_training_text() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [
        ("a b c d", "a b c d e f"),     // 6 / 4 is 1.5
        ("a b", "a b c d"),             // ratio
        ("", "a b c"),                  // empty
        ("\u{a0} ", "a b c"),           // empty: a no-break space is white space
        ("a", "a"),                     // too short
        ("a b c d e f g", "a b c d e"), // too long
        ("a  b\tc", "x y"),             // three words
    ];
    let side = |take: fn(&(&str, &str)) -> String| pairs.iter().map(take).collect::<Vec<_>>().join("\n");
    let prefix = text(folder.path(), "text", side(|pair| pair.0.to_string()), side(|pair| pair.1.to_string()));
    let output = folder.path().join("data");
    let report = run(&PreprocessOptions {
        train: Some(prefix.clone()),
        valid: Some(prefix.clone()),
        lengths: LengthFilter { min: Some(2), max: Some(6), ratio: Some(1.5) },
        ..options(&output)
    })
    .unwrap();
    let train = &report.splits[0];
    let dropped = &train.dropped;
    assert_eq!((train.read, train.kept), (7, 2));
    assert_eq!((dropped.empty, dropped.too_short, dropped.too_long, dropped.ratio), (2, 1, 1, 1));
    assert_eq!(sentences(&output, "train", "de"), ["a b c d", "a b c"]);
    assert_eq!(sentences(&output, "train", "en"), ["a b c d e f", "x y"]);
    // 6 words and 2 of `</s>`; e and f were not seen in German.
    assert_eq!((train.sides[0].tokens, report.splits[1].sides[0].unknown), (9, 3));
    assert_eq!((report.splits[1].read, report.splits[1].kept), (7, 7));

    // Without limits everything is kept; with limits that nothing passes, there is no dataset.
    let all = PreprocessOptions { train: Some(prefix.clone()), ..options(&folder.path().join("all")) };
    assert_eq!(run(&all).unwrap().splits[0].kept, 7);
    let none = PreprocessOptions {
        train: Some(prefix),
        lengths: LengthFilter { min: Some(20), ..LengthFilter::default() },
        ..options(&folder.path().join("none"))
    };
    let message = refusal(&none);
    assert!(message.contains("none among 7") && message.contains("--min-length"), "{message}");
}

#[test]
fn compressed_text_is_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = text(folder.path(), "plain", "ein Haus\nzwei Häuser", "a house\ntwo houses\n");
    let gzip = |lines: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(lines).unwrap();
        encoder.finish().unwrap()
    };
    // An archive may consist of several.
    fs::write(folder.path().join("packed.de.gz"), [gzip(b"ein Ha"), gzip("us\nzwei Häuser\n".as_bytes())].concat())
        .unwrap();
    fs::write(folder.path().join("packed.en.gz"), gzip(b"a house\ntwo houses\n")).unwrap();
    let of = |name: &str, prefix| {
        let output = folder.path().join(name);
        run(&PreprocessOptions { train: Some(prefix), ..options(&output) }).unwrap();
        let mut files = contents(&output);
        files.remove("preprocess.json"); // It names the text.
        files
    };
    assert!(of("a", prefix) == of("b", folder.path().join("packed")));

    let whole = fs::read(folder.path().join("packed.en.gz")).unwrap();
    for damaged in [&whole[..whole.len() - 9], b"not an archive".as_slice()] {
        fs::write(folder.path().join("packed.en.gz"), damaged).unwrap();
        let bad = PreprocessOptions { train: Some(folder.path().join("packed")), ..options(&folder.path().join("c")) };
        let message = refusal(&bad);
        assert!(message.contains("packed.en.gz:") && message.contains("gzip archive"), "{message}");
    }
}

#[test]
fn a_sentence_ends_at_a_line_feed_only() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "a\rb\u{2028}c\u{85}d\u{c}e\r\n\n\u{1e}f\n";
    let prefix = text(folder.path(), "train", lines, lines);
    let output = folder.path().join("data");
    run(&PreprocessOptions { train: Some(prefix), ..options(&output) }).unwrap();
    assert_eq!(sentences(&output, "train", "de"), ["a b c d e", "", "f"]);
}

#[test]
fn bad_text_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let cases = [
        (text(dir, "uneven", "a\nb\nc\n", "a\n"), vec!["uneven.de and", "found 3 and 1 lines"]),
        (text(dir, "uneven2", "a\n", "a\nb\n\n"), vec!["found 1 and 3 lines"]),
        (text(dir, "empty", "", ""), vec!["empty.de", "at least one sentence"]),
        (text(dir, "half", "", "a\n"), vec!["found 0 and 1 lines"]),
        (text(dir, "latin1", b"a\nb\n\nf\xfcr\n", "a\nb\nc\nd\n"), vec!["latin1.de:4", "0xfc", "UTF-8"]),
        (dir.join("missing"), vec!["missing.de or", "missing.de.gz"]),
        (dir.join("uneven.de"), vec!["uneven.de.de or", "without .de"]),
    ];
    for (prefix, expected) in &cases {
        let output = dir.join("out").join("data");
        let message = refusal(&PreprocessOptions { train: Some(prefix.clone()), ..options(&output) });
        for part in expected {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
        let left = fs::read_dir(dir.join("out")).map_or(0, |entries| entries.count());
        assert_eq!(left, 0, "{}", prefix.display());
    }
}

#[test]
fn options_that_do_not_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let prefix = text(dir, "text", "a\n", "b\n");
    let base = || PreprocessOptions { train: Some(prefix.clone()), ..options(&dir.join("data")) };
    let file = |name: &str| DictionaryOptions { file: Some(dir.join(name)), ..DictionaryOptions::default() };
    let test = |name: &str| (name.to_string(), prefix.clone());
    let cases = [
        (PreprocessOptions { source_language: "en".to_string(), ..base() }, "two languages"),
        (PreprocessOptions { source_language: "../de".to_string(), ..base() }, "a language code"),
        (PreprocessOptions { train: None, ..base() }, "--train"),
        (PreprocessOptions { train: None, valid: Some(prefix.clone()), ..base() }, "--source-dictionary"),
        (PreprocessOptions { tests: vec![test("train")], ..base() }, "\"train\" twice"),
        (PreprocessOptions { tests: vec![test("../x")], ..base() }, "a split's name"),
        (
            PreprocessOptions {
                joined_dictionary: true,
                source_dictionary: file("a"),
                target_dictionary: file("b"),
                ..base()
            },
            "found two",
        ),
        (
            PreprocessOptions {
                joined_dictionary: true,
                target_dictionary: DictionaryOptions { threshold: 3, ..DictionaryOptions::default() },
                ..base()
            },
            "--threshold-source",
        ),
        (
            PreprocessOptions {
                train: None,
                valid: Some(prefix.clone()),
                bpe: Bpe::Merges(10),
                source_dictionary: file("a"),
                target_dictionary: file("b"),
                ..base()
            },
            "--bpe FILE",
        ),
    ];
    for (options, expected) in &cases {
        let error = run(options).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        assert!(error.to_string().contains(expected), "{expected:?} is not in: {error}");
    }
    assert!(!dir.join("data").exists());
}

#[test]
fn files_that_are_no_byte_pair_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes");
    let cases = [
        ("a b\n", ":1: ", "#version: 0.2"),
        ("#version: 0.1\na b\n", ":1: ", "#version: 0.2"),
        ("#version: 0.2\na b\nab\n", ":3: ", "two symbols"),
        ("#version: 0.2\na b c\n", ":2: ", "two symbols"),
        ("", ":1: ", "#version: 0.2"),
        ("{\"model\": 3}", "codes: ", "tokenizer.json"),
        ("{", "codes: ", "tokenizer.json"),
        (r#"{"model": {"type": "WordPiece", "vocab": {}}}"#, "codes: ", "WordPiece"),
        (r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#, "codes: ", "end_of_word_suffix"),
        (
            r#"{"model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b", "c"]}}"#,
            "codes: ",
            "\"c\" as merge 2",
        ),
    ];
    for (content, place, expected) in cases {
        fs::write(&path, content).unwrap();
        let message = Subword::read(&path).unwrap_err().to_string();
        assert!(message.contains(place) && message.contains(expected), "{content:?}: {message}");
    }
    let vocabulary = r#""vocab": {"a": 0, "b": 1, "c</w>": 2, "ab": 3, "abc</w>": 4}"#;
    let merges = r#""merges": ["a b", ["ab", "c</w>"]]"#;
    fs::write(&path, format!(r#"{{"model": {{"end_of_word_suffix": "</w>", {vocabulary}, {merges}}}}}"#)).unwrap();
    assert_eq!(Subword::read(&path).unwrap().segment("abc abcd"), "abc ab@@ c@@ d");
}

#[test]
fn a_dataset_is_replaced_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("data");
    let first = PreprocessOptions { train: Some(text(folder.path(), "a", "a\n", "b\n")), ..options(&output) };
    run(&first).unwrap();
    let before = contents(&output);
    let second = PreprocessOptions { train: Some(text(folder.path(), "b", "c c\n", "d\n")), ..first.clone() };
    let message = refusal(&second);
    assert!(message.contains("--overwrite"), "{message}");
    // A command that fails leaves the old dataset whole.
    let bad = text(folder.path(), "bad", "c\n", "");
    refusal(&PreprocessOptions { train: Some(bad), overwrite: true, ..first.clone() });
    assert!(contents(&output) == before);
    run(&PreprocessOptions { overwrite: true, ..second }).unwrap();
    assert_eq!(sentences(&output, "train", "de"), ["c c"]);
    let left: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "temporary files are left");
}

/// A signal at any time: the error says so, the old dataset is whole, nothing temporary is left.
#[test]
fn a_signal_leaves_the_old_state() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("out");
    let output = dir.join("data");
    let prefix = text(folder.path(), "a", "ab ab\n".repeat(2500), "cd cd\n".repeat(2500));
    let options = PreprocessOptions { train: Some(prefix), bpe: Bpe::Merges(5), ..options(&output) };
    run(&options).unwrap();
    let before = contents(&output);
    let options = PreprocessOptions { overwrite: true, bpe: Bpe::Merges(1), ..options };
    for n in 1.. {
        let asked = Cell::new(0);
        let signal = || {
            asked.set(asked.get() + 1);
            (asked.get() == n).then_some(15)
        };
        match preprocess(&options, signal) {
            Err(Error::Interrupted { signal: 15, .. }) => assert!(contents(&output) == before),
            Err(error) => panic!("{error}"),
            Ok(_) => {
                assert!(n > 9, "only asked {n} times");
                break;
            }
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }
    assert!(contents(&output) != before);
}
