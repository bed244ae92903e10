//! The first of the two passes that sacrebleu's TER makes over references.
//!
//! sacrebleu 2.6.0 tokenises a hypothesis once but a reference twice, which shows where the first pass makes new
//! work for the second: `Paul's.` becomes `Paul's .` and only then `Paul 's .` Published scores have it, so it is
//! kept. The second pass is that of `sacrebleu-rs`.

use std::sync::LazyLock;

use regex::Regex;

use super::options::TerOptions;

/// The Western part of Tercom's normalisation, in its order.
static RULES: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let rules = [
        (r"([\x20-\x26\x28-\x2b\x2f\x3a-\x40\x5b-\x60\x7b-\x7e])", " $1 "),
        (r"'s ", " 's "),
        (r"'s$", " 's"),
        (r"([^0-9])([.,])", "$1 $2 "),
        (r"([.,])([^0-9])", " $1 $2"),
        (r"([0-9])(-)", "$1 $2 "),
    ];
    // The patterns are constants that the test below compiles.
    rules.into_iter().filter_map(|(pattern, with)| Some((Regex::new(pattern).ok()?, with))).collect()
});

/// Tokenise a line as sacrebleu's `TercomTokenizer` does without Asian support.
pub(super) fn tokenise(line: &str, options: &TerOptions) -> String {
    let line = line.trim_end();
    if line.is_empty() {
        return String::new();
    }
    let mut text = if options.case_sensitive { line.to_string() } else { line.to_lowercase() };
    if options.normalized {
        let escapes = [("\n-", ""), ("\n", " "), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];
        for (from, to) in escapes {
            text = text.replace(from, to);
        }
        text = format!(" {text} ");
        for (rule, with) in RULES.iter() {
            text = rule.replace_all(&text, *with).into_owned();
        }
    }
    if options.no_punct {
        text.retain(|c| !matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')'));
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_pass_finds_more() {
        let options = TerOptions { normalized: true, ..TerOptions::default() };
        assert_eq!(RULES.len(), 6);
        let once = tokenise("At St. Paul's.  7-up &amp;lt; 1,000", &options);
        assert_eq!(once, "at st . paul's . 7 - up < 1,000");
        assert_eq!(tokenise(&once, &options), "at st . paul 's . 7 - up < 1,000");
        let bare = TerOptions { no_punct: true, case_sensitive: true, ..TerOptions::default() };
        assert_eq!(tokenise("No, (really)! ", &bare), "No really");
        assert_eq!(tokenise("  ", &options), "");
    }
}
