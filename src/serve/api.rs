//! What requests and answers are.

use serde::{Deserialize, Serialize};

/// `POST /translate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TranslateRequest {
    /// Raw text, a sentence each.
    pub sentences: Vec<String>,
    /// How many translations of each to give, best first.
    #[serde(default = "one")]
    pub n_best: usize,
}

fn one() -> usize {
    1
}

/// What a sentence becomes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Translation {
    /// Readable text.
    pub text: String,
    /// The mean log-probability of its tokens, natural logarithm (with a length penalty of 1).
    pub score: f64,
}

/// The answer to `POST /translate`: for each sentence its translations, best first.
#[derive(Debug, Serialize)]
pub(super) struct TranslateResponse {
    pub translations: Vec<Vec<Translation>>,
}

/// What every answer but 200 holds.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub error: String,
}
