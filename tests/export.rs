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

/// A Python that has CTranslate2: `NMT_CTRANSLATE2_PYTHON`, that of the benchmarks, or the usual one.
fn python() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os("NMT_CTRANSLATE2_PYTHON").map(PathBuf::from);
    let all = [given, Some(root.join("target/bench-venv/bin/python")), Some("python3".into())];
    let has = |python: &PathBuf| {
        Command::new(python).args(["-c", "import ctranslate2"]).output().is_ok_and(|ran| ran.status.success())
    };
    let found = all.into_iter().flatten().find(has);
    if found.is_none() {
        eprintln!("skipped: found no Python with ctranslate2 (set NMT_CTRANSLATE2_PYTHON)");
    }
    found
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
    let Some(python) = python() else { return };
    let lab = Lab::new();
    lab.preprocess();
    let variants: [(&str, &[&str]); 4] = [
        ("shared", &[]),
        ("skip", &["--set=model.w_skip=true", "--set=init.method=admin"]),
        ("pre", &["--set=model.pre_norm=true"]),
        ("apart", &["--set=model.share_all_embeddings=false", "--set=model.share_decoder_input_output_embed=false"]),
    ];
    for (run, settings) in variants {
        lab.train(run, &[&["--max-updates=300", "--set=schedule.learning_rate=3e-3"], settings].concat()).ok();
        let folder = format!("{run}-ct2");
        lab.nmt(&["export", "--model", run, "--to=ctranslate2", "--output", &folder]).ok();
        let source = std::fs::read(lab.path("test.de")).unwrap();
        let ours = lab.nmt_with_input(&["translate", "--model", run, "--beam=5", "--format=jsonl"], &source).ok();
        std::fs::write(lab.path("ours.jsonl"), &ours).unwrap();
        std::fs::write(lab.path("translate.py"), SCRIPT).unwrap();
        let mut theirs = Command::new(&python);
        theirs.args(["translate.py", &folder]).current_dir(lab.path(""));
        let ran = theirs.stdin(std::fs::File::open(lab.path("ours.jsonl")).unwrap()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let theirs = String::from_utf8(ran.stdout).unwrap();
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
        println!(
            "{run}: {same} of 40 translations are CTranslate2's, log-probabilities differ by {difference:.1e} at most"
        );
        assert!(difference < 1e-4, "{run}: {difference}");
        // Its search may stop at another place.
        assert!(same >= 30, "{run}: {same}");
        assert!(distinct.len() > 10, "{run}: translations that are all the same show nothing");
    }
}
