//! Oracle of all word tables below: written by hand from the rules of both languages' grammars, not by this program.

use std::collections::{HashMap, HashSet};

use crate::number_words::{
    english_cardinal, english_ordinal, english_year, german_cardinal, german_ordinal, german_year,
};
use crate::sentences::fill;
use crate::splits::{Split, different_pairs, pairs};
use crate::values::{HOURS, MINUTES, Operation, Value, clock, date, decimal, duration, ordinal, price, sum};
use crate::{Arguments, generate};

#[test]
fn cardinals() {
    let table = [
        (0, "null", "zero"),
        (1, "eins", "one"),
        (16, "sechzehn", "sixteen"),
        (17, "siebzehn", "seventeen"),
        (21, "einundzwanzig", "twenty-one"),
        (30, "dreißig", "thirty"),
        (70, "siebzig", "seventy"),
        (100, "einhundert", "one hundred"),
        (101, "einhunderteins", "one hundred and one"),
        (116, "einhundertsechzehn", "one hundred and sixteen"),
        (200, "zweihundert", "two hundred"),
        (1000, "eintausend", "one thousand"),
        (1001, "eintausendeins", "one thousand and one"),
        (1100, "eintausendeinhundert", "one thousand one hundred"),
        (21_021, "einundzwanzigtausendeinundzwanzig", "twenty-one thousand and twenty-one"),
        (100_000, "einhunderttausend", "one hundred thousand"),
        (
            327_408,
            "dreihundertsiebenundzwanzigtausendvierhundertacht",
            "three hundred and twenty-seven thousand four hundred and eight",
        ),
        (
            999_999,
            "neunhundertneunundneunzigtausendneunhundertneunundneunzig",
            "nine hundred and ninety-nine thousand nine hundred and ninety-nine",
        ),
    ];
    for (number, german, english) in table {
        assert_eq!((german_cardinal(number).as_str(), english_cardinal(number).as_str()), (german, english));
    }
}

#[test]
fn ordinals() {
    let table = [
        (1, "erste", "first"),
        (2, "zweite", "second"),
        (3, "dritte", "third"),
        (5, "fünfte", "fifth"),
        (7, "siebte", "seventh"),
        (8, "achte", "eighth"),
        (9, "neunte", "ninth"),
        (12, "zwölfte", "twelfth"),
        (19, "neunzehnte", "nineteenth"),
        (20, "zwanzigste", "twentieth"),
        (31, "einunddreißigste", "thirty-first"),
        (100, "einhundertste", "one hundredth"),
        (101, "einhunderterste", "one hundred and first"),
        (183, "einhundertdreiundachtzigste", "one hundred and eighty-third"),
    ];
    for (number, german, english) in table {
        assert_eq!((german_ordinal(number).as_str(), english_ordinal(number).as_str()), (german, english));
    }
    assert_eq!(ordinal(3).german_dative, "dritten");
}

#[test]
fn years() {
    let table = [
        (1100, "elfhundert", "eleven hundred"),
        (1604, "sechzehnhundertvier", "sixteen oh four"),
        (1901, "neunzehnhunderteins", "nineteen oh one"),
        (1984, "neunzehnhundertvierundachtzig", "nineteen eighty-four"),
        (2000, "zweitausend", "two thousand"),
        (2004, "zweitausendvier", "two thousand and four"),
        (2021, "zweitausendeinundzwanzig", "twenty twenty-one"),
    ];
    for (year, german, english) in table {
        assert_eq!((german_year(year).as_str(), english_year(year).as_str()), (german, english));
    }
}

fn words(value: &Value) -> (&str, &str) {
    (&value.german, &value.english)
}

#[test]
fn clock_times() {
    let table = [
        (1, 0, "ein Uhr", "one o'clock"),
        (7, 0, "sieben Uhr", "seven o'clock"),
        (6, 1, "eine Minute nach sechs", "one minute past six"),
        (12, 5, "fünf nach zwölf", "five past twelve"),
        (7, 15, "Viertel nach sieben", "quarter past seven"),
        (3, 25, "fünf vor halb vier", "twenty-five past three"),
        (7, 30, "halb acht", "half past seven"),
        (12, 30, "halb eins", "half past twelve"),
        (3, 35, "fünf nach halb vier", "twenty-five to four"),
        (4, 40, "zwanzig vor fünf", "twenty to five"),
        (11, 45, "Viertel vor zwölf", "quarter to twelve"),
        (8, 48, "zwölf Minuten vor neun", "twelve minutes to nine"),
        (12, 59, "eine Minute vor eins", "one minute to one"),
    ];
    for (hour, minute, german, english) in table {
        assert_eq!(words(&clock(hour, minute)), (german, english));
    }
}

#[test]
fn dates_prices_durations_decimals_and_sums() {
    let day = date(3, 3, Some(1984));
    assert_eq!(words(&day), ("dritte März neunzehnhundertvierundachtzig", "third of March nineteen eighty-four"));
    assert_eq!(day.german_dative, "dritten März neunzehnhundertvierundachtzig");
    assert_eq!(words(&date(31, 12, None)), ("einunddreißigste Dezember", "thirty-first of December"));
    assert_eq!(words(&price(12, 50)), ("zwölf Euro fünfzig", "twelve euros and fifty cents"));
    assert_eq!(words(&price(900, 0)), ("neunhundert Euro", "nine hundred euros"));
    assert_eq!(words(&duration(1, 0, HOURS, MINUTES)), ("eine Stunde", "one hour"));
    assert_eq!(
        words(&duration(21, 1, HOURS, MINUTES)),
        ("einundzwanzig Stunden und eine Minute", "twenty-one hours and one minute")
    );
    assert_eq!(words(&decimal(0, &[0, 1])), ("null Komma null eins", "zero point zero one"));
    assert_eq!(
        words(&sum(17, Operation::Plus, 4)),
        ("siebzehn plus vier ist einundzwanzig", "seventeen plus four is twenty-one")
    );
    assert_eq!(words(&sum(9, Operation::Minus, 9)), ("neun minus neun ist null", "nine minus nine is zero"));
    assert_eq!(
        words(&sum(7, Operation::Times, 8)),
        ("sieben mal acht ist sechsundfünfzig", "seven times eight is fifty-six")
    );
}

#[test]
fn sentences_take_the_right_form_and_start_in_upper_case() {
    let (german, english) = fill(("Am {n} schien der {}.", "{} and {}."), &date(1, 5, None));
    assert_eq!(
        (german.as_str(), english.as_str()),
        ("Am ersten Mai schien der erste Mai.", "First of May and first of May.")
    );
    assert_eq!(fill(("{} war da.", "{}."), &crate::values::number(12)).0, "Zwölf war da.");
}

/// What the valid and test splits say is new, and every German sentence has one translation.
#[test]
fn no_unseen_value_appears_in_training() {
    let train = pairs(Split::Train, 20_000, 1).unwrap();
    let trained: HashSet<_> = train.iter().flat_map(|pair| [&pair.value.german, &pair.value.german_dative]).collect();
    let mut translations: HashMap<_, _> =
        train.iter().map(|pair| (pair.german.clone(), pair.english.clone())).collect();
    assert_eq!(translations.len(), train.len(), "a sentence occurs twice");
    let mut unseen = HashSet::new();
    for split in [Split::Valid, Split::Test] {
        let pairs = pairs(split, 500, 1).unwrap();
        assert_eq!(pairs.len(), 500);
        for pair in pairs {
            assert!(!trained.contains(&pair.value.german), "{} is seen in training", pair.value.german);
            assert!(unseen.insert((split.name(), pair.german.clone())));
            assert_eq!(translations.insert(pair.german, pair.english), None);
        }
    }
    assert_eq!(unseen.len(), 1000);
}

/// All words of the valid and test splits' English are known: only their combinations are new.
#[test]
fn unseen_values_are_made_of_seen_words() {
    let words = |split, count| -> HashSet<String> {
        let pairs = pairs(split, count, 1).unwrap();
        pairs.iter().flat_map(|pair| pair.english.split([' ', '-'])).map(str::to_owned).collect()
    };
    let known = words(Split::Train, 20_000);
    for split in [Split::Valid, Split::Test] {
        let unknown: Vec<_> = words(split, 500).into_iter().filter(|word| !known.contains(word)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

#[test]
fn the_same_arguments_write_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, seed, train| {
        let output = folder.path().join(name);
        generate(&Arguments { output: output.clone(), seed, train, valid: 20, test: 20 }).unwrap();
        ["train.de", "train.en", "valid.de", "valid.en", "test.de", "test.en"]
            .map(|file| std::fs::read_to_string(output.join(file)).unwrap())
    };
    let first = write("first", 1, 300);
    assert_eq!(first.each_ref().map(|text| text.lines().count()), [300, 300, 20, 20, 20, 20]);
    assert_eq!(first, write("again", 1, 300));
    assert_ne!(first[0], write("other", 2, 300)[0]);
    // A smaller training set changes neither its first pairs nor the other splits.
    let smaller = write("smaller", 1, 100);
    assert!(first[0].starts_with(&smaller[0]));
    assert_eq!(first[2..], smaller[2..]);
}

#[test]
fn a_size_that_cannot_be_had_is_wrong_use() {
    let only = pairs(Split::Train, 1, 1).unwrap();
    assert_eq!(different_pairs(Split::Train, 1, || only[0].clone()).unwrap(), only);
    let error = different_pairs(Split::Train, 2, || only[0].clone()).unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().as_str()),
        (2, "--train 2 is more than the 1 different sentences found; ask for fewer")
    );
}
