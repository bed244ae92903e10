//! Raw text to tokens and back: Moses tokenisation, cleaning, byte-pair encoding, unigram pieces.

mod bpe_dropout;
mod charsmap;
mod clean;
mod corpus;
mod in_order;
mod learn_bpe;
pub mod moses;
mod pipeline;
mod sentence_piece;
mod subword;
pub mod wit3;

pub use bpe_dropout::BpeDropout;
pub use clean::{LengthFilter, Misfit};
pub use corpus::{LONGEST_LINE, LineReader, PairReader, find_text};
pub use in_order::in_order;
pub use learn_bpe::learn_merges;
pub(crate) use pipeline::read_settings;
pub use pipeline::{TextPipeline, TextSettings, Tokenization};
pub use sentence_piece::{SentencePiece, join_pieces, language_code};
pub use subword::{Merge, Subword, blank_separated, join_subwords};

/// The file of a data or model folder that says how its text was made: the `text` object holds the
/// [`TextSettings`].
pub const SETTINGS_FILE: &str = "preprocess.json";
/// The file of a data or model folder that holds the byte-pair encoding, or the pieces of source text, where there are such.
pub const SUBWORD_FILE: &str = "tokenizer.json";

/// The name of the file of a data or model folder that holds the pieces of target text, where they are others than those of source
/// text: [`SentencePiece`]'s.
///
/// ```
/// assert_eq!(nmt::text::target_pieces_file("en"), "tokenizer.en.json");
/// ```
pub fn target_pieces_file(target_language: &str) -> String {
    format!("tokenizer.{target_language}.json")
}
