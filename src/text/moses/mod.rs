//! The Moses scripts for raw text, line for line: punctuation, tokens, lower case and back.
//!
//! Each stage is one of Moses' Perl scripts and gives the same output; `docs/moses.md` says how that was checked and
//! what is left out. Multi30k's own files are [`lowercase`], then [`PunctuationNormalizer`], then [`Tokenizer`], all in
//! [`Version::Of2017`].

mod characters;
mod clean;
mod detokenise;
mod lowercase;
mod normalise;
mod prefixes;
mod protected;
mod tokenise;

use serde::{Deserialize, Serialize};

pub use clean::{remove_non_printing, replace_unicode_punctuation};
pub use detokenise::Detokenizer;
pub use lowercase::lowercase;
pub use normalise::PunctuationNormalizer;
pub use protected::BASIC_PROTECTED_PATTERNS;
pub use tokenise::{Tokenizer, TokenizerOptions};

/// Which year's Moses scripts to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
pub enum Version {
    /// Today's: the full stop at the end of a line is always a token.
    #[default]
    #[serde(rename = "current")]
    Current,
    /// Those of December 2017, which made Multi30k's own files: a full stop at the end of a line stays on an
    /// abbreviation or a number, and single typographic quotation marks become double ones.
    #[serde(rename = "2017")]
    #[value(name = "2017")]
    Of2017,
}
