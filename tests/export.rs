//! Models that go to other programs.
mod common;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use common::command::Lab;
use common::{batch_of, tensors};
use nmt::export::Unskipped;
use nmt::model::{Dropout, ModelConfig, Transformer};
use nmt::task::Task;
use tch::{Device, Kind, Tensor};

const SIZES: [(usize, usize); 4] = [(5, 6), (9, 4), (7, 7), (3, 8)];

fn small(w_skip: bool) -> ModelConfig {
    ModelConfig {
        embed_dim: 16,
        ffn_dim: 32,
        attention_heads: 2,
        encoder_layers: 2,
        decoder_layers: 2,
        dropout: 0.0,
        w_skip,
        max_positions: 32,
        ..Default::default()
    }
}

fn logits(model: &Transformer, theta: &Tensor) -> Tensor {
    let (views, none, batch) = (model.views(theta, Kind::Float), Dropout::off(), batch_of(&SIZES));
    tch::no_grad(|| {
        let encoded = model.encode(&views, &batch, &none);
        model.logits(&views, &model.decode(&views, &batch, &encoded, &none))
    })
}

/// Oracle: the same network without `w_skip`, whose first multipliers are 1, so that its own positions fit.
#[test]
fn multipliers_of_skip_connections_are_folded() {
    tch::manual_seed(3);
    let model = Transformer::new(&small(true), 64, 64, 0.1).unwrap();
    let theta = Tensor::randn([model.layout().total()], (Kind::Float, Device::Cpu)) * 0.3;
    for block in model.layout().blocks().iter().filter(|block| block.name.ends_with("w_skip")) {
        let mut skip = theta.narrow(0, block.offset, block.numel());
        let _ = skip.uniform_(0.5, 2.0);
        if block.name.ends_with("layers.0.self_attn.w_skip") {
            let _ = skip.fill_(1.0);
        }
    }
    let network = Unskipped::new("m", &small(true), model.layout(), &theta, &model.positions()).unwrap();
    assert!(network.folded);
    let plain = Transformer::new(&small(false), 64, 64, 0.1).unwrap();
    let parts: Vec<Tensor> =
        plain.layout().blocks().iter().map(|block| network.get(&block.name).unwrap().view([-1])).collect();
    let folded = Tensor::cat(&parts, 0);
    let (expected, found) = (logits(&model, &theta), logits(&plain, &folded));
    let difference = common::distance(&expected, &found);
    assert!(difference < 1e-4, "{difference}");
    // Leaving them out is something else.
    let parts: Vec<Tensor> = plain
        .layout()
        .blocks()
        .iter()
        .map(|block| {
            let its = model.layout().blocks().iter().find(|other| other.name == block.name).unwrap();
            theta.narrow(0, its.offset, its.numel())
        })
        .collect();
    assert!(common::distance(&expected, &logits(&plain, &Tensor::cat(&parts, 0))) > 0.1);
}

#[test]
fn networks_that_others_do_not_have_are_refused() {
    let of = |change: fn(&mut ModelConfig)| {
        let mut config = small(true);
        change(&mut config);
        let model = Transformer::new(&config, 64, 64, 0.1).unwrap();
        let theta = Tensor::zeros([model.layout().total()], (Kind::Float, Device::Cpu));
        let found = Unskipped::new("run/best.safetensors", &config, model.layout(), &theta, &model.positions());
        found.err().unwrap().to_string()
    };
    assert!(of(|_| ()).contains("w_skip without zeros"));
    assert!(of(|config| config.pre_norm = true).contains("a Post-LN Transformer"));
    assert!(of(|config| (config.w_skip, config.layer_norm) = (false, false)).contains("with layer normalisation"));
}

#[test]
fn weights_are_written_in_every_precision() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=3"]).ok();
    let export = |precision: &'static str, further: &[&'static str]| {
        let arguments =
            ["export", "--model=run", "--to=safetensors", "--output=w.safetensors", "--precision", precision];
        lab.nmt(&[&arguments[..], further].concat())
    };
    export("fp32", &[]).ok();
    common::assert_same_tensors(&lab.path("run/best.safetensors"), &lab.path("w.safetensors"));
    export("fp16", &[]).fails(2, &["w.safetensors exists already", "--overwrite"]);
    for (precision, kind) in [("fp16", Kind::Half), ("bf16", Kind::BFloat16)] {
        export(precision, &["--overwrite"]).ok();
        let (exact, rounded) = (tensors(&lab.path("run/best.safetensors")), tensors(&lab.path("w.safetensors")));
        for (name, tensor) in exact {
            assert!(tensor.to_kind(kind).to_kind(Kind::Float).equal(&rounded[&name].to_kind(Kind::Float)), "{name}");
        }
    }
    // A folder is replaced where it is one of CTranslate2's, and no other.
    let folder = |output: &'static str| {
        lab.nmt(&["export", "--model=run", "--to=ctranslate2", "--overwrite", "--output", output])
    };
    folder("run").fails(2, &["run is no folder of CTranslate2's"]);
    assert!(lab.path("run/best.safetensors").exists());
    folder("ct2").ok();
    folder("ct2").ok();
    assert!(lab.path("ct2/model.bin").exists());
    // It is a start for a new run.
    lab.train("again", &["--max-updates=2", "--init=w.safetensors"]).ok();
    lab.nmt(&["export", "--model=nowhere", "--to=ctranslate2", "--output=x"]).fails(1, &["nowhere", "no such folder"]);
    assert!(!lab.path("x").exists());
}

/// A Python that can `import`: that of the environment variable, that of the benchmarks, or the usual one.
fn python(variable: &str, import: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os(variable).map(PathBuf::from);
    let all = [given, Some(root.join("target/bench-venv/bin/python")), Some("python3".into())];
    let has =
        |python: &PathBuf| Command::new(python).args(["-c", import]).output().is_ok_and(|ran| ran.status.success());
    let found = all.into_iter().flatten().find(has);
    if found.is_none() {
        eprintln!("skipped: found no Python that can `{import}` (set {variable})");
    }
    found
}

/// What a Python script prints for lines on its standard input.
fn run(python: &PathBuf, lab: &Lab, script: &str, folder: &str, lines: &str) -> String {
    std::fs::write(lab.path("lines.jsonl"), lines).unwrap();
    std::fs::write(lab.path("script.py"), script).unwrap();
    let mut theirs = Command::new(python);
    theirs.args(["script.py", folder]).current_dir(lab.path("")).env("HF_HUB_OFFLINE", "1");
    let ran = theirs.stdin(std::fs::File::open(lab.path("lines.jsonl")).unwrap()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// What another program makes of a model of here.
struct Compared {
    /// How many of its best translations are ours.
    same: usize,
    /// The largest difference of the log-probabilities that both give the tokens of ours.
    difference: f64,
    /// How many of ours there are that differ.
    distinct: usize,
}

/// Train `name` with these settings for a while, export it `to` a program, and compare by that program's `script`, which gets our
/// translations of the test sentences.
fn compare(python: &PathBuf, lab: &Lab, script: &str, to: &str, (name, settings): (&str, &[&str])) -> Compared {
    lab.train(name, &[&["--max-updates=300", "--set=schedule.learning_rate=3e-3"], settings].concat()).ok();
    let folder = format!("{name}-{to}");
    lab.nmt(&["export", "--model", name, "--to", to, "--output", &folder]).ok();
    let source = std::fs::read(lab.path("test.de")).unwrap();
    let ours = lab.nmt_with_input(&["translate", "--model", name, "--beam=5", "--format=jsonl"], &source).ok();
    let theirs = run(python, lab, script, &folder, &ours);
    let (mut distinct, mut same, mut difference) = (BTreeSet::new(), 0, 0f64);
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        let [ours, theirs] = [ours, theirs].map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let best = &ours["translations"][0];
        let numbers = |list: &serde_json::Value| -> Vec<f64> {
            list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let (ours, probabilities) = (numbers(&best["token_scores"]), numbers(&theirs["log_probs"]));
        assert_eq!(ours.len(), probabilities.len());
        difference = ours.iter().zip(&probabilities).map(|(a, b)| (a - b).abs()).fold(difference, f64::max);
        same += usize::from(theirs["same"] == true);
        distinct.insert(best["text"].to_string());
    }
    Compared { same, difference, distinct: distinct.len() }
}

/// Oracle: CTranslate2 itself.
#[test]
fn ctranslate2_translates_alike() {
    const SCRIPT: &str = "
import ctranslate2, json, sys
translator = ctranslate2.Translator(sys.argv[1], inter_threads=1, intra_threads=1, compute_type='float32')
for line in sys.stdin:
    ours = json.loads(line)
    source, tokens = [ours['source'].split()], ours['translations'][0]['tokens'][:-1]
    found = translator.translate_batch(source, beam_size=5, patience=2, min_decoding_length=0, max_decoding_length=40)[0]
    scored = translator.score_batch(source, [tokens])[0]
    print(json.dumps({'same': found.hypotheses[0] == tokens, 'log_probs': scored.log_probs}))
";
    let Some(python) = python("NMT_CTRANSLATE2_PYTHON", "import ctranslate2") else { return };
    let lab = Lab::new();
    lab.preprocess();
    let variants: [(&str, &[&str]); 4] = [
        ("shared", &[]),
        ("skip", &["--set=model.w_skip=true", "--set=init.method=admin"]),
        ("pre", &["--set=model.pre_norm=true"]),
        ("apart", &["--set=model.share_all_embeddings=false", "--set=model.share_decoder_input_output_embed=false"]),
    ];
    for (name, settings) in variants {
        let Compared { same, difference, distinct } = compare(&python, &lab, SCRIPT, "ctranslate2", (name, settings));
        println!(
            "{name}: {same} of 40 translations are CTranslate2's, log-probabilities differ by {difference:.1e} at most"
        );
        assert!(difference < 1e-4, "{name}: {difference}");
        // Its search may stop at another place.
        assert!(same >= 30, "{name}: {same}");
        assert!(distinct > 10, "{name}: translations that are all the same show nothing");
    }
}

/// Oracle: transformers itself, its network over our translations and its own search.
#[test]
fn transformers_translate_alike() {
    const SCRIPT: &str = "
import json, sys, torch, transformers
from transformers import FSMTForConditionalGeneration
# The search of FSMT in 4.57.6 has other probabilities than its network.
searches = int(transformers.__version__.split('.')[0]) >= 5
model = FSMTForConditionalGeneration.from_pretrained(sys.argv[1]).eval()
vocabulary = [json.load(open(sys.argv[1] + name)) for name in ('/vocab-src.json', '/vocab-tgt.json')]
def ids(words, side):
    piece = lambda word: word[:-2] if word.endswith('@@') else word + '</w>'
    return [vocabulary[side].get(piece(word), 3) for word in words] + [2]
for line in sys.stdin:
    ours = json.loads(line)
    source, target = ids(ours['source'].split(), 0), ids(ours['translations'][0]['tokens'][:-1], 1)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[2] + target[:-1]]), use_cache=False).logits[0]
        found = model.generate(torch.tensor([source]), num_beams=5, max_length=40)[0].tolist()
    scores = logits.log_softmax(-1).gather(1, torch.tensor(target).unsqueeze(1)).squeeze(1).tolist()
    print(json.dumps({'same': found[1:] == target or not searches, 'log_probs': scores}))
";
    let import = "from transformers import FSMTForConditionalGeneration";
    let Some(python) = python("NMT_TRANSFORMERS_PYTHON", import) else { return };
    let lab = Lab::new();
    lab.preprocess();
    for (name, settings) in [("shared", &[][..]), ("tied", &["--set=model.share_all_embeddings=false"][..])] {
        let Compared { same, difference, distinct } = compare(&python, &lab, SCRIPT, "huggingface", (name, settings));
        println!(
            "{name}: {same} of 40 translations are transformers', log-probabilities differ by {difference:.1e} at most"
        );
        assert!(difference < 1e-4, "{name}: {difference}");
        assert!(same >= 36, "{name}: {same}");
        assert!(distinct > 10, "{name}: translations that are all the same show nothing");
    }
}

#[test]
fn hugging_face_gets_what_it_has_a_form_of() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=3"]).ok();
    let export = |model: &'static str| {
        lab.nmt(&["export", "--model", model, "--to=huggingface", "--output=hf", "--overwrite", "--precision=fp16"])
    };
    export("run").ok();
    let config = common::json(&lab.path("hf/config.json"));
    assert_eq!((config["model_type"].as_str(), config["tie_word_embeddings"].as_bool()), (Some("fsmt"), Some(false)));
    let (ours, theirs) = (tensors(&lab.path("run/best.safetensors")), tensors(&lab.path("hf/model.safetensors")));
    for (name, tensor) in &ours {
        assert!(tensor.to_kind(Kind::Half).equal(&theirs[&format!("model.{name}")]), "{name}");
    }
    let tied = ["decoder.embed_tokens", "decoder.output_projection"].map(|name| format!("model.{name}.weight"));
    assert!(tied.iter().all(|name| theirs.contains_key(name)));
    let vocabulary = common::json(&lab.path("hf/vocab-src.json"));
    assert_eq!((&vocabulary["<s>"], &vocabulary["<unk>"]), (&serde_json::json!(0), &serde_json::json!(3)));
    assert_eq!(vocabulary.as_object().unwrap().len() as i64, config["src_vocab_size"].as_i64().unwrap());
    lab.train("skip", &["--max-updates=3", "--set=model.w_skip=true"]).ok();
    export("skip").fails(1, &["w_skip", "safetensors"]);
    assert!(lab.path("hf/config.json").exists(), "what was there stays");
    let apart = ["--set=model.share_all_embeddings=false", "--set=model.share_decoder_input_output_embed=false"];
    lab.train("apart", &[&["--max-updates=3"][..], &apart].concat()).ok();
    export("apart").fails(1, &["output projection"]);
}
