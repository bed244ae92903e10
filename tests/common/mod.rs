//! What tests share: reference data and how it is read, and the program as a user runs it.
#![allow(dead_code)]

pub mod command;
pub mod pictures;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tch::Tensor;

/// The folder `part` of the reference data (`NMT_REFERENCE_DATA`, by default `../shared/data`); none, with a
/// message, where it is absent.
pub fn reference(part: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("NMT_REFERENCE_DATA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"),
    };
    let path = root.join(part);
    if !path.exists() {
        eprintln!("skipped: {} is missing (set NMT_REFERENCE_DATA)", path.display());
        return None;
    }
    Some(path)
}

/// Every tensor of a safetensors file by name.
pub fn tensors(path: &Path) -> HashMap<String, Tensor> {
    nmt::params::with_safetensors(path, |file| {
        let mut all = HashMap::new();
        for (name, view) in file.iter() {
            all.insert(name.to_string(), nmt::params::tensor_from_view(name, &view)?);
        }
        Ok(all)
    })
    .unwrap()
}

/// Assert that two files hold the same tensors, bit for bit.
pub fn assert_same_tensors(expected: &Path, found: &Path) {
    let (expected_tensors, found_tensors) = (tensors(expected), tensors(found));
    assert_eq!(expected_tensors.len(), found_tensors.len(), "{} and {}", expected.display(), found.display());
    for (name, tensor) in expected_tensors {
        let same = found_tensors.get(&name).is_some_and(|other| tensor.equal(other));
        assert!(same, "{name} in {} and {}", expected.display(), found.display());
    }
}

pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The binarised sentences of a split of a folder as words, or pieces, again.
pub fn sentences(dir: &Path, split: &str, language: &str) -> Vec<String> {
    let dictionary = nmt::data::Dictionary::load(&dir.join(format!("dict.{language}.txt"))).unwrap();
    let dataset = nmt::data::IndexedDataset::open(&dir.join(format!("{split}.de-en.{language}"))).unwrap();
    (0..dataset.len()).map(|i| dictionary.decode(&dataset.get(i))).collect()
}

/// The largest |a - b|.
pub fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a.to_kind(tch::Kind::Double).view([-1]) - b.to_kind(tch::Kind::Double).view([-1])).abs().max().double_value(&[])
}

/// Pairs of these lengths, `</s>` included, with pseudo-random words of the ids 4 to 63.
pub fn pairs(lengths: &[(usize, usize)]) -> Vec<(Vec<i64>, Vec<i64>)> {
    let mut state = 7u64;
    let mut words = |n: usize| {
        let mut ids: Vec<i64> = Vec::new();
        for _ in 1..n {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ids.push(4 + (state >> 33) as i64 % 60);
        }
        ids.push(2);
        ids
    };
    lengths.iter().map(|&(source, target)| (words(source), words(target))).collect()
}

/// The batch of [`pairs`] of these lengths.
pub fn batch_of(lengths: &[(usize, usize)]) -> nmt::model::TranslationBatch {
    batch_of_pairs(&pairs(lengths))
}

/// The batch of these pairs.
pub fn batch_of_pairs(pairs: &[(Vec<i64>, Vec<i64>)]) -> nmt::model::TranslationBatch {
    let slices: Vec<(&[i64], &[i64])> = pairs.iter().map(|(s, t)| (s.as_slice(), t.as_slice())).collect();
    let ids: Vec<usize> = (0..pairs.len()).collect();
    nmt::model::TranslationBatch::new(&nmt::data::collate(&slices, &ids), tch::Device::Cpu)
}

/// A batch file of the reference data, whose rows are already in order.
pub fn batch(tensors: &HashMap<String, Tensor>, prefix: &str) -> nmt::data::Batch {
    let get = |name: &str| &tensors[&format!("{prefix}{name}")];
    let list = |name: &str| Vec::<i64>::try_from(get(name).to_kind(tch::Kind::Int64).contiguous().view([-1])).unwrap();
    let (n, s) = get("src_tokens").size2().unwrap();
    let t = get("target").size2().unwrap().1;
    let target = list("target");
    nmt::data::Batch {
        ids: (0..n as usize).collect(),
        source: list("src_tokens"),
        source_lengths: list("src_lengths").iter().map(|&length| length as usize).collect(),
        previous_output: list("prev_output_tokens"),
        target_tokens: target.iter().filter(|&&id| id != 1).count(),
        target,
        n: n as usize,
        s: s as usize,
        t: t as usize,
    }
}

/// The Transformer of a reference case.
pub fn transformer(folder: &Path) -> nmt::model::Transformer {
    let config = &json(&folder.join("scalars.json"))["config"];
    let int = |key: &str| config[key].as_i64().unwrap();
    let sizes = nmt::model::ModelConfig {
        embed_dim: int("embed_dim"),
        ffn_dim: int("ffn"),
        attention_heads: int("heads"),
        encoder_layers: int("encoder_layers"),
        decoder_layers: int("decoder_layers"),
        dropout: 0.0,
        share_decoder_input_output_embed: config["share_decoder_input_output_embed"].as_bool().unwrap(),
        share_all_embeddings: config["share_all_embeddings"].as_bool().unwrap(),
        ..Default::default()
    };
    let smoothing = config["label_smoothing"].as_f64().unwrap();
    nmt::model::Transformer::new(&sizes, int("src_vocab"), int("tgt_vocab"), smoothing).unwrap()
}
