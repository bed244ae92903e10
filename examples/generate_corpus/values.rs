//! What fills the gap of a sentence: a number, a date, a time … drawn at random, and its words in both languages.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::number_words::{
    english_cardinal, english_ordinal, english_year, german_cardinal, german_ordinal, german_stem, german_year,
};

/// The kinds of values; each has its own sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Number,
    /// A number of things: no noun can follow a German number that ends in `eins`, so none does.
    Count,
    Ordinal,
    Year,
    Day,
    Date,
    Clock,
    Price,
    Duration,
    Decimal,
    Sum,
}

pub const KINDS: [Kind; 11] = [
    Kind::Number,
    Kind::Count,
    Kind::Ordinal,
    Kind::Year,
    Kind::Day,
    Kind::Date,
    Kind::Clock,
    Kind::Price,
    Kind::Duration,
    Kind::Decimal,
    Kind::Sum,
];

/// A value in words.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value {
    pub kind: Kind,
    /// German; dates and ordinals in the nominative.
    pub german: String,
    /// German after `am`, `vom`, `im` …: differs from `german` for dates and ordinals only.
    pub german_dative: String,
    pub english: String,
    /// One of the pieces that the other values are made of, which training has to show: a number below 100, an
    /// ordinal up to 31st.
    pub building_block: bool,
}

impl Value {
    fn new(kind: Kind, german: String, english: String) -> Value {
        Value { kind, german_dative: german.clone(), german, english, building_block: false }
    }
}

/// Draw a value; small numbers and round ones are more frequent than their share.
pub fn draw(kind: Kind, random: &mut ChaCha8Rng) -> Value {
    match kind {
        Kind::Number => number(draw_number(random)),
        Kind::Count => loop {
            let count = draw_number(random);
            if count > 1 && count % 100 != 1 {
                break Value { kind, ..number(count) };
            }
        },
        Kind::Ordinal => {
            let limit = if random.random_range(0..2) == 0 { 100 } else { 1000 };
            ordinal(random.random_range(1..limit))
        }
        Kind::Year => year(random.random_range(1100..2100)),
        Kind::Day => {
            let (day, month) = draw_day(random);
            date(day, month, None)
        }
        Kind::Date => {
            let (day, month) = draw_day(random);
            date(day, month, Some(random.random_range(1100..2100)))
        }
        Kind::Clock => {
            // Half of the times are those that people name most: multiples of five minutes.
            let minute = if random.random_range(0..2) == 0 {
                random.random_range(0..60)
            } else {
                random.random_range(0..12) * 5
            };
            clock(random.random_range(1..=12), minute)
        }
        Kind::Price => loop {
            let limit = if random.random_range(0..3) == 0 { 1000 } else { 100 };
            let euros = random.random_range(2..limit);
            let cents = if random.random_range(0..4) == 0 { 0 } else { random.random_range(10..100) };
            if euros % 100 != 1 {
                break price(euros, cents);
            }
        },
        Kind::Duration => {
            let seconds = random.random_range(0..3) == 0;
            let whole = random.random_range(1..if seconds { 60 } else { 48 });
            let part = if random.random_range(0..4) == 0 { 0 } else { random.random_range(1..60) };
            if seconds { duration(whole, part, MINUTES, SECONDS) } else { duration(whole, part, HOURS, MINUTES) }
        }
        Kind::Decimal => {
            let digits = random.random_range(1..3);
            decimal(random.random_range(0..100), &draw_digits(digits, random))
        }
        Kind::Sum => draw_sum(random),
    }
}

/// A number of up to six digits: how many digits first, then the digits, at times with zeros at the end.
fn draw_number(random: &mut ChaCha8Rng) -> u32 {
    let number = match random.random_range(0..20) {
        0..5 => random.random_range(0..100),
        5..12 => random.random_range(100..1000),
        12..16 => random.random_range(1000..10_000),
        16..18 => random.random_range(10_000..100_000),
        _ => random.random_range(100_000..1_000_000),
    };
    let round = [1, 1, 1, 10, 100, 1000][random.random_range(0..6)];
    if number >= round * 10 { number / round * round } else { number }
}

fn draw_day(random: &mut ChaCha8Rng) -> (u32, u32) {
    let month = random.random_range(1..=12u32);
    // A leap day needs a leap year: it is left out.
    let days = match month {
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (random.random_range(1..=days), month)
}

/// Digits after the point; the last is not zero.
fn draw_digits(count: usize, random: &mut ChaCha8Rng) -> Vec<u32> {
    (1..=count).map(|place| random.random_range(u32::from(place == count)..10)).collect()
}

fn draw_sum(random: &mut ChaCha8Rng) -> Value {
    let limit = if random.random_range(0..3) == 0 { 500 } else { 60 };
    match random.random_range(0..3) {
        0 => {
            let (left, right) = (random.random_range(1..limit), random.random_range(1..limit));
            sum(left, Operation::Plus, right)
        }
        1 => {
            let left = random.random_range(2..limit);
            sum(left, Operation::Minus, random.random_range(1..=left))
        }
        _ => sum(random.random_range(2..=25), Operation::Times, random.random_range(2..=25)),
    }
}

pub fn number(number: u32) -> Value {
    let value = Value::new(Kind::Number, german_cardinal(number), english_cardinal(number));
    Value { building_block: number < 100, ..value }
}

pub fn ordinal(number: u32) -> Value {
    let german = german_ordinal(number);
    Value {
        kind: Kind::Ordinal,
        german_dative: format!("{german}n"),
        german,
        english: english_ordinal(number),
        building_block: number <= 31,
    }
}

pub fn year(year: u32) -> Value {
    Value::new(Kind::Year, german_year(year), english_year(year))
}

const MONTHS: [(&str, &str); 12] = [
    ("Januar", "January"),
    ("Februar", "February"),
    ("März", "March"),
    ("April", "April"),
    ("Mai", "May"),
    ("Juni", "June"),
    ("Juli", "July"),
    ("August", "August"),
    ("September", "September"),
    ("Oktober", "October"),
    ("November", "November"),
    ("Dezember", "December"),
];

/// `am dritten März neunzehnhundertvierundachtzig` without its preposition; `month` counts from 1.
pub fn date(day: u32, month: u32, year: Option<u32>) -> Value {
    let (german_month, english_month) = MONTHS[month as usize - 1];
    let (german_year, english_year) = year
        .map_or_else(Default::default, |year| (format!(" {}", german_year(year)), format!(" {}", english_year(year))));
    let german = |ending: &str| format!("{}{ending} {german_month}{german_year}", german_ordinal(day));
    Value {
        kind: if year.is_some() { Kind::Date } else { Kind::Day },
        german: german(""),
        german_dative: german("n"),
        english: format!("{} of {english_month}{english_year}", english_ordinal(day)),
        building_block: false,
    }
}

/// A time of the twelve-hour clock, the way it is spoken: multiples of five minutes by the quarter and the half hour,
/// the others by the minute.
pub fn clock(hour: u32, minute: u32) -> Value {
    let next = hour % 12 + 1;
    let (german_hour, english_hour) = (german_cardinal(hour), english_cardinal(hour));
    let (german_next, english_next) = (german_cardinal(next), english_cardinal(next));
    let (german, english) = match minute {
        0 => (format!("{} Uhr", german_stem(hour)), format!("{english_hour} o'clock")),
        15 => (format!("Viertel nach {german_hour}"), format!("quarter past {english_hour}")),
        25 => (format!("fünf vor halb {german_next}"), format!("twenty-five past {english_hour}")),
        30 => (format!("halb {german_next}"), format!("half past {english_hour}")),
        35 => (format!("fünf nach halb {german_next}"), format!("twenty-five to {english_next}")),
        45 => (format!("Viertel vor {german_next}"), format!("quarter to {english_next}")),
        1..30 => {
            let (german, english) = minutes(minute);
            (format!("{german} nach {german_hour}"), format!("{english} past {english_hour}"))
        }
        _ => {
            let (german, english) = minutes(60 - minute);
            (format!("{german} vor {german_next}"), format!("{english} to {english_next}"))
        }
    };
    Value::new(Kind::Clock, german, english)
}

/// The minutes before or after an hour: the word `Minuten` is left out where they are a multiple of five.
fn minutes(count: u32) -> (String, String) {
    if count.is_multiple_of(5) { (german_cardinal(count), english_cardinal(count)) } else { quantity(count, MINUTES) }
}

pub fn price(euros: u32, cents: u32) -> Value {
    let (mut german, mut english) =
        (format!("{} Euro", german_cardinal(euros)), format!("{} euros", english_cardinal(euros)));
    if cents > 0 {
        german += &format!(" {}", german_cardinal(cents));
        english += &format!(" and {} cents", english_cardinal(cents));
    }
    Value::new(Kind::Price, german, english)
}

/// A unit of time, all feminine in German: singular and plural of both languages.
pub type Unit = [&'static str; 4];
pub const HOURS: Unit = ["Stunde", "Stunden", "hour", "hours"];
pub const MINUTES: Unit = ["Minute", "Minuten", "minute", "minutes"];
pub const SECONDS: Unit = ["Sekunde", "Sekunden", "second", "seconds"];

fn quantity(count: u32, [german_one, german_many, english_one, english_many]: Unit) -> (String, String) {
    match count {
        1 => (format!("eine {german_one}"), format!("one {english_one}")),
        _ => {
            (format!("{} {german_many}", german_cardinal(count)), format!("{} {english_many}", english_cardinal(count)))
        }
    }
}

pub fn duration(whole: u32, part: u32, unit: Unit, part_unit: Unit) -> Value {
    let (mut german, mut english) = quantity(whole, unit);
    if part > 0 {
        let (german_part, english_part) = quantity(part, part_unit);
        german += &format!(" und {german_part}");
        english += &format!(" and {english_part}");
    }
    Value::new(Kind::Duration, german, english)
}

pub fn decimal(whole: u32, digits: &[u32]) -> Value {
    let (mut german, mut english) =
        (format!("{} Komma", german_cardinal(whole)), format!("{} point", english_cardinal(whole)));
    for &digit in digits {
        german += &format!(" {}", german_cardinal(digit));
        english += &format!(" {}", english_cardinal(digit));
    }
    Value::new(Kind::Decimal, german, english)
}

#[derive(Debug, Clone, Copy)]
pub enum Operation {
    Plus,
    Minus,
    Times,
}

/// `siebzehn plus vier ist einundzwanzig`; `right` is not above `left` in a difference.
pub fn sum(left: u32, operation: Operation, right: u32) -> Value {
    let (german, english, result) = match operation {
        Operation::Plus => ("plus", "plus", left + right),
        Operation::Minus => ("minus", "minus", left.saturating_sub(right)),
        Operation::Times => ("mal", "times", left * right),
    };
    let words = |cardinal: fn(u32) -> String, operation: &str, is: &str| {
        format!("{} {operation} {} {is} {}", cardinal(left), cardinal(right), cardinal(result))
    };
    Value::new(Kind::Sum, words(german_cardinal, german, "ist"), words(english_cardinal, english, "is"))
}
