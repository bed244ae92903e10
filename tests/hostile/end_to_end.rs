//! Odd text through `preprocess`: what is in the dataset is what was in the files, or nothing is written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use nmt::data::{Bpe, Dictionary, IndexedDataset, PreprocessOptions, PreprocessReport, preprocess, words};
use nmt::text::{Subword, TextPipeline, TextSettings, Tokenization};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::draw;

const LINES: usize = 400;
const SPECIALS: [&str; 3] = ["<s>", "<pad>", "</s>"];

/// Lines of a side: some end in `\r`, some are empty, some have a megabyte.
fn lines(random: &mut ChaCha8Rng) -> Vec<String> {
    let megabytes = draw::megabytes();
    (0..LINES)
        .map(|number| match number % 200 {
            199 => megabytes[random.random_range(0..megabytes.len())].1.clone(),
            n if n % 10 == 0 => draw::line(random, 30) + "\r",
            n if n % 17 == 0 => String::new(),
            _ => draw::line(random, 30),
        })
        .collect()
}

fn options(folder: &Path, prefix: &Path, output: &str) -> PreprocessOptions {
    nmt::progress::set_quiet(true);
    PreprocessOptions {
        source_language: "de".to_string(),
        target_language: "en".to_string(),
        train: Some(prefix.to_path_buf()),
        output: folder.join(output),
        threads: Some(2),
        padding_factor: 8,
        ..PreprocessOptions::default()
    }
}

fn run(options: &PreprocessOptions) -> nmt::Result<PreprocessReport> {
    preprocess(options, || None)
}

fn write(folder: &Path, name: &str, sides: &[Vec<String>; 2]) -> PathBuf {
    for (language, lines) in ["de", "en"].into_iter().zip(sides) {
        // The last line has no line feed.
        fs::write(folder.join(format!("{name}.{language}")), lines.join("\n")).unwrap();
    }
    folder.join(name)
}

#[test]
fn every_line_is_in_the_dataset() {
    let mut random = draw::random(11);
    let mut sides = [lines(&mut random), lines(&mut random)];
    // A file whose last line is empty has one line less.
    sides.iter_mut().for_each(|lines| lines.push("end".to_string()));
    let folder = tempfile::tempdir().unwrap();
    let prefix = write(folder.path(), "text", &sides);
    let raw = TextSettings { tokenizer: Tokenization::None, ..TextSettings::default() };
    let every = TextSettings {
        lowercase_first: true,
        normalize: true,
        lowercase: true,
        aggressive_hyphens: true,
        ..TextSettings::default()
    };
    for (name, text, bpe) in [
        ("raw", raw, Bpe::None),
        ("pieces", raw, Bpe::Merges(30)),
        ("moses", TextSettings::default(), Bpe::None),
        ("all", every, Bpe::Merges(30)),
    ] {
        let options =
            PreprocessOptions { text, bpe, joined_dictionary: name == "all", ..options(folder.path(), &prefix, name) };
        let report = run(&options).unwrap();
        assert_eq!((report.splits[0].read, report.splits[0].kept), (LINES as u64 + 1, LINES as u64 + 1), "{name}");
        assert_eq!(report.splits[0].sides.each_ref().map(|side| side.unknown), [0, 0], "{name}");
        let subword = Subword::load(&options.output).unwrap();
        for (language, lines) in ["de", "en"].into_iter().zip(&sides) {
            let pipeline = TextPipeline::load(&options.output, language).unwrap().unwrap();
            let dictionary = Dictionary::load(&options.output.join(format!("dict.{language}.txt"))).unwrap();
            let dataset = IndexedDataset::open(&options.output.join(format!("train.de-en.{language}"))).unwrap();
            assert_eq!(dataset.len(), LINES + 1, "{name}");
            for (i, line) in lines.iter().enumerate() {
                let line = pipeline.apply(line);
                let pieces = subword.as_ref().map_or_else(|| line.clone(), |subword| subword.segment(&line));
                let expected: Vec<&str> = words(&pieces).filter(|word| !SPECIALS.contains(word)).collect();
                assert!(dictionary.decode(&dataset.get(i)) == expected.join(" "), "{name} {language} line {}", i + 1);
            }
        }
    }
}

#[test]
fn a_compressed_text_is_the_text() {
    let mut random = draw::random(12);
    let sides = [lines(&mut random), lines(&mut random)];
    let folder = tempfile::tempdir().unwrap();
    let plain = write(folder.path(), "plain", &sides);
    for (language, lines) in ["de", "en"].into_iter().zip(&sides) {
        let file = fs::File::create(folder.path().join(format!("packed.{language}.gz"))).unwrap();
        let mut packed = GzEncoder::new(file, Compression::fast());
        packed.write_all(lines.join("\n").as_bytes()).unwrap();
        packed.finish().unwrap();
    }
    run(&options(folder.path(), &plain, "a")).unwrap();
    run(&options(folder.path(), &folder.path().join("packed"), "b")).unwrap();
    for name in ["train.de-en.de.bin", "train.de-en.en.idx", "dict.de.txt", "dict.en.txt"] {
        let read = |data: &str| fs::read(folder.path().join(data).join(name)).unwrap();
        assert!(read("a") == read("b"), "{name}");
    }
}

#[test]
fn bytes_that_are_no_text_are_named_and_nothing_is_written() {
    let mut random = draw::random(13);
    // A byte that begins nothing, half a character, a surrogate, an overlong form, one behind the last character.
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"] {
        let sides = [0, 1].map(|_| (0..50).map(|_| draw::line(&mut random, 10)).collect::<Vec<String>>());
        let folder = tempfile::tempdir().unwrap();
        let prefix = write(folder.path(), "text", &sides);
        let at = random.random_range(0..50);
        let mut bytes: Vec<Vec<u8>> = sides[1].iter().map(|line| line.clone().into_bytes()).collect();
        bytes[at].extend_from_slice(bad);
        bytes[at].push(b'x');
        fs::write(folder.path().join("text.en"), bytes.join(&b'\n')).unwrap();
        let message = run(&options(folder.path(), &prefix, "out")).unwrap_err().to_string();
        let place = format!("text.en:{}", at + 1);
        assert!(message.contains(&place) && message.contains("UTF-8"), "{message}");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "{left:?}");
    }
}
