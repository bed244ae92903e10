//! Beam search as fairseq's `SequenceGenerator` does it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::data::{EOS, PAD};
use crate::error::{Error, Result};
use crate::kernels::{Continuations, best_continuations};
use crate::model::{StepDecoder, Transformer};

/// The widest beam.
pub const GREATEST_BEAM: usize = 1024;

/// The search's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// Hypotheses kept at every step.
    pub beam: usize,
    /// Exponent of the length that a hypothesis's score is divided by.
    pub length_penalty: f64,
    /// The longest output is `max_length_a · source length + max_length_b`.
    pub max_length_a: f64,
    /// See `max_length_a`.
    pub max_length_b: f64,
    /// The shortest output, `</s>` not counted.
    pub min_length: usize,
    /// A sentence is done with as many finished hypotheses as the beam is wide, as in fairseq. Otherwise it goes on while one that
    /// is still growing has a better score, divided by its present length, than the worst of the best finished ones, as
    /// Hugging Face's `generate` by default.
    pub early_stopping: bool,
}

impl Default for SearchConfig {
    fn default() -> SearchConfig {
        SearchConfig {
            beam: 5,
            length_penalty: 1.0,
            max_length_a: 1.2,
            max_length_b: 10.0,
            min_length: 1,
            early_stopping: true,
        }
    }
}

impl SearchConfig {
    /// The score of a hypothesis of so many tokens whose log-probabilities add up to `sum`.
    fn score(&self, sum: f32, length: usize) -> f64 {
        f64::from(sum) / (length as f64).powf(self.length_penalty)
    }

    /// Refuse settings that find nothing.
    pub fn check(&self) -> Result<()> {
        let bad = |key: &str, expected: &str, found: String| {
            Err(Error::usage(format!("search.{key} has to be {expected}, found {found}"), ""))
        };
        if !(1..=GREATEST_BEAM).contains(&self.beam) {
            return bad("beam", &format!("from 1 to {GREATEST_BEAM}"), self.beam.to_string());
        }
        if !self.length_penalty.is_finite() {
            return bad("length_penalty", "a number", self.length_penalty.to_string());
        }
        let longest = self.max_length_a.max(0.0) + self.max_length_b.max(0.0);
        if !longest.is_finite() || longest <= 0.0 || self.max_length_a < 0.0 {
            let found = format!("{} and {}", self.max_length_a, self.max_length_b);
            return bad("max_length_a and search.max_length_b", "numbers of 0 or more, not both 0", found);
        }
        Ok(())
    }
}

/// One translation.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Target ids, ending with `</s>`.
    pub tokens: Vec<i64>,
    /// The sum of the log-probabilities, divided by length^penalty.
    pub score: f64,
    /// The log-probability of every token.
    pub positional_scores: Vec<f32>,
}

/// The end of a hypothesis that is still growing.
#[derive(Clone, Copy)]
struct Live {
    /// Its last token among those of its sentence; none before the first.
    last: Option<u32>,
    /// The sum of log-probabilities.
    sum: f32,
}

/// A token of hypotheses of one sentence, which share what they begin with.
struct Token {
    before: Option<u32>,
    id: i64,
    /// The sum of log-probabilities up to here.
    sum: f32,
}

struct Sentence {
    /// Where its result belongs.
    index: usize,
    tokens: Vec<Token>,
    live: Vec<Live>,
    finished: Vec<Hypothesis>,
}

impl Sentence {
    fn new(index: usize, beam: usize) -> Sentence {
        Sentence { index, tokens: Vec::new(), live: vec![Live { last: None, sum: 0.0 }; beam], finished: Vec::new() }
    }

    fn last_id(&self, live: Live) -> i64 {
        live.last.map_or(EOS, |last| self.tokens[last as usize].id)
    }

    /// `live` with one token more.
    fn grow(&mut self, live: Live, id: i64, sum: f32) -> Live {
        self.tokens.push(Token { before: live.last, id, sum });
        Live { last: Some(self.tokens.len() as u32 - 1), sum }
    }

    /// A hypothesis that has ended.
    fn finish(&mut self, live: Live, config: &SearchConfig) {
        let (mut tokens, mut sums) = (Vec::new(), Vec::new());
        let mut next = live.last;
        while let Some(at) = next {
            let token = &self.tokens[at as usize];
            tokens.push(token.id);
            sums.push(token.sum);
            next = token.before;
        }
        tokens.reverse();
        sums.reverse();
        let score = config.score(live.sum, tokens.len());
        let before = std::iter::once(0.0).chain(sums.iter().copied());
        let positional_scores = sums.iter().zip(before).map(|(after, before)| after - before).collect();
        self.finished.push(Hypothesis { tokens, score, positional_scores });
    }

    /// Whether nothing is searched any more, now that hypotheses have `length` tokens.
    fn is_done(&mut self, length: usize, best_live: f32, config: &SearchConfig) -> bool {
        let beam = config.beam.max(1);
        if config.early_stopping {
            return self.finished.len() >= beam;
        }
        // The finished ones compete: only the best stay.
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(beam);
        let worst = self.finished.get(beam - 1);
        worst.is_some_and(|worst| config.score(best_live, length) <= worst.score)
    }
}

/// Translate a batch of `sentences` whose longest has `width` ids, `</s>` included, which `decoder` has encoded. The
/// result has, for every sentence, at most `beam` hypotheses, best first.
///
/// As in fairseq: every step takes the best `2·beam` candidates; those that end are finished if they are among the
/// first `beam`; the best `beam` others live on; a sentence ends with `beam` finished hypotheses (or as
/// `config.early_stopping` says) or at the longest length. Finished sentences leave the batch.
///
/// # Errors
/// [`Error::Content`] when the model's probabilities are not numbers.
pub fn beam_search(
    model: &Transformer,
    decoder: &mut dyn StepDecoder,
    sentences: usize,
    width: usize,
    config: &SearchConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    let symbols = model.target_symbols();
    let beam = config.beam.max(1);
    let candidates = (2 * beam as i64).min(symbols - 1);
    let longest = (config.max_length_a * width as f64 + config.max_length_b) as i64;
    let longest = longest.clamp(1, model.config().max_positions - 1) as usize;

    let mut active: Vec<Sentence> = (0..sentences).map(|index| Sentence::new(index, beam)).collect();
    let mut results = vec![Vec::new(); sentences];

    for step in 0..=longest {
        let rows = active.len() * beam;
        let last: Vec<i64> = active.iter().flat_map(|s| s.live.iter().map(|&live| s.last_id(live))).collect();
        let logits = decoder.step(&last, beam); // [rows, V]
        let sums: Vec<f32> = active.iter().flat_map(|s| s.live.iter().map(|live| live.sum)).collect();
        let search = Continuations {
            sums: &sums,
            beam,
            first_row_only: step == 0,
            wanted: candidates as usize,
            forbidden: if step < config.min_length { &[PAD as usize, EOS as usize] } else { &[PAD as usize] },
            forced: (step >= longest).then_some(EOS as usize),
        };
        let (values, indices) = best_continuations(&logits.to_device(Device::Cpu), &search); // [B · candidates]

        let mut kept_rows = Vec::new();
        let mut kept_sentences = Vec::new();
        let mut still = Vec::new();
        for (number, mut sentence) in active.drain(..).enumerate() {
            let mut live = Vec::with_capacity(beam);
            let mut origins = Vec::with_capacity(beam);
            for c in 0..candidates as usize {
                let at = number * candidates as usize + c;
                let (value, from, token) = (values[at], indices[at] / symbols, indices[at] % symbols);
                let parent = sentence.live[from as usize];
                if token == EOS && value > f32::NEG_INFINITY {
                    if c < beam && (sentence.finished.len() < beam || !config.early_stopping) {
                        let ended = sentence.grow(parent, token, value);
                        sentence.finish(ended, config);
                    }
                } else if live.len() < beam {
                    live.push(sentence.grow(parent, token, value));
                    origins.push((number * beam) as i64 + from);
                }
            }
            let best_live = live.first().map_or(f32::NEG_INFINITY, |live| live.sum);
            if sentence.is_done(step + 1, best_live, config) || step >= longest || live.is_empty() {
                if sentence.finished.is_empty() {
                    // Only probabilities that are not numbers end none.
                    return Err(Error::content(
                        "the model's probabilities",
                        "numbers",
                        "NaN",
                        "the checkpoint is damaged or its training diverged: use another one",
                    ));
                }
                sentence.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
                results[sentence.index] = sentence.finished;
                continue;
            }
            // Fewer candidates than beams (a tiny vocabulary): repeat one that can never win.
            while let (true, Some(&first)) = (live.len() < beam, live.first()) {
                live.push(Live { sum: f32::NEG_INFINITY, ..first });
                origins.push(origins[0]);
            }
            sentence.live = live;
            kept_rows.extend(origins);
            kept_sentences.push(number as i64);
            still.push(sentence);
        }
        active = still;
        if active.is_empty() {
            break;
        }
        let all_stay = kept_sentences.len() * beam == rows;
        let identity = all_stay && kept_rows.iter().enumerate().all(|(i, &row)| row == i as i64);
        if !identity {
            decoder.reorder(&kept_rows, (!all_stay).then_some(kept_sentences.as_slice()));
        }
    }
    Ok(results)
}
