//! Non-breaking prefixes: the words that keep a full stop at their end in the middle of a line.
//!
//! Abbreviations with a full stop inside (`z.B.`, `e.g.`) are in no list: they keep it by rule.

use std::collections::HashMap;

/// When a full stop after a non-breaking prefix belongs to the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// Always (`Dr.`).
    Always,
    /// Where a digit follows (`No. 5`).
    BeforeNumber,
}

/// Titles and ranks that both lists hold.
const TITLES: &[&str] = &[
    "Adj", "Adm", "Adv", "Asst", "Bart", "Bldg", "Brig", "Bros", "Capt", "Cmdr", "Col", "Comdr", "Con", "Corp", "Cpl",
    "DR", "Dr", "Ens", "Gen", "Gov", "Hon", "Hosp", "Insp", "Lt", "MM", "MR", "MRS", "MS", "Maj", "Messrs", "Mlle",
    "Mme", "Mr", "Mrs", "Ms", "Msgr", "Op", "Ord", "Pfc", "Ph", "Prof", "Pvt", "Rep", "Reps", "Res", "Rev", "Rt",
    "Sen", "Sens", "Sfc", "Sgt", "Sr", "St", "Supt", "Surg",
];

const ENGLISH: &[&str] = &[
    "Drs", "Hr", // titles
    "v", "vs", "rev", // within a sentence
    "Nos", "Nr", // numbers
    "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const ENGLISH_BEFORE_NUMBER: &[&str] = &["No", "Art", "pp"];

const GERMAN: &[&str] = &[
    "Mio", "Mrd", "MwSt", "Dkr", "Ltd", "Co", "Corp", "SA", "BSE", "spp", // amounts, companies
    "bzw", "bzgl", "vgl", "vs", "usw", "usf", "etc", "ff", "ca", "Ca", "evtl", "ggf", "sog", "sogen", "zzt", "dgl",
    "dergl", // within a sentence
    "Buchst", "Std", "Zt", "Chr", "jun", "sen", // nouns and names
    "No", "Nos", "Art", "Nr", "pp", // numbers
];

/// The non-breaking prefixes of a language, without their full stop; none if the project has no list for it.
pub(super) fn of_language(language: &str) -> Option<HashMap<String, Prefix>> {
    let mut prefixes = HashMap::new();
    let mut add = |word: String| prefixes.insert(word, Prefix::Always);
    // initials and titles
    for letter in 'A'..='Z' {
        add(letter.to_string());
    }
    for word in TITLES {
        add(word.to_string());
    }
    match language {
        "en" => {
            for word in ENGLISH {
                add(word.to_string());
            }
            for word in ENGLISH_BEFORE_NUMBER {
                prefixes.insert(word.to_string(), Prefix::BeforeNumber);
            }
        }
        "de" => {
            for letter in 'a'..='z' {
                add(letter.to_string());
            }
            for word in GERMAN {
                add(word.to_string());
            }
            for number in 1..=20 {
                add(roman(number));
                add(roman(number).to_lowercase());
            }
            // ordinal numbers
            for number in 1..=99 {
                add(number.to_string());
            }
        }
        _ => return None,
    }
    Some(prefixes)
}

/// A number below 40 in Roman numerals.
fn roman(number: usize) -> String {
    const UNITS: [&str; 10] = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"];
    "X".repeat(number / 10) + UNITS[number % 10]
}
