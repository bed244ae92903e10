//! Odd text through every stage: lines stay lines, and of what prints nothing is lost. The oracle is the text itself.

use std::collections::HashMap;

use nmt::data::{Dictionary, DictionaryLimits, EOS, words};
use nmt::text::moses::{
    BASIC_PROTECTED_PATTERNS, Detokenizer, PunctuationNormalizer, Tokenizer, TokenizerOptions, Version, lowercase,
    remove_non_printing, replace_unicode_punctuation,
};
use nmt::text::{Subword, blank_separated, join_subwords, learn_merges};

use crate::draw;

const LANGUAGES: [&str; 7] = ["de", "en", "fr", "it", "so", "fi", "cs"];
const LINES: usize = 3000;

/// What prints: neither white space nor control characters, which Moses removes.
fn printing(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c >= ' ').collect()
}

/// Every entity that a tokenizer writes, read once from left to right.
fn unescape(text: &str, entities: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let found = entities.iter().find(|(entity, _)| rest.starts_with(entity));
        let (plain, length) =
            found.map_or((&rest[..c.len_utf8()], c.len_utf8()), |(entity, plain)| (*plain, entity.len()));
        out += plain;
        rest = &rest[length..];
    }
    out
}

const ENTITIES: [(&str, &str); 8] = [
    ("&amp;", "&"),
    ("&apos;", "'"),
    ("&quot;", "\""),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&#124;", "|"),
    ("&#91;", "["),
    ("&#93;", "]"),
];
/// Those of older tokenizers, which the detokenizer reads too.
const OLDER: [(&str, &str); 3] = [("&bar;", "|"), ("&bra;", "["), ("&ket;", "]")];

fn tokenizers() -> Vec<(String, TokenizerOptions, Tokenizer)> {
    let mut all = Vec::new();
    for language in LANGUAGES {
        for bits in 0..16 {
            let set = |bit: i32| bits & bit != 0;
            let patterns = if set(8) { BASIC_PROTECTED_PATTERNS } else { &[] };
            let options = TokenizerOptions {
                aggressive_hyphens: set(1),
                no_escape: set(2),
                version: if set(4) { Version::Of2017 } else { Version::Current },
                protected_patterns: patterns.iter().map(|pattern| pattern.to_string()).collect(),
            };
            let tokenizer = Tokenizer::new(language, &options).unwrap();
            all.push((format!("{language} {options:?}"), options, tokenizer));
        }
    }
    all
}

#[test]
fn tokenising_loses_no_character_that_prints() {
    nmt::progress::set_quiet(true);
    let tokenizers = tokenizers();
    let mut random = draw::random(1);
    for number in 0..LINES {
        let line = draw::line(&mut random, 40);
        let (name, options, tokenizer) = &tokenizers[number % tokenizers.len()];
        let tokenised = tokenizer.tokenize(&line);
        assert!(!tokenised.contains('\n'), "{name}: {line:?}");
        if printing(&line).is_empty() && line.chars().all(char::is_whitespace) {
            assert_eq!(tokenised, line, "{name}");
            continue;
        }
        let hyphen = |token| if token == "@-@" && options.aggressive_hyphens { "-" } else { token };
        let mut back: String = tokenised.split(' ').map(hyphen).collect();
        if !options.no_escape {
            back = unescape(&back, &ENTITIES);
        }
        assert_eq!(back, printing(&line), "{name}: {line:?}");
    }
}

#[test]
fn detokenising_loses_no_character_that_prints() {
    let mut random = draw::random(2);
    for number in 0..LINES {
        let line = draw::line(&mut random, 40);
        let detokenizer = Detokenizer::new(["de", "en", "fr", "it", "ko", "cs"][number % 6]);
        let text = detokenizer.detokenize(&line);
        assert!(!text.contains('\n'), "{line:?}");
        let tag = line.len() > 2 && line.starts_with('<') && line.ends_with('>');
        let entities: Vec<(&str, &str)> = ENTITIES.into_iter().chain(OLDER).collect();
        let plain = unescape(&format!(" {line} ").replace(" @-@ ", "-"), &entities);
        let expected = if tag || printing(&line).is_empty() { line.clone() } else { plain };
        assert_eq!(printing(&text), printing(&expected), "{line:?}");
    }
}

/// Text comes back from its tokens, but for white space, whatever it holds.
#[test]
fn tokens_become_the_text_again() {
    let mut random = draw::random(3);
    for language in ["de", "en", "fr"] {
        let tokenizer = Tokenizer::new(language, &TokenizerOptions::default()).unwrap();
        let detokenizer = Detokenizer::new(language);
        for _ in 0..LINES / 3 {
            let line = draw::line(&mut random, 40);
            let text = detokenizer.detokenize(&tokenizer.tokenize(&line));
            assert_eq!(printing(&text), printing(&line), "{language}: {line:?}");
        }
    }
}

#[test]
fn normalising_keeps_letters_and_digits() {
    let mut random = draw::random(4);
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
    for number in 0..LINES {
        let line = draw::line(&mut random, 40);
        let version = if number % 2 == 0 { Version::Current } else { Version::Of2017 };
        let language = LANGUAGES[number % LANGUAGES.len()];
        let normalised = PunctuationNormalizer::new(language, version).normalize(&line);
        assert!(!normalised.contains('\n'), "{line:?}");
        assert_eq!(letters(&normalised), letters(&line), "{language} {version:?}: {line:?}");
        // The two other scripts: a character for a character, and no letter changed.
        assert_eq!(remove_non_printing(&line).chars().count(), line.chars().count());
        let ascii = letters(&replace_unicode_punctuation(&line));
        let digits =
            |c: char| if ('０'..='９').contains(&c) { char::from(b'0' + (c as u32 - '０' as u32) as u8) } else { c };
        assert_eq!(ascii, letters(&line).chars().map(digits).collect::<String>(), "{line:?}");
    }
}

#[test]
fn lower_case_is_lower_case_and_touches_nothing_else() {
    let mut random = draw::random(5);
    for _ in 0..LINES {
        let line = draw::line(&mut random, 40);
        let lower = lowercase(&line);
        assert_eq!(lowercase(&lower), lower, "{line:?}");
        let others = |text: &str| text.chars().filter(|c| !c.is_alphabetic() && *c != '\u{307}').collect::<String>();
        assert_eq!(others(&lower), others(&line), "{line:?}");
        assert_eq!(lower.to_uppercase().chars().count(), line.to_lowercase().to_uppercase().chars().count());
    }
}

fn counts(lines: &[String]) -> HashMap<&str, u64> {
    let mut counts = HashMap::new();
    lines.iter().flat_map(|line| blank_separated(line)).for_each(|word| *counts.entry(word).or_default() += 1);
    counts
}

/// The words of a line without those that end as a piece does: to every program that joins pieces they are pieces.
fn joinable(line: &str) -> String {
    let words: Vec<&str> = blank_separated(line).filter(|word| !word.ends_with("@@")).collect();
    blank_separated(&words.join(" ")).collect::<Vec<_>>().join(" ")
}

/// Pieces joined again are the words, for the merges that were learnt and for those read back from either file format.
#[test]
fn pieces_become_the_words_again() {
    let mut random = draw::random(6);
    let lines: Vec<String> = (0..LINES).map(|_| draw::line(&mut random, 40)).collect();
    let counts = counts(&lines[..LINES / 2]);
    let merges = learn_merges(counts.clone(), 1000, |_| Ok(())).unwrap();
    assert_eq!(merges.len(), 1000);
    let learnt = Subword::from_merges(&merges, counts.keys().flat_map(|word| word.chars())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    learnt.save(&folder.path().join("tokenizer.json")).unwrap();
    let saved = Subword::load(folder.path()).unwrap().unwrap();
    assert_eq!(saved.merges(), learnt.merges());
    for line in &lines {
        let words = joinable(line);
        let segmented = learnt.segment(&words);
        assert_eq!(saved.segment(&words), segmented, "{line:?}");
        assert_eq!(join_subwords(&segmented), words.trim_end(), "{line:?}");
    }
}

/// A word becomes its own id or that of `<unk>`, and the file of a dictionary is the dictionary.
#[test]
fn ids_become_the_words_or_unknown_ones() {
    let mut random = draw::random(7);
    let lines: Vec<String> = (0..LINES).map(|_| draw::line(&mut random, 40)).collect();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    lines.iter().flat_map(|line| words(line)).for_each(|word| *counts.entry(word).or_default() += 1);
    let limits = DictionaryLimits { threshold: 2, ..DictionaryLimits::default() };
    let dictionary = Dictionary::from_counts(counts.clone(), &limits);
    let folder = tempfile::tempdir().unwrap();
    dictionary.save(&folder.path().join("dict.de.txt")).unwrap();
    assert_eq!(Dictionary::load(&folder.path().join("dict.de.txt")).unwrap(), dictionary);
    for line in &lines {
        let ids = dictionary.encode(line);
        assert_eq!(ids.len(), words(line).count() + 1);
        assert_eq!(ids.last(), Some(&EOS));
        for (word, &id) in words(line).zip(&ids) {
            let known = counts[word] >= 2 || ["<s>", "<pad>", "</s>", "<unk>"].contains(&word);
            assert_eq!(dictionary.symbol(id), if known { word } else { "<unk>" }, "{line:?}");
        }
    }
}

/// A line of a megabyte is a line, through every stage.
#[test]
fn lines_of_a_megabyte() {
    let tokenizer = Tokenizer::new("en", &TokenizerOptions::default()).unwrap();
    let normalizers = [Version::Current, Version::Of2017].map(|version| PunctuationNormalizer::new("en", version));
    for (name, line) in draw::megabytes() {
        let tokenised = tokenizer.tokenize(&line);
        if !name.contains("DOT") && !line.chars().all(char::is_whitespace) {
            assert_eq!(unescape(&printing(&tokenised), &ENTITIES), printing(&line), "{name}");
        }
        let text = Detokenizer::new("en").detokenize(&tokenised);
        assert_eq!(printing(&text), unescape(&printing(&tokenised), &ENTITIES), "{name}");
        for normalizer in &normalizers {
            assert!(!normalizer.normalize(&line).contains('\n'), "{name}");
        }
        assert_eq!(lowercase(&line).to_lowercase().len(), lowercase(&line).len(), "{name}");
        let merges = learn_merges(counts(std::slice::from_ref(&line)), 5, |_| Ok(())).unwrap();
        let subword = Subword::from_merges(&merges, []).unwrap();
        let words = joinable(&line);
        assert_eq!(join_subwords(&subword.segment(&words)), words.trim_end(), "{name}");
    }
}
