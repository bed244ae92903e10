//! The ways of raw text to words, and back, are those of the recipes.
//! Oracle: the Moses scripts, piped as the reference data's README says, on 2,000 lines a language (`golden/moses`),
//! and Multi30k's own tokenised files.

mod common;

use common::reference;
use nmt::text::moses::Version;
use nmt::text::{TextPipeline, TextSettings};

fn lines(name: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(reference(name)?).unwrap();
    Some(text.split_terminator('\n').map(str::to_string).collect())
}

fn multi30k(moses_version: Version) -> TextSettings {
    TextSettings { lowercase_first: true, normalize: true, moses_version, ..TextSettings::default() }
}

#[test]
fn the_orders_of_the_recipes() {
    let cases = [
        ("tok", TextSettings::default()),
        ("tok-a", TextSettings { aggressive_hyphens: true, ..TextSettings::default() }),
        ("tok-noescape", TextSettings { no_escape: true, ..TextSettings::default() }),
        ("norm_tok", TextSettings { normalize: true, ..TextSettings::default() }),
        ("tok_lc", TextSettings { lowercase: true, ..TextSettings::default() }),
        ("lc_norm_tok", multi30k(Version::Current)),
        ("old-lc_norm_tok", multi30k(Version::Of2017)),
    ];
    for language in ["de", "en"] {
        let Some(raw) = lines(&format!("golden/moses/in.{language}")) else { return };
        for (name, settings) in &cases {
            let Some(expected) = lines(&format!("golden/moses/{name}.{language}")) else { return };
            let pipeline = TextPipeline::new(language, settings).unwrap();
            for (i, (line, expected)) in raw.iter().zip(&expected).enumerate() {
                assert_eq!(&pipeline.apply(line), expected, "{name}.{language}, line {}", i + 1);
            }
        }
    }
}

#[test]
fn translations_become_readable() {
    for language in ["de", "en"] {
        let Some(words) = lines(&format!("golden/moses/tok.{language}")) else { return };
        let Some(expected) = lines(&format!("golden/moses/tok_detok.{language}")) else { return };
        let pipeline = TextPipeline::new(language, &TextSettings::default()).unwrap();
        for (line, expected) in words.iter().zip(&expected) {
            // Pieces are joined first, which takes white space off the end that the detokenizer keeps in odd lines.
            assert_eq!(pipeline.restore(line).trim_end(), expected.trim_end(), "{line:?}");
        }
    }
    let pipeline = TextPipeline::new("en", &TextSettings::default()).unwrap();
    assert_eq!(pipeline.restore("it &apos;s lo@@ w@@ er ."), "it's lower.");
}

#[test]
fn multi30k_as_it_was_published() {
    for language in ["de", "en"] {
        let Some(expected) = lines(&format!("multi30k/tok/val.lc.norm.tok.{language}")) else { return };
        let Some(archive) = reference(&format!("multi30k/raw/val.{language}.gz")) else { return };
        let pipeline = TextPipeline::new(language, &multi30k(Version::Of2017)).unwrap();
        let mut reader = nmt::text::LineReader::open(&archive).unwrap();
        for expected in &expected {
            assert_eq!(&pipeline.apply(reader.read_line().unwrap().unwrap()), expected);
        }
        assert_eq!(reader.read_line().unwrap(), None);
    }
}
