//! Data folders are what fairseq 0.12.2 writes and batches are what it makes of them.
//! Oracle: the output of fairseq-preprocess and of `LanguagePairDataset` in the reference data, `golden/fairseq-data`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nmt::data::{
    Dictionary, DictionaryLimits, Dtype, IndexedDataset, IndexedWriter, Limits, ParallelDataset, batch_by_size,
    ordered_indices, words,
};
use serde_json::Value;

/// The folder of the golden files, or `None`, with a note, where the reference data are absent.
fn golden(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("NMT_REFERENCE_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join("golden/fairseq-data").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is missing; set NMT_REFERENCE_DATA to the folder of the reference data", path.display());
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn integers(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(|id| id.as_i64().unwrap()).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    integers(value).into_iter().map(|i| i as usize).collect()
}

const FILES: [(&str, &str); 6] =
    [("train", "de"), ("valid", "de"), ("test", "de"), ("train", "en"), ("valid", "en"), ("test", "en")];

#[test]
fn dictionaries_and_ids_are_read() {
    for variant in ["joined", "separate"] {
        let Some(folder) = golden(variant) else { return };
        let Some(expected) = golden(&format!("{variant}.json")) else { return };
        let expected = json(&expected);
        for (split, lang) in FILES {
            let dictionary = Dictionary::load(&folder.join(format!("dict.{lang}.txt"))).unwrap();
            let entries = &expected["dict"][lang];
            let symbols: Vec<&str> = dictionary.iter().map(|(word, _)| word).collect();
            assert_eq!(serde_json::json!(symbols), entries["symbols"]);
            let counts: Vec<u64> = dictionary.iter().map(|(_, count)| count).collect();
            assert_eq!(serde_json::json!(counts), entries["counts"]);

            let dataset = IndexedDataset::open(&folder.join(format!("{split}.de-en.{lang}"))).unwrap();
            let ids = expected["ids"][format!("{split}.{lang}")].as_array().unwrap();
            assert_eq!(dataset.len(), ids.len());
            assert_eq!(dataset.dtype(), Dtype::U16);
            for (i, ids) in ids.iter().enumerate() {
                assert_eq!(dataset.get(i), integers(ids), "{variant} {split}.{lang} sentence {i}");
            }
        }
    }
}

#[test]
fn dictionaries_are_built_and_text_is_encoded() {
    let variants = [
        ("joined", true, [0, 0], [None, None], 8),
        ("separate", false, [0, 0], [None, None], 8),
        ("separate_threshold", false, [3, 4], [None, None], 8),
        ("separate_nwords", false, [0, 0], [Some(40), Some(30)], 1),
        ("joined_threshold_pad8", true, [5, 5], [None, None], 8),
    ];
    for (variant, joined, threshold, words_kept, padding_factor) in variants {
        let Some(expected) = golden(&format!("{variant}.json")) else { return };
        let Some(text) = golden("text") else { return };
        let expected = json(&expected);
        let lines = |split: &str, lang: &str| std::fs::read_to_string(text.join(format!("{split}.{lang}"))).unwrap();
        for (side, lang) in ["de", "en"].into_iter().enumerate() {
            let counted = if joined { vec!["de", "en"] } else { vec![lang] };
            let text: String = counted.into_iter().map(|lang| lines("train", lang)).collect();
            let mut counts = HashMap::new();
            words(&text).for_each(|word| *counts.entry(word).or_insert(0) += 1);
            let limits = DictionaryLimits { threshold: threshold[side], words: words_kept[side], padding_factor };
            let dictionary = Dictionary::from_counts(counts, &limits);
            let symbols: Vec<&str> = dictionary.iter().map(|(word, _)| word).collect();
            assert_eq!(serde_json::json!(symbols), expected["dict"][lang]["symbols"], "{variant} {lang}");
            for split in ["train", "valid", "test"] {
                let ids: Vec<Vec<i64>> =
                    lines(split, lang).split_terminator('\n').map(|line| dictionary.encode(line)).collect();
                assert_eq!(serde_json::json!(ids), expected["ids"][format!("{split}.{lang}")], "{variant} {split}");
            }
        }
    }
}

#[test]
fn files_are_written_byte_for_byte() {
    let output = tempfile::tempdir().unwrap();
    for variant in ["joined", "separate"] {
        let Some(folder) = golden(variant) else { return };
        for (split, lang) in FILES {
            let name = format!("dict.{lang}.txt");
            let dictionary = Dictionary::load(&folder.join(&name)).unwrap();
            dictionary.save(&output.path().join(&name)).unwrap();
            let stem = format!("{split}.de-en.{lang}");
            let dataset = IndexedDataset::open(&folder.join(&stem)).unwrap();
            let mut writer = IndexedWriter::create(&output.path().join(&stem), dictionary.len()).unwrap();
            (0..dataset.len()).for_each(|i| writer.push(&dataset.get(i)).unwrap());
            writer.finish().unwrap();
            for name in [name, format!("{stem}.bin"), format!("{stem}.idx")] {
                let (ours, theirs) = (std::fs::read(output.path().join(&name)), std::fs::read(folder.join(&name)));
                assert!(ours.unwrap() == theirs.unwrap(), "{variant}/{name}");
            }
        }
    }
}

#[test]
fn batches_are_the_same() {
    let Some(path) = golden("batches.json") else { return };
    let Some(folder) = golden("separate") else { return };
    let expected = json(&path);
    let data = ParallelDataset::open(&folder, "train", None, None).unwrap();
    let (source, target) = (data.source_lengths(), data.target_lengths());
    let order = ordered_indices(&source, &target);
    assert_eq!(order, indices(&expected["ordered_indices"]));
    let runs = expected["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 5);
    for run in runs {
        let number = |key: &str| run[key].as_u64().map(|number| number as usize);
        let limits = Limits {
            max_tokens: number("max_tokens"),
            max_sentences: number("max_sentences"),
            required_batch_size_multiple: number("required_batch_size_multiple").unwrap(),
            ..Limits::default()
        };
        let batches = batch_by_size(&order, &source, &target, &limits).unwrap();
        assert_eq!(serde_json::json!(batches), run["batches"], "{limits:?}");
    }

    let example = &expected["collated_example"];
    let members =
        &runs[example["run"].as_u64().unwrap() as usize]["batches"][example["batch"].as_u64().unwrap() as usize];
    let batch = data.batch(&indices(members)).unwrap();
    let flat = |key: &str| -> Vec<i64> { example[key].as_array().unwrap().iter().flat_map(integers).collect() };
    assert_eq!(batch.ids, indices(&example["id"]));
    assert_eq!(batch.source, flat("src_tokens"));
    assert_eq!(batch.source_lengths, indices(&example["src_lengths"]));
    assert_eq!(batch.previous_output, flat("prev_output_tokens"));
    assert_eq!(batch.target, flat("target"));
    assert_eq!(batch.target_tokens as i64, example["ntokens"].as_i64().unwrap());
    assert_eq!((batch.n * batch.s, batch.n * batch.t), (batch.source.len(), batch.target.len()));
}
