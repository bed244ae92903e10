//! Lines of text as nobody writes them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the stages of the text's way look at or write themselves.
const PIECES: &[&str] = &[
    "Haus",
    "ein",
    "U.S.",
    "z.B.",
    "Dr.",
    "No.",
    "5",
    "3,000",
    "don't",
    "l'homme",
    "1990's",
    "Jones'",
    "GmbH.",
    "a-b",
    "ß",
    "İ",
    "ẞ",
    "ΑΣ",
    "ǅ",
    "ﬁ",
    "½",
    "²",
    "٣",
    "Ⅷ", // letters and numbers
    "...",
    ".",
    ",",
    ",,",
    "'",
    "''",
    "\"",
    "`",
    "„",
    "“",
    "”",
    "‘",
    "’",
    "‚",
    "«",
    "»",
    "–",
    "—",
    "…",
    "(",
    ")",
    "%",
    ":",
    ";",
    "!",
    "?",
    "$",
    "€",
    "<",
    ">",
    "|",
    "[",
    "]",
    "&",
    "-",
    "/",
    "\\",
    "@",
    "#", // marks
    "&amp;",
    "&#124;",
    "&bar;",
    "&amp;lt;",
    "@-@",
    "@@",
    "x@@",
    "</w>",
    "<unk>",
    "</s>",
    "<pad>",
    "<s>",
    "<b>",
    "madeupword0000",
    "THISISPROTECTED000",
    "#fairseq:overwrite",
    "http://a.de/b",
    "a@b.de", // syntax of the stages
    "\u{301}",
    "e\u{301}\u{327}",
    "\u{20dd}",
    "\u{200d}",
    "👩‍👩‍👧",
    "🇩🇪",
    "한글",
    "漢字",
    "ｶﾞ",
    "नि",
    "\u{e0001}", // combining
    "\u{202e}",
    "\u{2066}",
    "\u{200f}",
    "עברית",
    "العربية",
    "\u{feff}",
    "\u{ad}", // direction, invisible
    "\0",
    "\u{1}",
    "\u{2}",
    "\u{3}",
    "\u{10}",
    "\u{1b}[31m",
    "\u{7f}",
    "\u{9f}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{10ffff}", // controls
    " ",
    "  ",
    "\t",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{1c}",
    "\u{1f}",
    "\u{85}",
    "\u{a0}",
    "\u{2003}",
    "\u{2028}",
    "\u{3000}", // spaces
];

/// A source of lines with a seed of its own.
pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A line of up to `most` pieces: those of [`PIECES`], any character of Unicode but the line feed, and blanks.
pub fn line(random: &mut ChaCha8Rng, most: usize) -> String {
    let mut line = String::new();
    for _ in 0..random.random_range(0..=most) {
        match random.random_range(0..10) {
            0..5 => line.push_str(PIECES[random.random_range(0..PIECES.len())]),
            5 => line.push(any_character(random)),
            6 => line.push(random.random_range('!'..='~')),
            _ => line.push(' '),
        }
    }
    line
}

fn any_character(random: &mut ChaCha8Rng) -> char {
    // A quarter from the plane that most text is in.
    let last = if random.random_range(0..4) == 0 { '\u{ffff}' } else { char::MAX };
    match random.random_range('\0'..=last) {
        '\n' => ' ',
        other => other,
    }
}

/// Lines of a megabyte, each of one kind, with a name: repeated pieces that rules look at, and a random one.
pub fn megabytes() -> Vec<(String, String)> {
    const MEGABYTE: usize = 1 << 20;
    let once = ["a", " ", ".", ",", "'", "\"", "&", "<", "-", "\u{301}", "\u{a0}", "\0", "\r", "漢", "😀"];
    let words = [
        "a ", ". ", "a.", "a,", "'a", "a'", "\".", ".\"", "(a", " %", "a’", "1\u{a0}", "&amp;", "a-", "@@ ", "DOT",
        "DOTMULTI", "<a> ", "z.B. ", "„a“ ",
    ];
    let mut lines: Vec<(String, String)> =
        once.iter().chain(&words).map(|piece| (format!("{piece:?}"), piece.repeat(MEGABYTE / piece.len()))).collect();
    lines.push(("DOT… and MULTI".to_string(), "DOT".repeat(MEGABYTE / 3) + "MULTI"));
    let mut random = random(2);
    let mut line = String::new();
    while line.len() < MEGABYTE {
        line += &self::line(&mut random, 100);
    }
    lines.push(("random".to_string(), line));
    lines
}
