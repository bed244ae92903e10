//! The sentences that values stand in.

use crate::values::{Kind, Value};

/// A sentence with a gap in both languages.
///
/// `{}` is the gap; a German gap of `{n}` takes the form of the value after `am`, `vom`, `im` … (dates and ordinals
/// end in `-n` there).
pub type Frame = (&'static str, &'static str);

/// The sentences for the values of a kind.
pub fn frames(kind: Kind) -> &'static [Frame] {
    match kind {
        Kind::Number => &[
            ("Die Zahl lautet {}.", "The number is {}."),
            ("Bitte notieren Sie {}.", "Please write down {}."),
            ("Ist {} die richtige Antwort?", "Is {} the right answer?"),
        ],
        Kind::Count => &[
            ("Wir haben {} Stimmen gezählt.", "We counted {} votes."),
            ("In der Stadt wohnen {} Menschen.", "{} people live in the town."),
            ("Das Lager enthält {} Kisten.", "The warehouse holds {} crates."),
        ],
        Kind::Ordinal => &[
            ("Das ist der {} Brief in diesem Jahr.", "This is the {} letter this year."),
            ("Sie ist die {} Besucherin des Museums.", "She is the {} visitor to the museum."),
            ("Er landete auf dem {n} Platz.", "He finished in {} place."),
        ],
        Kind::Year => &[
            ("Das Haus wurde im Jahr {} gebaut.", "The house was built in {}."),
            ("Im Jahr {} begann ein kalter Winter.", "In {}, a cold winter began."),
            ("{} war ein gutes Jahr.", "{} was a good year."),
        ],
        Kind::Day => &[
            ("Heute ist der {}.", "Today is the {}."),
            ("Der Laden öffnet am {n} wieder.", "The shop opens again on the {}."),
            ("Bis zum {n} ist noch Zeit.", "There is still time until the {}."),
        ],
        Kind::Date => &[
            ("Der Brief ist vom {n}.", "The letter is dated the {}."),
            ("Sie wurde am {n} geboren.", "She was born on the {}."),
            ("Am {n} fiel der erste Schnee.", "On the {}, the first snow fell."),
        ],
        Kind::Clock => &[
            ("Der Zug fährt um {} ab.", "The train leaves at {}."),
            ("Es ist {}.", "It is {}."),
            ("Das Geschäft schließt abends um {}.", "The shop closes at {} in the evening."),
            ("Wollen wir uns um {} treffen?", "Shall we meet at {}?"),
        ],
        Kind::Price => &[
            ("Das Buch kostet {}.", "The book costs {}."),
            ("Ich habe {} bezahlt.", "I paid {}."),
            ("Du schuldest mir noch {}.", "You still owe me {}."),
        ],
        Kind::Duration => &[
            ("Die Fahrt dauert {}.", "The journey takes {}."),
            ("Wir haben {} gewartet.", "We waited for {}."),
            ("Der Kuchen bleibt {} im Ofen.", "The cake stays in the oven for {}."),
        ],
        Kind::Decimal => &[
            ("Die Preise stiegen um {} Prozent.", "Prices rose by {} per cent."),
            ("Der Weg ist {} Kilometer lang.", "The path is {} kilometres long."),
            ("Das Paket wiegt {} Kilo.", "The parcel weighs {} kilos."),
        ],
        Kind::Sum => &[
            ("{}.", "{}."),
            ("Die Lehrerin sagt: {}.", "The teacher says: {}."),
            ("Es stimmt: {}.", "It is true: {}."),
        ],
    }
}

/// The sentence of both languages, German first: each with its gap filled and its first letter in upper case.
pub fn fill((german, english): Frame, value: &Value) -> (String, String) {
    let german = german.replace("{n}", &value.german_dative).replace("{}", &value.german);
    (capitalised(&german), capitalised(&english.replace("{}", &value.english)))
}

fn capitalised(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
