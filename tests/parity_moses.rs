//! Every stage of Moses line for line against the output of the Perl scripts.
//!
//! Oracle: `golden/moses`, 2,000 lines a language run through Moses' own Perl scripts (Perl 5.36; today's Moses, and for
//! `old-` that of December 2017, commit 3a0631a), and `multi30k/tok`, the files that Multi30k's authors published with
//! the scripts of December 2017. Lines end in `\n` only: the texts hold other line separators on purpose.

mod common;

use std::io::Read;
use std::path::Path;

use common::reference;
use nmt::text::moses::{
    BASIC_PROTECTED_PATTERNS, Detokenizer, PunctuationNormalizer, Tokenizer, TokenizerOptions, Version, lowercase,
    remove_non_printing, replace_unicode_punctuation,
};

const LANGUAGES: [&str; 2] = ["de", "en"];

fn lines(path: &Path) -> Vec<String> {
    let mut text = String::new();
    let mut file = std::fs::File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        file.read_to_string(&mut text).unwrap();
    }
    text.strip_suffix('\n').unwrap_or(&text).split('\n').map(str::to_owned).collect()
}

fn tokenizer(language: &str, version: Version, aggressive_hyphens: bool, no_escape: bool) -> Tokenizer {
    let options = TokenizerOptions { aggressive_hyphens, no_escape, version, ..Default::default() };
    Tokenizer::new(language, &options).unwrap()
}

/// The numbers of the lines, from 1, whose output is not the expected one; set NMT_SHOW_DIFFERENCES to see them.
fn differing(name: &str, input: &[String], expected: &[String], stage: impl Fn(&str) -> String) -> Vec<usize> {
    let mut numbers = Vec::new();
    for (index, (line, expected)) in input.iter().zip(expected).enumerate() {
        let found = stage(line);
        if found != *expected {
            numbers.push(index + 1);
            if std::env::var_os("NMT_SHOW_DIFFERENCES").is_some() {
                eprintln!("{name}:{}\n  in       {line:?}\n  expected {expected:?}\n  found    {found:?}", index + 1);
            }
        }
    }
    numbers
}

type Stage = Box<dyn Fn(&str) -> String>;

/// The modes of `golden/moses` by file name.
fn modes(language: &'static str) -> Vec<(&'static str, Stage)> {
    use Version::{Current, Of2017};
    let tok = move || tokenizer(language, Current, false, false);
    let old_tok = move || tokenizer(language, Of2017, false, false);
    let plain = move || tokenizer(language, Current, false, true);
    let norm = move || PunctuationNormalizer::new(language, Current);
    let old_norm = move || PunctuationNormalizer::new(language, Of2017);
    let detok = move || Detokenizer::new(language);
    let stage = |tokenizer: Tokenizer| -> Stage { Box::new(move |line| tokenizer.tokenize(line)) };
    let (norm_tok, tok_lc, lc_norm_tok) = ((norm(), tok()), tok(), (norm(), tok()));
    let (tok_detok, plain_detok) = ((tok(), detok()), (plain(), detok()));
    let old_lc_norm_tok = (old_norm(), old_tok());
    let (norm, old_norm) = (norm(), old_norm());
    vec![
        ("tok", stage(tok())),
        ("tok-a", stage(tokenizer(language, Current, true, false))),
        ("tok-noescape", stage(plain())),
        ("tok-a-noescape", stage(tokenizer(language, Current, true, true))),
        ("lc", Box::new(lowercase)),
        ("norm", Box::new(move |line| norm.normalize(line))),
        ("norm_tok", Box::new(move |line| norm_tok.1.tokenize(&norm_tok.0.normalize(line)))),
        ("tok_lc", Box::new(move |line| lowercase(&tok_lc.tokenize(line)))),
        ("lc_norm_tok", Box::new(move |line| lc_norm_tok.1.tokenize(&lc_norm_tok.0.normalize(&lowercase(line))))),
        ("tok_detok", Box::new(move |line| tok_detok.1.detokenize(&tok_detok.0.tokenize(line)))),
        ("tok-noescape_detok", Box::new(move |line| plain_detok.1.detokenize(&plain_detok.0.tokenize(line)))),
        ("nonprint", Box::new(remove_non_printing)),
        ("unipunct", Box::new(replace_unicode_punctuation)),
        ("old-tok", stage(old_tok())),
        ("old-norm", Box::new(move |line| old_norm.normalize(line))),
        (
            "old-lc_norm_tok",
            Box::new(move |line| old_lc_norm_tok.1.tokenize(&old_lc_norm_tok.0.normalize(&lowercase(line)))),
        ),
    ]
}

#[test]
fn every_mode_equals_perl() {
    let Some(folder) = reference("golden/moses") else { return };
    let mut differences = Vec::new();
    for language in LANGUAGES {
        let input = lines(&folder.join(format!("in.{language}")));
        assert_eq!(input.len(), 2000);
        for (mode, stage) in modes(language) {
            let name = format!("{mode}.{language}");
            let expected = lines(&folder.join(&name));
            assert_eq!(expected.len(), 2000, "{name}");
            let numbers = differing(&name, &input, &expected, stage);
            if !numbers.is_empty() {
                differences.push(format!("{name}: {numbers:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "lines that differ from Perl:\n{}", differences.join("\n"));
}

#[test]
fn multi30k_files_come_out_as_published() {
    let Some(folder) = reference("multi30k") else { return };
    for language in LANGUAGES {
        let normalizer = PunctuationNormalizer::new(language, Version::Of2017);
        let tokenizer = tokenizer(language, Version::Of2017, false, false);
        for (raw, golden, count) in
            [("train", "train-5k", 5000), ("val", "val", 1014), ("test_2016_flickr", "test_2016_flickr", 1000)]
        {
            let name = format!("{golden}.lc.norm.tok.{language}");
            let input = lines(&folder.join(format!("raw/{raw}.{language}.gz")));
            let expected = lines(&folder.join("tok").join(&name));
            assert_eq!(expected.len(), count, "{name}");
            let numbers = differing(&name, &input[..count], &expected, |line| {
                tokenizer.tokenize(&normalizer.normalize(&lowercase(line)))
            });
            assert_eq!(numbers, Vec::<usize>::new(), "{name}: lines that differ");
        }
    }
}

// Lines of our own for what the reference data does not hold. Oracle: Perl 5.36 running Moses' scripts on them.

#[test]
fn commas_and_apostrophes_at_the_end_equal_perl() {
    for (language, line, expected) in [
        ("de", "it costs 5,", "it costs 5 ,"),
        ("en", "it costs 5,", "it costs 5 ,"),
        ("de", "He said 'no.'", "He said &apos; no . &apos;"),
        // the script leaves this blank
        ("en", "He said 'no.'", "He said &apos; no . &apos; "),
        ("en", "nothing [here] & there", "nothing &#91; here &#93; &amp; there"),
    ] {
        assert_eq!(tokenizer(language, Version::Current, false, false).tokenize(line), expected, "{language}");
    }
}

#[test]
fn protected_patterns_equal_perl() {
    let patterns = BASIC_PROTECTED_PATTERNS.iter().map(|pattern| pattern.to_string()).collect();
    let options = TokenizerOptions { protected_patterns: patterns, ..Default::default() };
    let tokenizer = Tokenizer::new("en", &options).unwrap();
    assert_eq!(
        tokenizer.tokenize("Visit <a href=\"x\">http://example.org/a-b now.</a>, mail me@here.example.com, or 3,4."),
        "Visit &lt;a href=&quot;x&quot;&gt; http://example.org/a-b now . &lt;/a&gt; , mail me@here.example.com , or 3,4 ."
    );
    // the script replaces a piece wherever it stands, within longer pieces too
    let digits = TokenizerOptions { protected_patterns: vec![r"\d+".to_owned()], ..Default::default() };
    assert_eq!(Tokenizer::new("en", &digits).unwrap().tokenize("1.5 and 17%"), "1 . 5 and 1 7 %");
}

#[test]
fn a_wrong_protected_pattern_is_wrong_use() {
    let options = TokenizerOptions { protected_patterns: vec!["(".to_owned()], ..Default::default() };
    let error = Tokenizer::new("de", &options).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("protected pattern \"(\": expected a regular expression"), "{error}");
}

#[test]
fn no_break_spaces_at_quotation_marks_equal_perl() {
    let line = "a\u{a0}«\u{a0}b\u{a0}», —\u{a0}»\u{a0}c";
    assert_eq!(PunctuationNormalizer::new("de", Version::Current).normalize(line), "a \"b\", - \" c");
    assert_eq!(PunctuationNormalizer::new("en", Version::Current).normalize(line), "a \"b,\" - \" c");
}

#[test]
fn detokenizer_rules_of_other_languages_equal_perl() {
    for (language, tokens, expected) in [
        ("cs", "é - mail tady je", "é-mail tady je"),
        ("cs", "中 - mail tady je", "中 - mail tady je"),
        ("cs", "to je 3 , 5", "to je 3,5"),
        ("fr", "l' homme ? oui", "l'homme ? oui"),
        ("it", "l' uomo ? &quot; si &quot;", "l'uomo? \"si\""),
        ("en", "The Jones ' house do n't ( ' it 's ' )", "The Jones' house do n't ('it's')"),
    ] {
        assert_eq!(Detokenizer::new(language).detokenize(tokens), expected, "{language}");
    }
}
