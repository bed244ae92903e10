//! Which scores are computed, and how. The names and the defaults are those of sacrebleu 2.6.0.

use crate::error::{Error, Result};

/// A score of a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Metric {
    /// BLEU: clipped n-gram precisions, geometric mean, brevity penalty.
    Bleu,
    /// chrF2: F-score over character n-grams up to 6.
    Chrf,
    /// chrF2++: chrF with word unigrams and bigrams.
    #[value(name = "chrf++")]
    ChrfPlusPlus,
    /// TER: edits (with shifts) per reference word; lower is better.
    Ter,
}

impl Metric {
    /// All of them, in the order in which they are printed.
    pub const ALL: [Metric; 4] = [Metric::Bleu, Metric::Chrf, Metric::ChrfPlusPlus, Metric::Ter];
}

/// How BLEU splits a line into words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Tokenizer {
    /// As mteval-v13a does: for detokenised text of a Western language.
    #[default]
    #[value(name = "13a")]
    V13a,
    /// At white space only: for text that is tokenised already.
    None,
    /// As mteval-v14 does: Unicode punctuation and symbols are words.
    Intl,
    /// Every character is a word.
    Char,
}

impl Tokenizer {
    /// sacrebleu's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Tokenizer::V13a => "13a",
            Tokenizer::None => "none",
            Tokenizer::Intl => "intl",
            Tokenizer::Char => "char",
        }
    }
}

/// What BLEU does with an n-gram order that has no match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Smoothing {
    /// Nothing: the score is 0.
    None,
    /// A match count of `smooth_value` (0.1) takes the place of 0.
    Floor,
    /// `smooth_value` (1) is added to matches and totals of the orders above 1.
    AddK,
    /// NIST: 1/2, 1/4, 1/8 … match for each order that has none.
    #[default]
    Exp,
}

impl Smoothing {
    /// sacrebleu's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Smoothing::None => "none",
            Smoothing::Floor => "floor",
            Smoothing::AddK => "add-k",
            Smoothing::Exp => "exp",
        }
    }
}

/// How BLEU is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct BleuOptions {
    /// How lines are split into words.
    pub tokenize: Tokenizer,
    /// Lower-case both sides first.
    pub lowercase: bool,
    /// What happens to an order without a match.
    pub smooth_method: Smoothing,
    /// The value of [`Smoothing::Floor`] (`None`: 0.1) and [`Smoothing::AddK`] (`None`: 1).
    pub smooth_value: Option<f64>,
    /// Leave out the orders that the text is too short for.
    pub effective_order: bool,
    /// The longest n-gram, 1 to 9.
    pub max_ngram_order: usize,
}

impl Default for BleuOptions {
    fn default() -> Self {
        BleuOptions {
            tokenize: Tokenizer::default(),
            lowercase: false,
            smooth_method: Smoothing::default(),
            smooth_value: None,
            effective_order: false,
            max_ngram_order: sacrebleu_rs::MAX_NGRAM_ORDER,
        }
    }
}

/// How chrF is computed. chrF++ takes the same with a `word_order` of 2.
#[derive(Debug, Clone, PartialEq)]
pub struct ChrfOptions {
    /// The longest character n-gram, 1 to 20.
    pub char_order: usize,
    /// The longest word n-gram, 0 to 9; 0 for chrF.
    pub word_order: usize,
    /// How much more recall counts than precision.
    pub beta: u32,
    /// Lower-case both sides first.
    pub lowercase: bool,
    /// White space counts as a character.
    pub whitespace: bool,
    /// Smooth every order instead of leaving out those without n-grams (as chrF++.py and NLTK do).
    pub eps_smoothing: bool,
}

impl Default for ChrfOptions {
    fn default() -> Self {
        ChrfOptions { char_order: 6, word_order: 0, beta: 2, lowercase: false, whitespace: false, eps_smoothing: false }
    }
}

/// How TER is computed. Case is ignored unless `case_sensitive` is set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TerOptions {
    /// Split off punctuation first.
    pub normalized: bool,
    /// Leave out punctuation.
    pub no_punct: bool,
    /// Upper and lower case differ.
    pub case_sensitive: bool,
}

/// Everything [`score`](super::score) can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The scores to compute.
    pub metrics: Vec<Metric>,
    /// BLEU's options.
    pub bleu: BleuOptions,
    /// chrF's options, and but for `word_order` those of chrF++.
    pub chrf: ChrfOptions,
    /// TER's options.
    pub ter: TerOptions,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            metrics: Metric::ALL.to_vec(),
            bleu: BleuOptions::default(),
            chrf: ChrfOptions::default(),
            ter: TerOptions::default(),
        }
    }
}

impl Options {
    /// BLEU alone with its defaults, as it is computed while training.
    pub fn bleu_only() -> Options {
        Options { metrics: vec![Metric::Bleu], ..Options::default() }
    }

    /// Lower-case both sides for BLEU and chrF (TER ignores case already).
    #[must_use]
    pub fn lowercase(mut self, lowercase: bool) -> Options {
        self.bleu.lowercase = lowercase;
        self.chrf.lowercase = lowercase;
        self
    }

    /// Refuse values that no score is defined for.
    pub(super) fn validate(&self) -> Result<()> {
        if self.metrics.is_empty() {
            return Err(Error::usage("no score was asked for", "name at least one of bleu, chrf, chrf++, ter"));
        }
        let range = |what: &str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::usage(format!("{what} has to be {least} to {most}, found {value}"), ""))
        };
        range("the n-gram order of BLEU", self.bleu.max_ngram_order, 1, 9)?;
        range("the character order of chrF", self.chrf.char_order, 1, 20)?;
        range("the word order of chrF", self.chrf.word_order, 0, 9)?;
        range("beta of chrF", self.chrf.beta as usize, 1, 1000)?;
        if let Some(value) = self.bleu.smooth_value {
            if !matches!(self.bleu.smooth_method, Smoothing::Floor | Smoothing::AddK) {
                return Err(Error::usage(
                    format!("a smoothing value has no effect on the smoothing `{}`", self.bleu.smooth_method.name()),
                    "leave it out, or smooth by floor or add-k",
                ));
            }
            if !(0.0..=1e6).contains(&value) {
                return Err(Error::usage(format!("the smoothing value has to be 0 to 1e6, found {value}"), ""));
            }
        }
        Ok(())
    }
}
