//! `remove-non-printing-char.perl` and `replace-unicode-punctuation.perl`.

use std::sync::LazyLock;

use regex::Regex;

/// Characters of the Unicode category Other: control, format, private use, unassigned.
static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{C}").ok());

/// Replaces every character that does not print by a blank, as `remove-non-printing-char.perl` does.
pub fn remove_non_printing(line: &str) -> String {
    let other = |c: char| {
        if c.is_ascii() {
            return c.is_ascii_control();
        }
        OTHER.as_ref().is_some_and(|other| other.is_match(c.encode_utf8(&mut [0; 4])))
    };
    line.chars().map(|c| if other(c) { ' ' } else { c }).collect()
}

/// Replaces full-width punctuation and digits by their ASCII forms, as `replace-unicode-punctuation.perl` does; blanks
/// after a full-width full stop become one.
pub fn replace_unicode_punctuation(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let plain = match c {
            '，' | '、' => ",",
            '。' | '．' => {
                while chars.next_if_eq(&' ').is_some() {}
                ". "
            }
            '”' | '“' | '《' | '》' | '」' | '「' => "\"",
            '∶' | '：' => ":",
            '？' => "?",
            '）' => ")",
            '！' => "!",
            '（' => "(",
            '；' => ";",
            '０' => "0",
            '１' => "1",
            '２' => "2",
            '３' => "3",
            '４' => "4",
            '５' => "5",
            '６' => "6",
            '７' => "7",
            '８' => "8",
            '９' => "9",
            '～' => "~",
            '’' => "'",
            '…' => "...",
            '━' => "-",
            '〈' => "<",
            '〉' => ">",
            '【' => "[",
            '】' => "]",
            '％' => "%",
            c => {
                out.push(c);
                continue;
            }
        };
        out.push_str(plain);
    }
    out
}
