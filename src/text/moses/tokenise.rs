//! `tokenizer.perl`: raw text to tokens with one blank between them.
//!
//! The steps are those of the script, in its order: clean white space, set special characters apart, hide runs of full
//! stops, then commas, apostrophes, full stops at the end of words, and escapes.

use std::collections::HashMap;

use super::Version;
use super::characters::{is_alnum, is_alpha, is_lower, is_number};
use super::prefixes::{self, Prefix};
use super::protected::{self, ProtectedPatterns, STAND_IN};
use crate::error::Result;
use crate::progress;

/// Stands for each full stop of a run of them, which stays together. Stand-ins are control characters, of which the
/// cleaned text holds none, and count as letters, as the words do that the script puts there.
const HIDDEN_STOP: char = '\x02';
/// How to tokenise.
#[derive(Debug, Clone, Default)]
pub struct TokenizerOptions {
    /// `-a`: a hyphen between two letters or digits becomes the token `@-@`.
    pub aggressive_hyphens: bool,
    /// `-no-escape`: leave `& | < > ' " [ ]` as they are instead of writing them as entities.
    pub no_escape: bool,
    /// Which year's script to follow.
    pub version: Version,
    /// `-protected`: regular expressions (syntax of the `regex` crate) of text that stays in one piece, for example
    /// [`BASIC_PROTECTED_PATTERNS`](super::BASIC_PROTECTED_PATTERNS).
    pub protected_patterns: Vec<String>,
}

/// Splits raw text into tokens, as `tokenizer.perl -l LANGUAGE` does.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    prefixes: HashMap<String, Prefix>,
    apostrophes: Apostrophes,
    colon_in_words: bool,
    aggressive_hyphens: bool,
    no_escape: bool,
    version: Version,
    protected: ProtectedPatterns,
}

/// Which side of an apostrophe between letters is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Apostrophes {
    /// English: before it, `don 't`.
    Right,
    /// French, Italian, Irish, Catalan: after it, `l' homme`.
    Left,
    /// Somali: neither.
    Joined,
    /// Every other language: the apostrophe is a token of its own.
    Apart,
}

impl Tokenizer {
    /// The rules and non-breaking prefixes of a language (`de`, `en`, …). A language without a list of prefixes uses
    /// the English one, as in the script, and a note says so.
    ///
    /// # Errors
    /// A protected pattern that is not a regular expression.
    pub fn new(language: &str, options: &TokenizerOptions) -> Result<Tokenizer> {
        let prefixes = prefixes::of_language(language).unwrap_or_else(|| {
            progress::note(format!("no list of abbreviations for the language {language:?}: using the English one"));
            prefixes::of_language("en").unwrap_or_default()
        });
        Ok(Tokenizer {
            prefixes,
            apostrophes: match language {
                "en" => Apostrophes::Right,
                "fr" | "it" | "ga" | "ca" => Apostrophes::Left,
                "so" => Apostrophes::Joined,
                _ => Apostrophes::Apart,
            },
            colon_in_words: matches!(language, "fi" | "sv"),
            aggressive_hyphens: options.aggressive_hyphens,
            no_escape: options.no_escape,
            version: options.version,
            protected: ProtectedPatterns::new(&options.protected_patterns)?,
        })
    }

    /// The tokens of a line with one blank between them; `line` comes without its line feed. A line of white space
    /// only comes back unchanged.
    pub fn tokenize(&self, line: &str) -> String {
        if line.chars().all(char::is_whitespace) {
            return line.to_owned();
        }
        let (clean, protected) = if !self.protected.is_empty() {
            self.protected.hide(line)
        } else if is_clean(line) {
            (line.to_owned(), Vec::new())
        } else {
            (clean(line), Vec::new())
        };
        let mut text = self.set_apart(&clean);
        if text.contains(',') {
            text = commas(&text);
        }
        if text.contains('\'') {
            text = self.split_apostrophes(&text);
        }
        let text = self.split_full_stops(&text);
        self.restore_and_escape(&text, &protected)
    }

    /// Puts blanks around special characters, splits hyphens if asked to, and hides runs of full stops.
    fn set_apart(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 4 + 8);
        // What stays as it is is copied in one go.
        let (mut copied, mut at) = (0, 0);
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'\'' | b'`' | b',');
        loop {
            at += text.as_bytes()[at..].iter().take_while(|byte| plain(byte)).count();
            let Some(c) = text[at..].chars().next() else { break };
            let (start, next) = (at, at + c.len_utf8());
            at = next;
            let before = |set: fn(char) -> bool| text[..start].ends_with(set);
            let after = |set: fn(char) -> bool| text[next..].starts_with(set);
            match c {
                '-' if !(self.aggressive_hyphens && before(is_alnum) && after(is_alnum)) => continue,
                '.' if !after(|c| c == '.') => continue,
                ':' if self.colon_in_words && after(is_lower) => continue,
                c if is_alnum(c) || is_hidden(c) => continue,
                _ => out.push_str(&text[copied..start]),
            }
            match c {
                '-' => out.push_str(" @-@ "),
                '.' => {
                    let run = text[start..].len() - text[start..].trim_start_matches('.').len();
                    at = start + run;
                    out.push(' ');
                    out.extend(std::iter::repeat_n(HIDDEN_STOP, run));
                    if at < text.len() {
                        out.push(' ');
                    }
                }
                c => out.extend([' ', c, ' ']),
            }
            copied = at;
        }
        out.push_str(&text[copied..]);
        out
    }

    fn split_apostrophes(&self, text: &str) -> String {
        let other = |c: char| !is_hidden(c) && !is_alpha(c);
        let alpha = |c: char| is_hidden(c) || is_alpha(c);
        match self.apostrophes {
            Apostrophes::Right => {
                let text = around_apostrophe(text, " ' ", other, other);
                let text = around_apostrophe(&text, " ' ", |c| other(c) && !is_number(c), alpha);
                let text = around_apostrophe(&text, " ' ", alpha, other);
                let text = around_apostrophe(&text, " '", alpha, alpha);
                // 1990's
                around_apostrophe(&text, " '", is_number, |c| c == 's')
            }
            Apostrophes::Left | Apostrophes::Joined => {
                let text = around_apostrophe(text, " ' ", other, other);
                let text = around_apostrophe(&text, " ' ", other, alpha);
                let text = around_apostrophe(&text, " ' ", alpha, other);
                if self.apostrophes == Apostrophes::Joined {
                    return text;
                }
                around_apostrophe(&text, "' ", alpha, alpha)
            }
            Apostrophes::Apart => text.replace('\'', " ' "),
        }
    }

    /// Splits the full stop off the end of a word unless the word is an abbreviation, and leaves one blank between
    /// words.
    fn split_full_stops(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            if !out.is_empty() {
                out.push(' ');
            }
            match word.strip_suffix('.').filter(|stem| !stem.is_empty()) {
                Some(stem) if !self.keeps_full_stop(stem, words.peek().copied()) => {
                    out.push_str(stem);
                    out.push_str(" .");
                }
                _ => out.push_str(word),
            }
        }
        if out.ends_with(".'") {
            // the script leaves a blank at the end here
            out.truncate(out.len() - 2);
            out.push_str(" . ' ");
        }
        out
    }

    /// Whether a full stop after `stem` belongs to it; `next` is the next word of the line.
    fn keeps_full_stop(&self, stem: &str, next: Option<&str>) -> bool {
        if next.is_none() && self.version == Version::Current {
            return false;
        }
        if stem.contains('.') && stem.contains(|c| is_hidden(c) || is_alpha(c)) {
            return true;
        }
        let next = next.and_then(|word| word.chars().next());
        if next.is_some_and(is_lower) {
            return true;
        }
        match self.prefixes.get(stem) {
            Some(Prefix::Always) => true,
            Some(Prefix::BeforeNumber) => next.is_some_and(|c| c.is_ascii_digit()),
            None => false,
        }
    }

    /// Puts hidden full stops and protected pieces back and escapes what Moses reads as syntax.
    fn restore_and_escape(&self, text: &str, protected: &[String]) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 4 + 16);
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| byte < b' ' || entity(char::from(byte)).is_some()) {
            out.push_str(&rest[..at]);
            let (special, after) = rest[at..].split_at(1);
            rest = after;
            match special.chars().next() {
                Some(HIDDEN_STOP) => out.push('.'),
                Some(STAND_IN) => {
                    let (piece, after) = protected::piece(rest, protected);
                    rest = after;
                    self.escape(piece, &mut out);
                }
                _ => self.escape(special, &mut out),
            }
        }
        out.push_str(rest);
        if out.contains("DOTMULTI") { placeholder_words(&out) } else { out }
    }

    fn escape(&self, text: &str, out: &mut String) {
        for c in text.chars() {
            match entity(c).filter(|_| !self.no_escape) {
                Some(entity) => out.push_str(entity),
                None => out.push(c),
            }
        }
    }
}

/// What stands for a character that Moses reads as syntax.
fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '|' => Some("&#124;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\'' => Some("&apos;"),
        '"' => Some("&quot;"),
        '[' => Some("&#91;"),
        ']' => Some("&#93;"),
        _ => None,
    }
}

/// Whether a character is a stand-in.
fn is_hidden(c: char) -> bool {
    c < ' '
}

/// Whether [`clean`] would change nothing: a quick look that says no to some lines that are clean.
fn is_clean(line: &str) -> bool {
    let mut previous = b' ';
    for byte in line.bytes() {
        match byte {
            b' ' if previous == b' ' => return false,
            // 0xc2, 0xe1, 0xe2 and 0xe3 begin all white space beyond ASCII.
            ..b' ' | 0xc2 | 0xe1..=0xe3 => return false,
            _ => previous = byte,
        }
    }
    previous != b' '
}

/// Makes every run of white space one blank, none at the ends, and drops the ASCII control characters.
fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut blank = false;
    for c in line.chars() {
        if c.is_whitespace() {
            blank = !out.is_empty();
        } else if c >= ' ' {
            if blank {
                out.push(' ');
                blank = false;
            }
            out.push(c);
        }
    }
    out
}

/// Sets commas apart except between two numbers. As in the script this is two passes, each of which uses up the
/// character beside the comma, so that one of several commas in a row may stay.
fn commas(text: &str) -> String {
    let mut after = String::with_capacity(text.len() + 16);
    let mut start = 0;
    for (at, _) in text.match_indices(',') {
        if text[start..at].ends_with(|c| !is_number(c)) {
            after.push_str(&text[start..at]);
            after.push_str(" , ");
            start = at + 1;
        }
    }
    after.push_str(&text[start..]);

    let mut before = String::with_capacity(after.len() + 16);
    let mut start = 0;
    for (at, _) in after.match_indices(',') {
        if at < start {
            continue;
        }
        if let Some(next) = after[at + 1..].chars().next().filter(|&c| !is_number(c)) {
            before.push_str(&after[start..at]);
            before.push_str(" , ");
            before.push(next);
            start = at + 1 + next.len_utf8();
        }
    }
    before.push_str(&after[start..]);
    if before.ends_with(',') && before[..before.len() - 1].ends_with(is_number) {
        before.truncate(before.len() - 1);
        before.push_str(" ,");
    }
    before
}

/// Replaces every apostrophe between a character of `left` and one of `right`; both characters are used up and do not
/// count for the next apostrophe.
fn around_apostrophe(text: &str, to: &str, left: impl Fn(char) -> bool, right: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut start = 0;
    for (at, _) in text.match_indices('\'') {
        if at < start || !text[start..at].ends_with(&left) {
            continue;
        }
        if let Some(next) = text[at + 1..].chars().next().filter(|&c| right(c)) {
            out.push_str(&text[start..at]);
            out.push_str(to);
            out.push(next);
            start = at + 1 + next.len_utf8();
        }
    }
    out.push_str(&text[start..]);
    out
}

/// The script's own stand-in for a full stop, where the text itself holds that word: it makes `DOTMULTI.` of
/// `DOTDOTMULTI` as long as there is one, then a full stop of `DOTMULTI`.
fn placeholder_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("DOTMULTI") {
        let before = rest[..at].trim_end_matches("DOT");
        let stops = 1 + (at - before.len()) / "DOT".len();
        out.push_str(before);
        out.extend(std::iter::repeat_n('.', stops));
        rest = &rest[at + "DOTMULTI".len()..];
    }
    out.push_str(rest);
    out
}
