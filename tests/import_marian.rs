//! Marian's models of Hugging Face as run folders. Oracle: what transformers 5.24.0 makes of the same sentences (tests/marian).
mod common;

use std::path::{Path, PathBuf};

use common::command::{Lab, Ran};
use common::{batch_of_pairs, json};
use nmt::task::{Mode, Task, gradient_by_graph};
use nmt::text::SentencePiece;
use nmt::translation::ModelFolder;
use serde_json::Value;
use tch::{Device, Kind};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/marian").join(name)
}

/// The folder of the model, `NAME` in the lab, with these files under these names.
fn folder(lab: &Lab, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = lab.path(name);
    std::fs::create_dir(&folder).unwrap();
    let always = [("vocab.json", "vocab.json"), ("source.spm", "source.spm")];
    for (from, to) in always.iter().chain(files) {
        std::fs::copy(golden(from), folder.join(to)).unwrap();
    }
    folder
}

fn whole(lab: &Lab, name: &str) -> PathBuf {
    let files = ["model.safetensors", "config.json", "generation_config.json", "tokenizer_config.json"];
    folder(lab, name, &files.map(|file| (file, file)))
}

fn import(lab: &Lab, model: &str, run: &str, further: &[&str]) -> Ran {
    lab.nmt(&[&["import", "--marian", model, "--output", run][..], further].concat())
}

/// Compare the translations of a run folder with those of every setting; the largest difference of scores.
fn compare(lab: &Lab, run: &str) -> f64 {
    let mut difference: f64 = 0.0;
    for (name, expected) in json(&golden("expected.json")).as_object().unwrap() {
        let settings = &expected["settings"];
        let sentences = expected["sentences"].as_array().unwrap();
        let source: String = sentences.iter().map(|one| format!("{}\n", one["text"].as_str().unwrap())).collect();
        // What the folder says itself is left out.
        let mut arguments =
            ["translate", &format!("--model={run}"), "--compute=fp32", "--format=jsonl"].map(String::from).to_vec();
        if name != "default" {
            arguments.push(format!("--beam={}", settings["num_beams"]));
            arguments.push(format!("--length-penalty={}", settings["length_penalty"].as_f64().unwrap_or(1.0)));
            arguments.push(format!("--early-stopping={}", settings["early_stopping"] == true));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = lab.nmt_with_input(&arguments, source.as_bytes()).ok();
        assert_eq!(found.lines().count(), sentences.len());
        for (expected, found) in sentences.iter().zip(found.lines()) {
            let best = &serde_json::from_str::<Value>(found).unwrap()["translations"][0];
            assert_eq!(best["text"], expected["translation"], "{name}: {expected}");
            // A greedy search has no score there.
            if let Some(score) = expected["score"].as_f64() {
                difference = difference.max((best["score"].as_f64().unwrap() - score).abs());
            }
        }
    }
    difference
}

#[test]
fn imported_models_translate_as_in_transformers() {
    let lab = Lab::new();
    whole(&lab, "new");
    assert_eq!(import(&lab, "new", "run", &[]).ok(), "run\n");
    folder(&lab, "old", &[("pytorch_model.bin", "pytorch_model.bin"), ("config-2020.json", "config.json")]);
    import(&lab, "old", "none", &[]).fails(2, &["old", "--source-lang"]);
    import(&lab, "old", "old-run", &["--source-lang=xa", "--target-lang=xb"]).ok();
    for run in ["run", "old-run"] {
        let difference = compare(&lab, run);
        println!("{run}: the same translations as transformers', scores differ by {difference:.1e} at most");
        assert!(difference < 1e-5, "{run}: {difference}");
    }
    common::assert_same_tensors(&lab.path("run/best.safetensors"), &lab.path("old-run/best.safetensors"));
    // To other programs: CTranslate2 has a form of all of it, FSMT has not.
    let export = |to: &'static str, precision: &'static str, output: &'static str| {
        lab.nmt(&["export", "--model=run", "--to", to, "--precision", precision, "--output", output])
    };
    export("safetensors", "fp16", "half.safetensors").ok();
    let halves = common::tensors(&lab.path("half.safetensors"));
    assert!(halves.values().all(|tensor| tensor.isfinite().all().int64_value(&[]) == 1), "a number that fp16 has not");
    export("huggingface", "fp32", "hf").fails(1, &["Marian", "safetensors"]);
    export("ctranslate2", "fp32", "ct2").ok();
    assert_eq!(json(&lab.path("ct2/config.json"))["decoder_start_token"], "<s>");
    let model = std::fs::read(lab.path("ct2/model.bin")).unwrap();
    let after = |name: &str| {
        let at = model.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
        &model[at + name.len() + 1..] // The zero that ends the name.
    };
    // No dimensions, int8, one byte: CTranslate2's number of swish.
    assert_eq!(after("encoder/activation")[..7], [0, 1, 1, 0, 0, 0, 2]);
    assert_eq!(after("decoder/projection/bias")[0], 1, "one dimension");
    let config = std::fs::read_to_string(lab.path("run/config.toml")).unwrap();
    for line in [
        "activation = \"swish\"",
        "positions = \"marian\"",
        "decoder_start = \"<s>\"",
        "beam = 4",
        "early_stopping = false",
    ] {
        assert!(config.contains(line), "{line}\n{config}");
    }
}

#[test]
fn text_is_cut_as_by_sentence_piece() {
    let model = SentencePiece::read_model(&golden("source.spm")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    model.save(&path, &[">>fr<<"]).unwrap();
    // As another program reads it: a language code is one piece.
    let theirs = tokenizers::Tokenizer::from_file(&path).unwrap().encode(">>fr<< Pita schin!", false).unwrap();
    assert_eq!(theirs.get_tokens(), model.pieces(">>fr<< Pita schin!"));
    assert_eq!(theirs.get_tokens()[0], ">>fr<<");
    let again = SentencePiece::load(folder.path()).unwrap().unwrap();
    for sentence in json(&golden("expected.json"))["default"]["sentences"].as_array().unwrap() {
        let text = sentence["text"].as_str().unwrap();
        assert_eq!(serde_json::json!(model.pieces(text)), sentence["pieces"], "{text}");
        assert_eq!(model.pieces(text), again.pieces(text));
    }
}

/// The network as it is trained on, by graph and in each of its forms, against what the search says of its own translation.
#[test]
fn losses_are_those_of_the_search() {
    let lab = Lab::new();
    whole(&lab, "new");
    import(&lab, "new", "run", &[]).ok();
    let folder = ModelFolder::open(&lab.path("run"), Device::Cpu).unwrap();
    let source = folder.text.encode("Pita foscha doscho schin!");
    let search =
        nmt::decode::BatchSearch { search: folder.config.search.clone(), max_tokens: 100, compute: Kind::Float };
    let found = folder.translator(&search).unwrap().translate(std::slice::from_ref(&source), |_| ()).unwrap();
    let best = &found[0][0];
    let expected = -best.score * best.tokens.len() as f64;
    let batch = batch_of_pairs(&[(source, best.tokens.clone())]);
    for mode in [Mode::evaluate(Kind::Float), Mode::initialise_twice()] {
        let loss = folder.model.loss(&folder.theta, &batch, mode);
        assert!((loss.nll.double_value(&[]) - expected).abs() < 1e-4, "{mode:?}: {} {expected}", loss.nll);
        // `<s>`, which has no probability, is one of the symbols that label smoothing adds up.
        let smoothed = loss.sum.double_value(&[]) / best.tokens.len() as f64;
        assert!(smoothed.is_finite() && smoothed < 30.0, "{smoothed}");
    }
    // The gradient in pieces that leave theirs in place, and of operations alone.
    let (_, one) = folder.model.gradient(&folder.theta, &batch, Mode::initialise());
    let (_, other) = gradient_by_graph(&folder.model, &folder.theta, &batch, Mode::initialise_twice());
    let bias =
        folder.model.layout().blocks().iter().find(|block| block.name.ends_with("output_projection.bias")).unwrap();
    let part = one.narrow(0, bias.offset, bias.numel());
    assert!(part.abs().max().double_value(&[]) > 1e-3, "the bias has a gradient");
    assert!(common::distance(&one, &other) < 1e-4 * one.abs().max().double_value(&[]));
}

#[test]
fn what_is_no_model_is_named() {
    let lab = Lab::new();
    let model = whole(&lab, "m");
    let mut number = 0;
    let mut refused = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>, code: i32, said: &[&str]| {
        let bytes = std::fs::read(model.join(file)).unwrap();
        std::fs::write(model.join(file), change(bytes.clone())).unwrap();
        number += 1;
        let run = format!("run{number}");
        import(&lab, "m", &run, &[]).fails(code, said);
        assert!(!lab.path(&run).exists(), "{file}: a folder is left");
        std::fs::write(model.join(file), bytes).unwrap();
    };
    let replace = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1).into_bytes()
        }
    };
    let is = |from, to| replace(from, to);
    refused("config.json", &is("\"marian\"", "\"bart\""), 1, &["config.json", "bart", "MarianMTModel"]);
    refused("config.json", &is("\"swish\"", "\"tanh\""), 1, &["activation_function", "tanh", "gelu"]);
    refused("config.json", &is("\"scale_embedding\": true", "\"scale_embedding\": false"), 1, &["scale_embedding"]);
    refused("config.json", &is("\"decoder_ffn_dim\": 64", "\"decoder_ffn_dim\": 32"), 1, &["decoder_ffn_dim", "64"]);
    refused("config.json", &is("\"d_model\": 32", "\"d_model\": 64"), 1, &["model", "64"]);
    refused("config.json", &is("{", "["), 1, &["config.json", "JSON"]);
    refused("vocab.json", &is("\"<unk>\"", "\"unk\""), 1, &["vocab.json", "<unk>"]);
    refused("vocab.json", &is(": 4", ": 5"), 1, &["vocab.json", "each once"]);
    refused("source.spm", &|bytes| bytes[..bytes.len() / 2].to_vec(), 1, &["source.spm", "SentencePiece"]);
    refused("model.safetensors", &|bytes| bytes[..bytes.len() / 2].to_vec(), 1, &["model.safetensors"]);
    std::fs::remove_file(model.join("model.safetensors")).unwrap();
    import(&lab, "m", "run", &[]).fails(1, &["pytorch_model.bin", "neither"]);
    import(&lab, "nowhere", "run", &[]).fails(1, &["nowhere", "hf download"]);
    lab.nmt(&["import", "--output", "run"]).fails(2, &["--checkpoint"]);
    lab.nmt(&["import", "--marian", "m", "--data", "d", "--output", "run"]).fails(2, &["--data"]);
}

/// Text of a user's own in the model's pieces: training begins with what the model knows.
#[test]
fn an_imported_model_is_trained_on() {
    let lab = Lab::new();
    let model = whole(&lab, "new");
    import(&lab, "new", "without", &[]).ok();
    std::fs::copy(model.join("source.spm"), model.join("target.spm")).unwrap();
    import(&lab, "new", "run", &[]).ok();
    let pairs: Vec<(String, String)> = json(&golden("expected.json"))["default"]["sentences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["text"].as_str().unwrap().to_string(), one["translation"].as_str().unwrap().to_string()))
        .filter(|(text, translation)| !text.trim().is_empty() && !translation.is_empty())
        .collect();
    assert!(pairs.len() > 5);
    let folder = ModelFolder::open(&lab.path("run"), Device::Cpu).unwrap();
    let (source, target) = (&folder.source_lang, &folder.target_lang);
    // The other way round: something to learn.
    let side = |which: fn(&(String, String)) -> &String| {
        pairs.iter().map(|pair| which(pair).clone() + "\n").collect::<String>()
    };
    std::fs::write(lab.path(&format!("mine.{source}")), side(|(_, translation)| translation)).unwrap();
    std::fs::write(lab.path(&format!("mine.{target}")), side(|(text, _)| text)).unwrap();
    let preprocess = |model: &str, further: &[&str]| {
        let model = format!("--model={model}");
        lab.nmt(&[&["preprocess", &model, "--train=mine", "--valid=mine", "--output=data"], further].concat())
    };
    preprocess("without", &[]).fails(1, &["tokenizer.", "target.spm"]);
    preprocess("run", &["--lowercase"]).fails(2, &["--lowercase", "--model"]);
    preprocess("run", &["--bpe-dropout=0.1"]).fails(2, &["unigram pieces", "leave --bpe-dropout out"]);
    std::fs::rename(lab.path("run/tokenizer.json"), lab.path("tokenizer.json")).unwrap();
    preprocess("run", &[]).fails(1, &["run/tokenizer.json: expected the pieces of source text, found no such file"]);
    std::fs::rename(lab.path("tokenizer.json"), lab.path("run/tokenizer.json")).unwrap();
    preprocess("run", &[]).ok();
    let shown = lab.nmt(&["data", "show", "--data=data", "--split=valid", "--remove-bpe", "--lang", target]).ok();
    assert_eq!(shown.lines().count(), pairs.len());
    assert!(!shown.contains('▁') && shown.contains(' '), "{shown}");
    let turned = ["train", "--data=data", "--source-lang", target, "--target-lang", source, "--output=x"];
    lab.nmt(&turned).fails(2, &["data/tokenizer.xb.json: expected data of xb as the source"]);
    let data = nmt::data::ParallelDataset::open(&lab.path("data"), "valid", None, None).unwrap();
    let pieces = SentencePiece::read_model(&golden("source.spm")).unwrap();
    for (index, (text, translation)) in pairs.iter().enumerate() {
        assert_eq!(data.source.get(index), folder.text.encode(translation));
        let expected: Vec<i64> = pieces.pieces(text).iter().map(|piece| data.target_dictionary.index(piece)).collect();
        assert_eq!(data.target.get(index)[..expected.len()], expected, "{text}");
    }

    let train = [
        "train",
        "--threads=1",
        "--data=data",
        "--config=run/config.toml",
        "--init=run/best.safetensors",
        "--output=tuned",
        "--no-warmup",
        "--set=schedule.kind=linear",
        "--set=schedule.learning_rate=2e-3",
        "--max-updates=30",
        "--set=validation.every_updates=10",
        "--set=training.compute=fp32",
        "--set=validation.beam=2",
    ];
    lab.nmt(&train).ok();
    let events = lab.events("tuned");
    let found: Vec<f64> = events
        .iter()
        .filter(|event| event["event"] == "validation")
        .map(|event| event["nll_loss"].as_f64().unwrap())
        .collect();
    assert!(found.len() == 3 && found[2] < 0.9 * found[0], "{found:?}");
    let scored = lab.nmt(&["score", "--model=tuned", "--data=data", "--split=valid", "--metrics=bleu", "--json"]).ok();
    assert!(scored.contains("tok:13a"), "{scored}");
    let bleu = serde_json::from_str::<Value>(&scored).unwrap()["bleu"]["score"].as_f64().unwrap();
    let validated = events.iter().rev().find_map(|event| event["bleu"].as_f64()).unwrap();
    assert!(validated > 0.0 && bleu > 0.0, "{validated} {bleu}");
    lab.nmt_with_input(&["translate", "--model=tuned"], b"Pita schin!\n").ok();
}
