//! Protected patterns: text that the tokenizer keeps in one piece.

use std::collections::HashSet;

use regex::Regex;

use crate::error::{Error, Result};

/// Regular expressions for what [`TokenizerOptions::protected_patterns`](super::TokenizerOptions::protected_patterns) usually has to keep in one piece: tags, e-mail
/// addresses and URLs. They match what Moses' own file of basic protected patterns matches.
pub const BASIC_PROTECTED_PATTERNS: &[&str] = &[
    r"</?\S+/?>",
    r#"<\S+( [a-zA-Z0-9]+="?[^"]")+ ?/?>"#,
    r"<\S+( [a-zA-Z0-9]+='?[^']')+ ?/?>",
    r"[\w.-]+@([\w-]+\.)+[a-zA-Z]{2,}",
    r"(https?|ftp)://[^:/\s]+(/\w+)*/[\w.-]+",
];

/// Before the index of a protected piece of text, whose hexadecimal digits are the control characters from 0x10 on.
pub(super) const STAND_IN: char = '\x03';

/// The regular expressions of text to protect.
#[derive(Debug, Clone)]
pub(super) struct ProtectedPatterns(Vec<Regex>);

impl ProtectedPatterns {
    pub(super) fn new(patterns: &[String]) -> Result<ProtectedPatterns> {
        let compile = |pattern: &String| {
            Regex::new(pattern).map_err(|error| {
                Error::usage(
                    format!("protected pattern {pattern:?}: expected a regular expression, found: {error}"),
                    "correct the pattern; look-around and back-references are not available",
                )
            })
        };
        Ok(ProtectedPatterns(patterns.iter().map(compile).collect::<Result<_>>()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The line without surplus white space and control characters, and with stand-ins for the pieces that match a
    /// pattern; and those pieces.
    pub(super) fn hide(&self, line: &str) -> (String, Vec<String>) {
        // the patterns see a blank at either end
        let mut text = String::with_capacity(line.len() + 2);
        text.push(' ');
        for c in line.chars().chain([' ']) {
            if !c.is_whitespace() {
                text.push(c);
            } else if !text.ends_with(' ') {
                text.push(' ');
            }
        }
        text.retain(|c| c >= ' ');
        let mut pieces: Vec<String> = Vec::new();
        // the stand-in of a piece takes every place of it, so that a second one would find none
        let mut seen = HashSet::new();
        for pattern in &self.0 {
            // each match sees only the text after the one before, as in the script; an empty match, which would
            // never end there, protects nothing
            let mut rest = text.as_str();
            while let Some(found) = pattern.find(rest).filter(|found| !found.is_empty()) {
                if seen.insert(found.as_str()) {
                    pieces.push(found.as_str().to_owned());
                }
                rest = &rest[found.end()..];
            }
        }
        for (index, piece) in pieces.iter().enumerate() {
            text = text.replace(piece, &format!(" {} ", stand_in(index)));
        }
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        (words.join(" "), pieces)
    }
}

/// What stands for the protected piece of text of an index.
fn stand_in(index: usize) -> String {
    let digits = format!("{index:x}");
    let digits = digits.chars().filter_map(|digit| digit.to_digit(16)).filter_map(|digit| char::from_u32(0x10 + digit));
    std::iter::once(STAND_IN).chain(digits).collect()
}

/// The piece of text whose stand-in goes on at the start of `text`, after its first character; and the text after it.
pub(super) fn piece<'a, 'b>(text: &'b str, pieces: &'a [String]) -> (&'a str, &'b str) {
    let after = text.trim_start_matches(|c| ('\x10'..='\x1f').contains(&c));
    let digits = text[..text.len() - after.len()].bytes();
    let index = digits.fold(0, |index, digit| index * 16 + usize::from(digit - 0x10));
    (pieces.get(index).map_or("", String::as_str), after)
}
