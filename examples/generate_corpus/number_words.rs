//! Numbers in words: German and British English, 0 to 999,999.

const GERMAN_BELOW_TWENTY: [&str; 20] = [
    "null",
    "ein",
    "zwei",
    "drei",
    "vier",
    "fünf",
    "sechs",
    "sieben",
    "acht",
    "neun",
    "zehn",
    "elf",
    "zwölf",
    "dreizehn",
    "vierzehn",
    "fünfzehn",
    "sechzehn",
    "siebzehn",
    "achtzehn",
    "neunzehn",
];
const GERMAN_TENS: [&str; 10] =
    ["", "", "zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"];
const ENGLISH_BELOW_TWENTY: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const ENGLISH_TENS: [&str; 10] = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The German number as it stands inside a compound: `ein`, `einundzwanzig`, `einhundert`, `eintausend`.
///
/// A hundred and a thousand always say how many they are, so that a number has one spelling.
pub fn german_stem(number: u32) -> String {
    match number {
        0..20 => GERMAN_BELOW_TWENTY[number as usize].to_owned(),
        20..100 if number.is_multiple_of(10) => GERMAN_TENS[number as usize / 10].to_owned(),
        20..100 => format!("{}und{}", german_stem(number % 10), GERMAN_TENS[number as usize / 10]),
        100..1000 => format!("{}hundert{}", german_stem(number / 100), german_rest(number % 100)),
        _ => format!("{}tausend{}", german_stem(number / 1000), german_rest(number % 1000)),
    }
}

fn german_rest(number: u32) -> String {
    if number == 0 { String::new() } else { german_stem(number) }
}

/// The German number on its own: a final `ein` becomes `eins`.
pub fn german_cardinal(number: u32) -> String {
    let ending = if number % 100 == 1 { "s" } else { "" };
    german_stem(number) + ending
}

/// The German ordinal with the ending of the weak nominative: `dritte`, `einundzwanzigste`.
pub fn german_ordinal(number: u32) -> String {
    let last = number % 100;
    let head = german_rest(number - last);
    match last {
        1 => head + "erste",
        3 => head + "dritte",
        7 => head + "siebte",
        8 => head + "achte",
        2..20 => head + GERMAN_BELOW_TWENTY[last as usize] + "te",
        _ => german_stem(number) + "ste",
    }
}

/// A year from 1100 to 2099 in German: `neunzehnhundertvierundachtzig`, `zweitausendvier`.
pub fn german_year(year: u32) -> String {
    if year >= 2000 {
        return german_cardinal(year);
    }
    let rest = if year.is_multiple_of(100) { String::new() } else { german_cardinal(year % 100) };
    format!("{}hundert{rest}", german_stem(year / 100))
}

/// The English number: `twenty-one thousand and twenty-one`.
pub fn english_cardinal(number: u32) -> String {
    match number {
        0..20 => ENGLISH_BELOW_TWENTY[number as usize].to_owned(),
        20..100 if number.is_multiple_of(10) => ENGLISH_TENS[number as usize / 10].to_owned(),
        20..100 => format!("{}-{}", ENGLISH_TENS[number as usize / 10], english_cardinal(number % 10)),
        100..1000 => format!("{} hundred{}", english_cardinal(number / 100), english_rest(number % 100)),
        _ => format!("{} thousand{}", english_cardinal(number / 1000), english_rest(number % 1000)),
    }
}

fn english_rest(number: u32) -> String {
    match number {
        0 => String::new(),
        1..100 => format!(" and {}", english_cardinal(number)),
        _ => format!(" {}", english_cardinal(number)),
    }
}

/// The English ordinal: `third`, `twenty-first`, `one hundred and twelfth`.
pub fn english_ordinal(number: u32) -> String {
    let cardinal = english_cardinal(number);
    let last_word = cardinal.rfind([' ', '-']).map_or(0, |separator| separator + 1);
    let (head, last) = cardinal.split_at(last_word);
    let ordinal = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        _ => match last.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{last}th"),
        },
    };
    format!("{head}{ordinal}")
}

/// A year from 1100 to 2099 in English: `nineteen eighty-four`, `nineteen oh five`, `two thousand and four`.
pub fn english_year(year: u32) -> String {
    let (century, rest) = (english_cardinal(year / 100), year % 100);
    match rest {
        _ if (2000..2010).contains(&year) => english_cardinal(year),
        0 => format!("{century} hundred"),
        1..10 => format!("{century} oh {}", english_cardinal(rest)),
        _ => format!("{century} {}", english_cardinal(rest)),
    }
}
