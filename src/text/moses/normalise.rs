//! `normalize-punctuation.perl`: quotation marks, dashes and pseudo-spaces to their plain forms.
//!
//! The order of the steps matters and is that of the script. The script works on bytes, so a digit, a letter and white
//! space are those of ASCII.

use super::Version;

const NO_BREAK_SPACE: &str = "\u{a0}";

/// Brings the punctuation of raw text to one form, as `normalize-punctuation.perl -l LANGUAGE` does.
#[derive(Debug, Clone)]
pub struct PunctuationNormalizer {
    quotation: Quotation,
    decimal_comma: bool,
    version: Version,
}

/// What happens to a comma or full stop beside a closing quotation mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotation {
    /// English: the mark goes after the punctuation.
    Outside,
    /// Czech: nothing.
    Untouched,
    /// German and every other language: the mark goes before the punctuation.
    Inside,
}

impl PunctuationNormalizer {
    /// The rules of a language (`de`, `en`, …); a language the script does not know gets the rules that it would get
    /// there.
    pub fn new(language: &str, version: Version) -> PunctuationNormalizer {
        let quotation = match language {
            "en" => Quotation::Outside,
            "cs" | "cz" => Quotation::Untouched,
            _ => Quotation::Inside,
        };
        let decimal_comma = matches!(language, "de" | "es" | "cz" | "cs" | "fr");
        PunctuationNormalizer { quotation, decimal_comma, version }
    }

    /// The normalised line; `line` comes without its line feed.
    pub fn normalize(&self, line: &str) -> String {
        let mut text = Text::new(line);
        spaces_at_brackets(&mut text);
        self.quotes_and_dashes(&mut text);
        if text.seen.typographic {
            french_quotes(&mut text);
            pseudo_spaces(&mut text);
        }
        if text.has('"') {
            match self.quotation {
                Quotation::Outside => text.rewrite(quote_after_punctuation),
                Quotation::Untouched => {}
                Quotation::Inside => {
                    text.replace(",\"", "\",");
                    text.rewrite(quote_before_full_stop);
                }
            }
        }
        if text.seen.typographic && text.has_str(NO_BREAK_SPACE) {
            let separator = if self.decimal_comma { ',' } else { '.' };
            text.rewrite(|text, out| number_groups(text, separator, out));
        }
        text.text
    }

    fn quotes_and_dashes(&self, text: &mut Text) {
        if text.seen.apostrophe {
            text.replace("`", "'");
            text.replace("''", " \" ");
        }
        if text.seen.typographic {
            for mark in ["„", "“", "”"] {
                text.replace(mark, "\"");
            }
            text.replace("–", "-");
            text.replace("—", " - ");
        }
        text.squeeze_spaces();
        if text.seen.typographic {
            text.replace("´", "'");
            for mark in ["‘", "’"] {
                if text.has_str(mark) {
                    text.rewrite(|text, out| apostrophe_between_letters(text, mark, out));
                }
            }
            let single = match self.version {
                Version::Current => "'",
                Version::Of2017 => "\"",
            };
            text.replace("‘", single);
            text.replace("‚", single);
            text.replace("’", "\"");
        }
        if text.has('\'') {
            text.replace("''", "\"");
        }
        if text.seen.typographic {
            text.replace("…", "...");
        }
    }
}

fn spaces_at_brackets(text: &mut Text) {
    if text.seen.carriage_return {
        text.replace("\r", "");
    }
    if text.seen.bracket {
        text.replace("(", " (");
        text.replace(")", ") ");
    }
    text.squeeze_spaces();
    if text.seen.bracket {
        for punctuation in [".", "!", ":", "?", ";", ","] {
            text.replace(&format!(") {punctuation}"), &format!("){punctuation}"));
        }
        text.replace("( ", "(");
        text.replace(" )", ")");
    }
    if text.seen.spaced_mark {
        text.rewrite(percent_after_digit);
        text.replace(" :", ":");
        text.replace(" ;", ";");
    }
}

fn french_quotes(text: &mut Text) {
    text.replace("\u{a0}«\u{a0}", " \"");
    text.replace("«\u{a0}", "\"");
    text.replace("«", "\"");
    text.replace("\u{a0}»\u{a0}", "\" ");
    text.replace("\u{a0}»", "\"");
    text.replace("»", "\"");
}

fn pseudo_spaces(text: &mut Text) {
    text.replace("\u{a0}%", "%");
    text.replace("nº\u{a0}", "nº ");
    text.replace("\u{a0}:", ":");
    text.replace("\u{a0}ºC", " ºC");
    text.replace("\u{a0}cm", " cm");
    text.replace("\u{a0}?", "?");
    text.replace("\u{a0}!", "!");
    text.replace("\u{a0};", ";");
    text.replace(",\u{a0}", ", ");
    text.squeeze_spaces();
}

/// A line on its way through the steps, with a second buffer that each step writes to.
struct Text {
    text: String,
    next: String,
    seen: Seen,
}

/// Which bytes the raw line holds, so that a step that cannot find anything is skipped.
#[derive(Default)]
struct Seen {
    apostrophe: bool,
    bracket: bool,
    carriage_return: bool,
    /// The first byte of every character beyond ASCII that a step looks for.
    typographic: bool,
    spaced_mark: bool,
}

impl Text {
    fn new(line: &str) -> Text {
        let mut seen = Seen::default();
        for byte in line.bytes() {
            match byte {
                b'\'' | b'`' => seen.apostrophe = true,
                b'(' | b')' => seen.bracket = true,
                b'\r' => seen.carriage_return = true,
                b'%' | b':' | b';' => seen.spaced_mark = true,
                0xc2 | 0xe2 => seen.typographic = true,
                _ => {}
            }
        }
        Text { text: line.to_owned(), next: String::with_capacity(line.len() + 16), seen }
    }

    fn has(&self, c: char) -> bool {
        self.text.contains(c)
    }

    fn has_str(&self, part: &str) -> bool {
        self.text.contains(part)
    }

    /// Replaces every occurrence, left to right, without looking at what was put in.
    fn replace(&mut self, from: &str, to: &str) {
        let Some(first) = self.text.find(from) else { return };
        self.next.clear();
        let mut start = 0;
        let mut found = Some(first);
        while let Some(at) = found {
            self.next.push_str(&self.text[start..at]);
            self.next.push_str(to);
            start = at + from.len();
            found = self.text[start..].find(from).map(|offset| start + offset);
        }
        self.next.push_str(&self.text[start..]);
        std::mem::swap(&mut self.text, &mut self.next);
    }

    /// Makes every run of blanks one blank.
    fn squeeze_spaces(&mut self) {
        if self.has_str("  ") {
            self.rewrite(|text, out| {
                let mut last = '\0';
                for c in text.chars() {
                    if c != ' ' || last != ' ' {
                        out.push(c);
                    }
                    last = c;
                }
            });
        }
    }

    fn rewrite(&mut self, step: impl FnOnce(&str, &mut String)) {
        self.next.clear();
        step(&self.text, &mut self.next);
        std::mem::swap(&mut self.text, &mut self.next);
    }
}

/// `5 %` becomes `5%`.
fn percent_after_digit(text: &str, out: &mut String) {
    let mut start = 0;
    for (at, _) in text.match_indices(" %") {
        if text[..at].ends_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&text[start..at]);
            start = at + 1;
        }
    }
    out.push_str(&text[start..]);
}

/// A typographic apostrophe between two letters becomes a plain one. A letter after one apostrophe is used up and does
/// not count as the letter before the next.
fn apostrophe_between_letters(text: &str, mark: &str, out: &mut String) {
    replace_between(text, mark, "'", out, |c| c.is_ascii_alphabetic());
}

/// A no-break space between two digits becomes the language's separator; a digit counts for one pair only.
fn number_groups(text: &str, separator: char, out: &mut String) {
    replace_between(text, NO_BREAK_SPACE, separator.encode_utf8(&mut [0; 4]), out, |c| c.is_ascii_digit());
}

fn replace_between(text: &str, mark: &str, to: &str, out: &mut String, is_side: impl Fn(char) -> bool) {
    let mut start = 0;
    // the first character that no earlier match has used up
    let mut free = 0;
    for (at, _) in text.match_indices(mark) {
        let after = at + mark.len();
        if at > free && text[free..at].ends_with(&is_side) && text[after..].starts_with(&is_side) {
            out.push_str(&text[start..at]);
            out.push_str(to);
            start = after;
            free = after + 1;
        }
    }
    out.push_str(&text[start..]);
}

/// `".` and `",` become `."` and `,"`.
fn quote_after_punctuation(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        out.push_str(&rest[..quote]);
        rest = &rest[quote + 1..];
        let run = rest.len() - rest.trim_start_matches([',', '.']).len();
        out.push_str(&rest[..run]);
        out.push('"');
        rest = &rest[run..];
    }
    out.push_str(rest);
}

/// `."` becomes `".` unless a tag follows. The line feed that the script sees after the line counts as a following
/// character, so this happens at the end of a line too. The character that follows is used up.
fn quote_before_full_stop(text: &str, out: &mut String) {
    let mut rest = text;
    // where the next match may start
    let mut from = 0;
    while let Some(offset) = rest[from..].find(".\"") {
        let quote = from + offset + 1;
        let stops = rest[from..quote].len() - rest[from..quote].trim_end_matches('.').len();
        let after = &rest[quote + 1..];
        if after.starts_with('<') {
            from = quote + 1;
            continue;
        }
        out.push_str(&rest[..quote - stops]);
        out.push('"');
        out.push_str(&rest[quote - stops..quote]);
        rest = after;
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']).len();
        let follower = rest[spaces..].chars().next();
        // before `<` the last blank is the following character
        from = if follower == Some('<') { spaces } else { spaces + follower.map_or(0, char::len_utf8) };
    }
    out.push_str(rest);
}
