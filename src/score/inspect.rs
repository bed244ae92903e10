//! What a text looks like, and what in it spoils a score.

use serde::Serialize;

use super::options::{Metric, Options, Tokenizer};

/// What a text looks like, as far as its characters tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TextStyle {
    /// Punctuation at the ends of lines mostly stands alone: `mat .` rather than `mat.`
    pub tokenised: bool,
    /// No letter is upper case.
    pub lower_cased: bool,
}

impl std::fmt::Display for TextStyle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.tokenised { "tokenised, " } else { "detokenised, " })?;
        f.write_str(if self.lower_cased { "lower-cased" } else { "cased" })
    }
}

/// Tell tokenised from detokenised and lower-cased from cased text.
///
/// ```
/// use nmt::score::text_style;
/// assert_eq!(text_style(&["Yes , it is .".to_string()]).to_string(), "tokenised, cased");
/// assert_eq!(text_style(&["yes, it is.".to_string()]).to_string(), "detokenised, lower-cased");
/// ```
pub fn text_style(lines: &[String]) -> TextStyle {
    let (mut alone, mut attached) = (0usize, 0usize);
    for line in lines {
        match stands_alone(line) {
            Some(true) => alone += 1,
            Some(false) => attached += 1,
            None => {}
        }
    }
    let lower_cased = !lines.iter().any(|line| line.chars().any(char::is_uppercase));
    TextStyle { tokenised: alone > attached, lower_cased }
}

/// Whether the sentence mark at the end of the line stands alone; `None` where there is none.
fn stands_alone(line: &str) -> Option<bool> {
    let before = line.trim_end().strip_suffix(['.', '!', '?'])?;
    let last = before.chars().next_back()?;
    // Of `...` the first mark would tell; it is left out.
    if matches!(last, '.' | '!' | '?') { None } else { Some(last.is_whitespace()) }
}

/// What in the hypotheses spoils the score: traces of subwords, unknown words, empty lines.
/// Each warning says how many lines have it and what to do.
pub fn warnings(hypotheses: &[String]) -> Vec<String> {
    let count = |has: &dyn Fn(&str) -> bool| hypotheses.iter().filter(|line| has(line)).count();
    let mut warnings = Vec::new();
    let mut warn = |lines: usize, what: &str, next: &str| {
        if lines > 0 {
            warnings.push(counted(lines, hypotheses.len(), what, next));
        }
    };
    warn(
        count(&|line| line.contains("@@ ") || line.ends_with("@@")),
        "of the hypotheses hold the subword mark `@@`",
        "join the subwords first: remove every `@@ `",
    );
    warn(
        count(&|line| line.contains('\u{2581}')),
        "of the hypotheses hold the subword mark U+2581",
        "decode the SentencePiece tokens first",
    );
    warn(
        count(&|line| line.contains("<unk>") || line.contains("&lt;unk&gt;")),
        "of the hypotheses hold `<unk>`",
        "the model met words or subwords outside its dictionary: prepare its input with the codes it was trained with",
    );
    warn(count(&|line| line.trim().is_empty()), "of the hypotheses are empty", "each lowers the brevity penalty");
    warnings
}

/// Where hypotheses and references, or hypotheses and the tokenizer of BLEU, do not fit together.
pub fn mismatches(hypotheses: &[String], references: &[Vec<String>], options: &Options) -> Vec<String> {
    let mut found = Vec::new();
    let style = text_style(hypotheses);
    for (stream, lines) in references.iter().enumerate() {
        let reference = text_style(lines);
        let stream = stream + 1;
        if style.tokenised != reference.tokenised {
            found.push(format!(
                "the hypotheses are {style}, reference {stream} is {reference}; detokenise or tokenise both alike"
            ));
        }
        if style.lower_cased != reference.lower_cased && !options.bleu.lowercase {
            found.push(format!(
                "the hypotheses are {style}, reference {stream} is {reference}; to ignore case give --lowercase"
            ));
        }
    }
    let escaped = hypotheses.iter().filter(|line| has_escape(line)).count();
    // Tokens of one data folder are escaped on both sides, and compared as they are.
    let alike = options.bleu.tokenize == Tokenizer::None && references.iter().flatten().any(|line| has_escape(line));
    if escaped > 0 && !alike {
        let what = "of the hypotheses hold escapes such as `&apos;`";
        found.push(counted(escaped, hypotheses.len(), what, "detokenise the text first"));
    }
    let bleu = options.metrics.contains(&Metric::Bleu);
    if bleu && style.tokenised && !matches!(options.bleu.tokenize, Tokenizer::None) {
        found.push(format!(
            "the hypotheses look tokenised and BLEU tokenises them again ({}); such a score does not compare with \
             others: detokenise the text, or give --tokenize none for a tokenised BLEU",
            options.bleu.tokenize.name()
        ));
    }
    found
}

/// A warning that says how many lines have what, and what to do.
fn counted(lines: usize, all: usize, what: &str, next: &str) -> String {
    let noun = if lines == 1 { "line" } else { "lines" };
    format!("{lines} of {all} {noun} {what}; {next}")
}

/// Whether a line holds a character as Moses' tokenizer escapes it.
fn has_escape(line: &str) -> bool {
    ["&apos;", "&quot;", "&#91;", "&#93;", "&#124;", "&amp;"].iter().any(|mark| line.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| line.to_string()).collect()
    }

    #[test]
    fn a_clean_text_has_no_warning() {
        assert_eq!(warnings(&lines(&["A cat.", "e-mail: me@home"])), Vec::<String>::new());
        assert_eq!(warnings(&[]), Vec::<String>::new());
    }

    #[test]
    fn every_trace_is_counted_in_lines() {
        let found = warnings(&lines(&["a ca@@ t@@ s", "do@@", "<unk> <unk>", "", "fine"]));
        let starts = ["2 of 5 lines", "1 of 5 line ", "1 of 5 line "];
        assert_eq!(found.len(), starts.len());
        for (warning, start) in found.iter().zip(starts) {
            assert!(warning.starts_with(start), "{warning}");
        }
    }

    #[test]
    fn escapes_are_named_where_the_references_have_none() {
        let (escaped, plain) = (lines(&["it &apos;s red .", "yes ."]), lines(&["it 's red .", "yes ."]));
        let mut options = Options::bleu_only();
        options.bleu.tokenize = Tokenizer::None;
        let found = mismatches(&escaped, std::slice::from_ref(&plain), &options);
        assert!(found.iter().any(|warning| warning.starts_with("1 of 2 line ")), "{found:?}");
        assert_eq!(mismatches(&escaped, std::slice::from_ref(&escaped), &options), Vec::<String>::new());
        assert_eq!(mismatches(&plain, std::slice::from_ref(&escaped), &options), Vec::<String>::new());
    }

    #[test]
    fn style_is_told_by_the_majority() {
        let style = text_style(&lines(&["Go .", "Stop !", "Wait..", "no mark", "Now."]));
        assert_eq!(style, TextStyle { tokenised: true, lower_cased: false });
        assert_eq!(text_style(&[]), TextStyle { tokenised: false, lower_cased: true });
    }
}
