//! Raw text to tokens and back: Moses tokenisation, cleaning, byte-pair encoding.

pub mod moses;
