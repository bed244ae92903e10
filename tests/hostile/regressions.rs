//! What once went wrong, one test each.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use nmt::config::{Config, Configuration};
use nmt::data::{Bpe, IndexedDataset, IndexedWriter, ParallelDataset, PreprocessOptions, Recipe, preprocess};
use nmt::init::draw_theta;
use nmt::model::{ModelConfig, Transformer};
use nmt::params::{BlockKind, Layout, safetensors_metadata};
use nmt::task::Task;
use nmt::text::moses::{Tokenizer, TokenizerOptions};
use nmt::text::wit3::{TEST_SETS, segment};
use nmt::text::{LONGEST_LINE, LineReader, Subword, TextPipeline, TextSettings, Tokenization};
use nmt::train::{load_weights, save_weights};
use tch::Tensor;

use crate::common::command::Lab;
use crate::memory::largest_request;

fn options(folder: &Path) -> PreprocessOptions {
    nmt::progress::set_quiet(true);
    PreprocessOptions {
        source_language: "de".to_string(),
        target_language: "en".to_string(),
        text: TextSettings { tokenizer: Tokenization::None, ..TextSettings::default() },
        output: folder.join("data"),
        padding_factor: 1,
        ..PreprocessOptions::default()
    }
}

fn pack(path: &Path, part: &str, times: usize) {
    let mut packed = GzEncoder::new(fs::File::create(path).unwrap(), Compression::fast());
    (0..times).for_each(|_| packed.write_all(part.as_bytes()).unwrap());
    packed.finish().unwrap();
}

#[test]
fn a_line_without_end_filled_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.de.gz");
    pack(&path, &("a\n".to_string() + &"a".repeat(1 << 20)), 1);
    let mut packed = fs::OpenOptions::new().append(true).open(&path).unwrap();
    let rest = folder.path().join("rest.gz");
    pack(&rest, &"a".repeat(1 << 20), 200);
    packed.write_all(&fs::read(&rest).unwrap()).unwrap();
    let mut reader = LineReader::open(&path).unwrap();
    let (message, largest) = largest_request(|| {
        assert_eq!(reader.read_lines(10).unwrap(), ["a"]);
        reader.read_lines(10).unwrap_err().to_string()
    });
    assert!(message.contains("text.de.gz:2") && message.contains("16 MiB"), "{message}");
    assert!(largest <= 2 * LONGEST_LINE, "{largest}");
}

/// Not wrong before, but what the limit on lines must not stop.
#[test]
fn an_archive_of_many_lines_is_read_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.de.gz");
    pack(&path, &"ein Haus\n".repeat(100_000), 100);
    let mut reader = LineReader::open(&path).unwrap();
    let (lines, largest) = largest_request(|| {
        let mut lines = 0;
        while reader.read_line().unwrap().is_some() {
            lines += 1;
        }
        lines
    });
    assert_eq!(lines, 10_000_000);
    assert!(largest < 2 << 20, "{largest} bytes for 90 MB of text");
}

/// The pieces were counted of the word without its `\r`, so that a piece of the training text was unknown.
#[test]
fn a_carriage_return_in_a_word_made_its_piece_unknown() {
    let folder = tempfile::tempdir().unwrap();
    for language in ["de", "en"] {
        fs::write(folder.path().join(format!("text.{language}")), "a \rb c\r d\n").unwrap();
    }
    let options =
        PreprocessOptions { train: Some(folder.path().join("text")), bpe: Bpe::Merges(1), ..options(folder.path()) };
    let report = preprocess(&options, || None).unwrap();
    assert_eq!(report.splits[0].sides.each_ref().map(|side| side.unknown), [0, 0]);
}

/// `n` sentences of the ids 4, 5 and `last`, in a dataset whose two sides are the same.
fn dataset(folder: &Path, n: usize, last: i64) {
    for language in ["de", "en"] {
        let mut writer = IndexedWriter::create(&folder.join(format!("train.de-en.{language}")), 6).unwrap();
        (0..n).for_each(|_| writer.push(&[4, 5, last]).unwrap());
        writer.finish().unwrap();
        fs::write(folder.join(format!("dict.{language}.txt")), "a 2\nb 1\n").unwrap();
    }
}

/// Ten million sentences that are each the whole of a file were ten million times its length.
#[test]
fn sentences_that_overlap_were_read_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 2, 2);
    let prefix = folder.path().join("train.de-en.de");
    let index = folder.path().join("train.de-en.de.idx");
    let mut bytes = fs::read(&index).unwrap();
    // The offset of the second sentence, after a header of 26 bytes, two lengths and an offset.
    bytes[42..50].fill(0);
    fs::write(&index, &bytes).unwrap();
    assert_eq!(
        IndexedDataset::open(&prefix).unwrap().get(1),
        [4, 5, 2],
        "the same ids twice in a file of twice as many"
    );
    bytes[26..30].copy_from_slice(&6_i32.to_le_bytes());
    fs::write(&index, &bytes).unwrap();
    let message = IndexedDataset::open(&prefix).unwrap_err().to_string();
    assert!(message.contains("train.de-en.de.idx") && message.contains("overlap"), "{message}");
}

#[test]
fn a_sentence_without_its_end_was_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    dataset(folder.path(), 2, 5);
    let message = ParallelDataset::open(folder.path(), "train", None, None).unwrap_err().to_string();
    assert!(message.contains("</s>, id 2, at the end of sentence 0") && message.contains("found id 5"), "{message}");
}

#[test]
fn a_small_archive_gave_an_empty_validation_text() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("de-en");
    fs::create_dir(&archive).unwrap();
    for language in ["de", "en"] {
        fs::write(archive.join(format!("train.tags.de-en.{language}")), "a b\n".repeat(22)).unwrap();
        for set in TEST_SETS {
            fs::write(archive.join(format!("IWSLT14.{set}.de-en.{language}.xml")), "<seg id=\"1\">a</seg>\n").unwrap();
        }
    }
    let options = PreprocessOptions { recipe: Some(Recipe::Iwslt14(archive.clone())), ..options(folder.path()) };
    let message = preprocess(&options, || None).unwrap_err().to_string();
    assert!(message.contains("at least 23 training pairs") && message.contains("found 22 among 22"), "{message}");
    for language in ["de", "en"] {
        fs::write(archive.join(format!("train.tags.de-en.{language}")), "a b\n".repeat(23)).unwrap();
    }
    assert_eq!(preprocess(&options, || None).unwrap().splits[1].kept, 1);
}

/// Oracle: GNU sed 4.9, whose `\s` is no no-break space in any locale.
#[test]
fn a_no_break_space_beside_a_tag_was_stripped() {
    let text = |line: &str| segment(line).unwrap();
    assert_eq!(text("<seg id=\"1\">\u{a0}x\u{a0}</seg>"), "\u{a0}x\u{a0}");
    assert_eq!(text("<seg id=\"1\"> \t\u{b}x \t</seg>\r"), "x");
}

#[test]
fn a_long_row_of_dots_took_minutes() {
    let tokenizer = Tokenizer::new("en", &TokenizerOptions::default()).unwrap();
    // What the script does, a replacement at a time.
    let replaced = |mut text: String| {
        while text.contains("DOTDOTMULTI") {
            text = text.replace("DOTDOTMULTI", "DOTMULTI.");
        }
        text.replace("DOTMULTI", ".")
    };
    for text in ["DOTMULTI", "xDOTDOTDOTMULTIDOTMULTIy", "DODOTDOTMULTI", "DOTDOTMULT DOTMULTIDOT", "OTDOTMULTIMULTI"] {
        assert_eq!(tokenizer.tokenize(text), replaced(text.to_string()), "{text}");
    }
    let long = tokenizer.tokenize(&("DOT".repeat(1 << 19) + "MULTI"));
    assert!(long == ".".repeat(1 << 19));
}

#[test]
fn a_padding_factor_filled_the_dictionary_with_made_up_words() {
    let folder = tempfile::tempdir().unwrap();
    let options = PreprocessOptions {
        train: Some(folder.path().join("text")),
        padding_factor: usize::MAX,
        ..options(folder.path())
    };
    let error = preprocess(&options, || None).unwrap_err();
    assert!(error.to_string().contains("at most 65536") && error.exit_code() == 2, "{error}");
}

fn layout() -> Layout {
    let mut layout = Layout::default();
    layout.add("a", &[2, 3], BlockKind::Weight);
    layout.add("b", &[2], BlockKind::Bias);
    layout
}

/// Save θ, change the bytes, and give the message of the error.
fn checkpoint_with(theta: &Tensor, change: impl Fn(&mut Vec<u8>)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    save_weights(&path, &layout(), theta, &BTreeMap::new()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
    load_weights(&path, &layout(), &BTreeMap::new()).unwrap_err().to_string()
}

/// Exchange every `from` by `to`, which is as long.
fn exchange(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at..at + from.len()].copy_from_slice(to.as_bytes()));
}

#[test]
fn a_flipped_bit_made_another_model() {
    let theta = Tensor::arange(8, (tch::Kind::Float, tch::Device::Cpu));
    let message = checkpoint_with(&theta, |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert!(message.contains("checksum") && message.contains("truncated or altered"), "{message}");
    let message = checkpoint_with(&theta, |bytes| exchange(bytes, "\"b\"", "\"c\""));
    assert!(message.contains("checksum"), "{message}");
}

#[test]
fn integers_and_what_is_no_number_were_taken_for_weights() {
    let theta = Tensor::arange(8, (tch::Kind::Float, tch::Device::Cpu));
    let message = checkpoint_with(&theta, |bytes| {
        exchange(bytes, "crc32", "other");
        exchange(bytes, "\"F32\"", "\"I32\"");
    });
    assert!(message.contains("floating-point numbers") && message.contains("I32"), "{message}");
    let message = checkpoint_with(&(theta / 0.0), |_| {});
    assert!(message.contains("`a` of finite numbers") && message.contains("infinity or NaN"), "{message}");
}

/// Metadata that could not be read counted as none, and so the dictionaries were not compared.
#[test]
fn damaged_metadata_counted_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("best.safetensors");
    let theta = Tensor::zeros([8], (tch::Kind::Float, tch::Device::Cpu));
    save_weights(&path, &layout(), &theta, &BTreeMap::from([("key".to_string(), "value".to_string())])).unwrap();
    assert_eq!(safetensors_metadata(&path).unwrap()["key"], "value");
    let mut bytes = fs::read(&path).unwrap();
    exchange(&mut bytes, "\\\"key\\\":", "\\\"key\\\",");
    fs::write(&path, &bytes).unwrap();
    assert!(safetensors_metadata(&path).unwrap_err().to_string().contains("truncated or altered"));
}

#[test]
fn a_configuration_asked_for_more_memory_than_there_is() {
    let model = |set: &dyn Fn(&mut ModelConfig)| {
        let mut sizes = ModelConfig { max_positions: 16, ..ModelConfig::default() };
        set(&mut sizes);
        Transformer::new(&sizes, 100, 100, 0.1).err().map(|error| (error.exit_code(), error.to_string()))
    };
    assert_eq!(model(&|_| {}), None);
    for set in [
        // More parameters than an i64 counts, than a memory holds, and a table of positions that it does not hold.
        (|sizes: &mut ModelConfig| (sizes.embed_dim, sizes.ffn_dim, sizes.encoder_layers) = (1 << 20, 1 << 20, 1024))
            as fn(&mut ModelConfig),
        |sizes| (sizes.embed_dim, sizes.ffn_dim) = (1 << 16, 1 << 20),
        |sizes| (sizes.embed_dim, sizes.max_positions) = (1 << 16, 1 << 20),
    ] {
        let (code, message) = model(&set).unwrap();
        assert!(code == 2 && message.contains("GiB of memory") && message.contains("lower model."), "{message}");
    }
    for (key, value, expected) in [
        ("model.encoder_layers", "1048576", "from 1 to 1024"),
        ("model.max_positions", "1", "from 2 to 1048576"),
        ("validation.beam", "1000000000", "from 1 to 1024"),
        ("validation.beam", "0", "from 1 to 1024"),
    ] {
        let error = Config::parse("", "", &[format!("{key}={value}")]).unwrap_err();
        assert!(error.to_string().contains(key) && error.to_string().contains(expected), "{error}");
    }
}

/// Names and keys that were not there had a default, and others were not looked at.
#[test]
fn files_of_another_kind_were_taken_for_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("preprocess.json");
    for text in ["{}", "[]", "{\"text\":{}}", "{\"text\":null}", "{\"model\":\"x\"}", "7"] {
        fs::write(&path, text).unwrap();
        assert!(TextPipeline::load(folder.path(), "de").err().is_some(), "{text}");
    }
    let path = folder.path().join("tokenizer.json");
    let model = r#""end_of_word_suffix":"</w>","vocab":{"a":0,"b":1,"ab":2}"#;
    for (text, part) in [
        ("{}".to_string(), "model"),
        (r#"{"text":{"lowercase":true}}"#.to_string(), "model"),
        (r#"{"model":{"type":"WordPiece","vocab":{},"merges":[]}}"#.to_string(), "WordPiece"),
        (format!("{{\"model\":{{{model}}}}}"), "merges"),
        (r#"{"model":{"end_of_word_suffix":"</w>","merges":[]}}"#.to_string(), "vocab"),
        (format!("{{\"model\":{{{model},\"merges\":[[\"a\",\"c\"]]}}}}"), "merge 1"),
        (format!("{{\"model\":{{{model},\"merges\":[\"b a\"]}}}}"), "merge 1"),
        (format!("{{\"normalizer\":{{\"type\":\"Lowercase\"}},\"model\":{{{model},\"merges\":[]}}}}"), "a normalizer"),
        (
            format!("{{\"pre_tokenizer\":{{\"type\":\"ByteLevel\"}},\"model\":{{{model},\"merges\":[]}}}}"),
            "bytes as characters",
        ),
    ] {
        fs::write(&path, &text).unwrap();
        let message = Subword::read(&path).unwrap_err().to_string();
        assert!(message.contains(part) && message.contains("tokenizer.json"), "{text}: {message}");
    }
    for merges in [r#"[["a","b"]]"#, r#"["a b"]"#] {
        fs::write(&path, format!("{{\"model\":{{{model},\"merges\":{merges}}}}}")).unwrap();
        assert_eq!(Subword::read(&path).unwrap().segment("abc"), "ab@@ c");
    }
}

/// The program with a model: a line of a megabyte, weights that overflow, and a name that leaves the folder.
#[test]
fn translate_names_the_line_that_is_too_long_and_loses_none() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=1", "--set=validation.bleu=false"]).ok();
    let translate = |input: &str| lab.nmt_with_input(&["translate", "--model", "run", "--threads=1"], input.as_bytes());
    let long = "a ".repeat(1 << 19);
    translate(&format!("a\n{long}\n")).fails(1, &["standard input:2", "at most 1024", "split the line"]);
    // The lines after it, too, where that was wanted.
    let input = format!("a\n{}\nb\n", "a ".repeat(2000));
    let chosen = |choice: &str, format: &str| {
        let arguments = ["translate", "--model=run", "--threads=1", "--too-long", choice, "--format", format];
        let ran = lab.nmt_with_input(&arguments, input.as_bytes());
        assert!(ran.stderr.contains("of more than 1024 subwords, "), "{}", ran.stderr);
        ran.ok()
    };
    let [skipped, truncated] = ["skip", "truncate"].map(|choice| chosen(choice, "text"));
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    let (skipped, truncated) = (lines(&skipped), lines(&truncated));
    assert_eq!((skipped.len(), skipped[1].as_str(), truncated.len()), (3, "", 3));
    assert_eq!([&skipped[0], &skipped[2]], [&truncated[0], &truncated[2]]);
    assert!(lines(&chosen("skip", "jsonl"))[1].contains("\"translations\":[]"));
    translate(&format!("{}\n", "a".repeat(LONGEST_LINE + 1))).fails(1, &["standard input:1", "16 MiB"]);
    // What comes before the line that is wrong is translated.
    assert_eq!(lab.nmt_with_input(&["translate", "--model", "run"], b"a\nb\n\xff\nc\n").stdout.lines().count(), 2);

    // Logits that are no numbers gave no line at all, so that the lines after it belonged to others.
    let best = lab.path("run/best.safetensors");
    let config = Config::load(Some(&lab.path("run/config.toml")), &[]).unwrap();
    let dictionary = nmt::data::Dictionary::load(&lab.path("run/dict.de.txt")).unwrap();
    let symbols = dictionary.len() as i64;
    let model = Transformer::new(&config.model, symbols, symbols, 0.1).unwrap();
    let metadata = safetensors_metadata(&best).unwrap();
    let theta = draw_theta(&config.init, model.layout(), 1) * 1e37;
    save_weights(&best, model.layout(), &theta, &metadata).unwrap();
    translate("a\nb\n").fails(1, &["probabilities", "NaN", "use another one"]);

    let mut elsewhere = metadata;
    elsewhere.insert("source_lang".to_string(), "../../../etc/x".to_string());
    save_weights(&best, model.layout(), &theta, &elsewhere).unwrap();
    translate("a\n").fails(1, &["a language code in the entry `source_lang`"]);
}
