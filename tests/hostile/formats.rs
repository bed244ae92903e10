//! Damaged files, one format after the other. What is accepted has to be what the file says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use nmt::config::{Config, Configuration, describe};
use nmt::data::{Bpe, Dictionary, EOS, ParallelDataset, PreprocessOptions, preprocess};
use nmt::init::draw_theta;
use nmt::model::{ModelConfig, Transformer};
use nmt::optim::OptimizerConfig;
use nmt::plot::learning_curve;
use nmt::task::Task;
use nmt::text::{LineReader, Subword, TextPipeline, join_subwords};
use nmt::train::{Checkpoint, load_weights};

use crate::draw;
use crate::mutate::attack;

/// A small dataset with a byte-pair encoding.
struct Data {
    folder: tempfile::TempDir,
}

impl Data {
    fn new() -> Data {
        nmt::progress::set_quiet(true);
        let folder = tempfile::tempdir().unwrap();
        let words = ["ein", "Haus", "und", "noch", "eines", "hinter", "dem", "grünen", "Häuschen", "!"];
        for (language, step) in [("de", 3), ("en", 7)] {
            let line =
                |i: usize| (0..3 + i % 5).map(|j| words[(i * step + j) % words.len()]).collect::<Vec<_>>().join(" ");
            let text: String = (0..40).map(|i| line(i) + "\n").collect();
            fs::write(folder.path().join(format!("text.{language}")), text).unwrap();
        }
        let options = PreprocessOptions {
            source_language: "de".to_string(),
            target_language: "en".to_string(),
            train: Some(folder.path().join("text")),
            output: folder.path().join("data"),
            bpe: Bpe::Merges(20),
            padding_factor: 1,
            ..PreprocessOptions::default()
        };
        preprocess(&options, || None).unwrap();
        Data { folder }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// Damage one file of the dataset and read it with `read`.
    fn attack(&self, name: &str, mut read: impl FnMut(&Path) -> nmt::Result<()>) {
        let path = self.path(name);
        let original = fs::read(&path).unwrap();
        attack(name, &original, |bytes| {
            fs::write(&path, bytes).unwrap();
            read(&path)
        });
    }
}

/// Read a dataset to the end, as training does.
fn read_dataset(dir: &Path) -> nmt::Result<()> {
    let data = ParallelDataset::open(dir, "train", None, None)?;
    assert_eq!((data.source.len(), data.target.len()), (data.len(), data.len()));
    for i in 0..data.len() {
        for (dictionary, side) in [(&data.source_dictionary, &data.source), (&data.target_dictionary, &data.target)] {
            let ids = side.get(i);
            assert_eq!(ids.last(), Some(&EOS));
            assert!(ids.iter().all(|&id| (0..dictionary.len() as i64).contains(&id)));
        }
    }
    let batch = data.batch(&(0..data.len().min(50)).collect::<Vec<_>>())?;
    assert_eq!((batch.source.len(), batch.target.len()), (batch.n * batch.s, batch.n * batch.t));
    Ok(())
}

#[test]
fn the_index_of_a_dataset() {
    let data = Data::new();
    data.attack("train.de-en.de.idx", |_| read_dataset(&data.dir()));
}

#[test]
fn the_ids_of_a_dataset() {
    let data = Data::new();
    data.attack("train.de-en.en.bin", |_| read_dataset(&data.dir()));
}

#[test]
fn a_dictionary() {
    let data = Data::new();
    let copy = data.path("copy.txt");
    data.attack("dict.de.txt", |path| {
        let dictionary = Dictionary::load(path)?;
        let lines = fs::read_to_string(path).unwrap().split_terminator('\n').count();
        assert_eq!(dictionary.len(), lines + 4);
        dictionary.save(&copy)?;
        assert_eq!(Dictionary::load(&copy).unwrap(), dictionary);
        // A dataset of the folder fits or is refused.
        read_dataset(&data.dir())
    });
}

/// Whatever the merges, the pieces of a word are the word.
fn segment(subword: &Subword) {
    for line in ["Häuschen hinter", "grünen", "\u{301}x 漢字", "</w> <unknown character>"] {
        assert_eq!(join_subwords(&subword.segment(line)), line);
    }
}

#[test]
fn the_tokenizer() {
    let data = Data::new();
    let sorted = |subword: &Subword| {
        let mut merges = subword.merges().to_vec();
        merges.sort();
        merges
    };
    let undamaged = sorted(&Subword::load(&data.dir()).unwrap().unwrap());
    data.attack("tokenizer.json", |path| {
        let subword = Subword::read(path)?;
        // Another order is another encoding, and as good a file; but no merge is lost or becomes another without a word.
        assert_eq!(sorted(&subword), undamaged);
        segment(&subword);
        Ok(())
    });
}

#[test]
fn the_codes_of_subword_nmt() {
    let data = Data::new();
    let json: serde_json::Value = serde_json::from_slice(&fs::read(data.path("tokenizer.json")).unwrap()).unwrap();
    let mut codes = "#version: 0.2\n".to_string();
    for merge in json["model"]["merges"].as_array().unwrap() {
        codes += &format!("{} {}\n", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    }
    fs::write(data.path("codes"), codes).unwrap();
    data.attack("codes", |path| {
        let subword = Subword::read(path)?;
        assert!(subword.merges().len() < fs::read_to_string(path).unwrap().split('\n').count());
        segment(&subword);
        Ok(())
    });
}

#[test]
fn the_settings_of_the_text() {
    let data = Data::new();
    let undamaged = *TextPipeline::load(&data.dir(), "de").unwrap().unwrap().settings();
    data.attack("preprocess.json", |_| {
        let pipeline = TextPipeline::load(&data.dir(), "de")?;
        assert_eq!(*pipeline.expect("the file is there").settings(), undamaged);
        Ok(())
    });
}

#[test]
fn a_compressed_text() {
    let mut random = draw::random(21);
    let text: String = (0..200).map(|_| draw::line(&mut random, 10) + "\n").collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.gz");
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    attack("text.gz", &packed.finish().unwrap(), |bytes| {
        fs::write(&path, bytes).unwrap();
        let mut reader = LineReader::open(&path)?;
        let mut read = String::new();
        while let Some(line) = reader.read_line()? {
            read += line;
            read.push('\n');
        }
        assert!(read == text, "the checksum of gzip lets nothing else through");
        Ok(())
    });
}

#[test]
fn a_configuration() {
    let text = describe(&Config::default()).unwrap();
    attack("config.toml", text.as_bytes(), |bytes| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, bytes).unwrap();
        let config = Config::load(Some(&path), &[])?;
        assert_eq!(Config::parse(&config.to_toml().unwrap(), "again", &[]).unwrap(), config);
        // A network is made where that is quick, and refused where it does not fit the memory.
        if config.model.max_positions <= 1 << 12 && config.model.embed_dim <= 1 << 12 {
            let model = Transformer::new(&config.model, 50, 50, config.training.label_smoothing)?;
            assert!(model.layout().total() > 0);
        }
        Ok(())
    });
}

/// The model of the checkpoints.
fn model() -> Transformer {
    let sizes = ModelConfig {
        embed_dim: 4,
        ffn_dim: 4,
        attention_heads: 2,
        encoder_layers: 1,
        decoder_layers: 1,
        max_positions: 8,
        ..ModelConfig::default()
    };
    Transformer::new(&sizes, 10, 12, 0.1).unwrap()
}

fn identity() -> BTreeMap<String, String> {
    BTreeMap::from([("source_dictionary".to_string(), "abc".to_string())])
}

/// A checkpoint to resume from: the checksum lets nothing through but what was saved.
#[test]
fn a_checkpoint() {
    let model = model();
    let theta = draw_theta(&Config::default().init, model.layout(), 1);
    let optimizer = || OptimizerConfig::default().build(&theta, model.layout());
    let mut saved = Checkpoint::start(theta.copy(), optimizer());
    saved.state.update = 7;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    saved.save(&path, &model, &identity()).unwrap();
    attack("last.safetensors", &fs::read(&path).unwrap(), |bytes| {
        fs::write(&path, bytes).unwrap();
        let loaded = Checkpoint::load(&path, &model, optimizer(), &identity())?;
        assert_eq!(loaded.state, saved.state);
        assert!(loaded.theta.equal(&theta));
        Ok(())
    });
}

/// Weights of another program, which have no checksum: numbers of θ's shape, or refused.
#[test]
fn weights_of_another_program() {
    let model = model();
    let theta = draw_theta(&Config::default().init, model.layout(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fairseq.safetensors");
    model.layout().save(&path, &[("", &theta)], &BTreeMap::new()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let bytes = safetensors::serialize(tensors.iter(), None).unwrap();
    attack("fairseq.safetensors", &bytes, |bytes| {
        fs::write(&path, bytes).unwrap();
        let loaded = load_weights(&path, model.layout(), &identity())?;
        assert_eq!(loaded.size(), [model.layout().total()]);
        assert!(bool::try_from(loaded.isfinite().all()).unwrap());
        Ok(())
    });
}

#[test]
fn the_log_of_a_run() {
    let log = r#"{"event":"update","update":100,"epoch":2,"loss":6.164589,"nll_loss":5.63,"learning_rate":0.00187,"gradient_norm":0.987,"target_tokens":276482,"tokens_per_second":12825.03,"seconds":21.55}
{"event":"validation","update":150,"epoch":3,"loss":4.2,"nll_loss":3.1,"perplexity":8.57,"bleu":12.5,"best":true,"seconds":30.1}
{"event":"update","update":200,"epoch":3,"loss":3.906,"nll_loss":2.98,"learning_rate":0.00175,"gradient_norm":0.98,"target_tokens":285655,"tokens_per_second":12701.78,"seconds":44.04}
"#;
    let folder = tempfile::tempdir().unwrap();
    let (path, picture) = (folder.path().join("log.jsonl"), folder.path().join("curve.svg"));
    attack("log.jsonl", log.as_bytes(), |bytes| {
        fs::write(&path, bytes).unwrap();
        learning_curve(&[("run".to_string(), path.clone())], &picture)?;
        let picture = fs::read_to_string(&picture).unwrap();
        assert!(picture.contains("</svg>") && !picture.contains("NaN"));
        Ok(())
    });
}
