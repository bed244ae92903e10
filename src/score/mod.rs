//! Scores of translations: BLEU, chrF and TER with their signatures.
