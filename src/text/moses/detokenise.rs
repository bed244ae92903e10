//! `detokenizer.perl`: tokens back to text.

use std::collections::HashMap;

use super::characters::{is_alnum, is_alpha, is_currency};

/// Joins tokens into text, as `detokenizer.perl -l LANGUAGE` does.
#[derive(Debug, Clone)]
pub struct Detokenizer {
    language: Language,
}

/// The languages that have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Czech,
    English,
    French,
    /// Italian and Irish.
    Italian,
    Korean,
    Other,
}

/// Which of a token's sides has no blank.
enum Join {
    /// None: blanks on both sides.
    No,
    /// The left side.
    Left,
    /// The right side.
    Right,
}

impl Detokenizer {
    /// The rules of a language (`de`, `en`, …); a language without rules of its own gets the common ones.
    pub fn new(language: &str) -> Detokenizer {
        let language = match language {
            "cs" => Language::Czech,
            "en" => Language::English,
            "fr" => Language::French,
            "it" | "ga" => Language::Italian,
            "ko" => Language::Korean,
            _ => Language::Other,
        };
        Detokenizer { language }
    }

    /// The text of a line of tokens; `line` comes without its line feed. Entities are resolved and ` @-@ ` becomes `-`.
    /// A line of white space, and one that starts with `<` and ends with `>`, comes back unchanged.
    pub fn detokenize(&self, line: &str) -> String {
        let tag = line.len() > 2 && line.starts_with('<') && line.ends_with('>');
        if tag || line.chars().all(char::is_whitespace) {
            return line.to_owned();
        }
        let text = unescape(&format!(" {line} ").replace(" @-@ ", "-"));
        // the script's list starts with the empty word before the first blank, which counts as a word before
        let mut words: Vec<&str> = text.split(' ').collect();
        while words.last().is_some_and(|word| word.is_empty()) {
            words.pop();
        }
        let mut out = String::with_capacity(text.len());
        let mut quotes: HashMap<&str, usize> = HashMap::new();
        let mut blank = true;
        let mut at = 0;
        while let Some(&word) = words.get(at) {
            if self.is_czech_dashed(&words, at) {
                push(&mut out, word, blank);
                out.push_str(words[at + 1]);
                blank = false;
                at += 2;
                continue;
            }
            let join = self.join(&words, at, &mut quotes);
            if self.language == Language::French && is_french_spaced(word) {
                out.push(' ');
            }
            push(&mut out, word, blank && !matches!(join, Join::Left));
            blank = !matches!(join, Join::Right);
            at += 1;
        }
        squeeze(&out)
    }

    fn join<'a>(&self, words: &[&'a str], at: usize, quotes: &mut HashMap<&'a str, usize>) -> Join {
        let word = words[at];
        let before = |back: usize| at.checked_sub(back).and_then(|index| words.get(index)).copied();
        let previous = before(1).unwrap_or("");
        if word.starts_with(is_cjk) {
            return if previous.ends_with(is_cjk) && self.language != Language::Korean { Join::Left } else { Join::No };
        }
        if only(word, |c| is_currency(c) || matches!(c, '(' | '[' | '{' | '¿' | '¡')) {
            return Join::Right;
        }
        if only(word, |c| matches!(c, ',' | '.' | '?' | '!' | ':' | ';' | '\\' | '%' | '}' | ']' | ')')) {
            return Join::Left;
        }
        match self.language {
            Language::English => {
                let contraction = word.strip_prefix('\'').is_some_and(|rest| rest.starts_with(is_alpha));
                if at > 0 && contraction && previous.ends_with(is_alnum) {
                    return Join::Left;
                }
            }
            Language::Czech => {
                // decimal numbers
                let number = |word: &str| only(word, |c| c.is_ascii_digit());
                if at > 1 && before(2).is_some_and(number) && matches!(previous, "." | ",") && number(word) {
                    return Join::Left;
                }
            }
            Language::French | Language::Italian => {
                let contraction = word.strip_suffix('\'').is_some_and(|rest| rest.ends_with(is_alpha));
                if contraction && words.get(at + 1).is_some_and(|next| next.starts_with(is_alpha)) {
                    return Join::Right;
                }
            }
            Language::Korean | Language::Other => {}
        }
        if only(word, |c| matches!(c, '\'' | '"' | '„' | '“' | '`')) {
            return self.quotation_mark(word, previous, at, quotes);
        }
        Join::No
    }

    /// An odd quotation mark opens, an even one closes.
    fn quotation_mark<'a>(
        &self,
        word: &'a str,
        previous: &str,
        at: usize,
        quotes: &mut HashMap<&'a str, usize>,
    ) -> Join {
        let kind = if only(word, |c| matches!(c, '„' | '“' | '”')) { "\"" } else { word };
        let count = quotes.entry(kind).or_insert(0);
        if self.language == Language::Czech {
            match word {
                "„" => *count = 0,
                "“" => *count = 1,
                _ => {}
            }
        }
        if *count % 2 == 1 {
            *count += 1;
            return Join::Left;
        }
        if self.language == Language::English && word == "'" && at > 0 && previous.ends_with('s') {
            // the Jones' house
            return Join::Left;
        }
        *count += 1;
        Join::Right
    }

    /// Czech words that a dash joins to `-li` or to `mail`.
    fn is_czech_dashed(&self, words: &[&str], at: usize) -> bool {
        self.language == Language::Czech
            && at + 3 < words.len()
            && !words[at].starts_with(is_cjk)
            && words[at].ends_with(is_alpha)
            && matches!(words[at + 1], "-" | "–")
            && {
                let third = words[at + 2].to_lowercase();
                third == "li" || third.starts_with("mail")
            }
    }
}

/// The marks that French sets off with a blank.
fn is_french_spaced(word: &str) -> bool {
    matches!(word, "?" | "!" | ":" | ";" | "\\" | "%")
}

fn push(out: &mut String, word: &str, blank: bool) {
    if blank {
        out.push(' ');
    }
    out.push_str(word);
}

/// Whether a word is not empty and all of its characters are of one class.
fn only(word: &str, class: impl Fn(char) -> bool) -> bool {
    !word.is_empty() && word.chars().all(class)
}

/// Makes every run of blanks one blank, and drops one at either end.
fn squeeze(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c != ' ' || !(out.is_empty() || out.ends_with(' ')) {
            out.push(c);
        }
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

/// Resolves the entities that the tokenizer writes, and the three that older Moses wrote.
fn unescape(text: &str) -> String {
    const ENTITIES: [(&str, char); 11] = [
        ("&amp;", '&'),
        ("&apos;", '\''),
        ("&quot;", '"'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&#124;", '|'),
        ("&#91;", '['),
        ("&#93;", ']'),
        ("&bar;", '|'),
        ("&bra;", '['),
        ("&ket;", ']'),
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity)) {
            Some(&(entity, c)) => {
                out.push(c);
                rest = &rest[entity.len()..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Whether a character is Chinese, Japanese or Korean, by the blocks that the script names.
fn is_cjk(c: char) -> bool {
    matches!(
        c as u32,
        0x1100..=0x11ff
            | 0x2e80..=0xa4cf
            | 0xa840..=0xa87f
            | 0xac00..=0xd7af
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe4f
            | 0xff65..=0xffdc
            | 0x20000..=0x2ffff
    )
}
