//! Many sentences: batches of equal length, several at a time, results in input order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tch::{Device, Kind, Tensor, no_grad};

use super::beam::{Hypothesis, SearchConfig, beam_search};
use super::ensemble::Ensemble;
use crate::data::PAD;
use crate::error::{Error, Result};
use crate::model::{StepDecoder, Transformer, Weights};

/// How many sentences are translated.
#[derive(Debug, Clone)]
pub struct BatchSearch {
    /// The search of a sentence.
    pub search: SearchConfig,
    /// Source tokens of a batch, padding included.
    pub max_tokens: usize,
    /// What activations are computed in.
    pub compute: Kind,
}

/// What all workers read.
struct Shared<'a> {
    members: &'a [(&'a Transformer, Weights)],
    device: Device,
}

// SAFETY: tensors are only read, which libtorch allows from several threads; tch's handles are pointers whose counts
// are atomic.
unsafe impl Sync for Shared<'_> {}

/// Translate sentences (source ids, each ending with `</s>`) in batches, longest first, where θ is; `progress` is told how
/// many are done. Results are in input order, best hypothesis first, and the same for every number of workers. Several
/// `members` (networks over the same dictionaries, each with its θ) translate together: a token's probability is the mean of
/// what they give it.
///
/// On a processor a batch gets one thread and as many batches are translated at a time as there are threads: the
/// steps of a search are small, and threads that share one wait for each other half of the time (and much longer where
/// another program shares the cores), even where there is only one sentence.
///
/// # Errors
/// [`Error::Content`] for a sentence that is longer than a model's positions, and for probabilities that are not numbers;
/// [`Error::Usage`] for no member.
pub fn translate_all(
    members: &[(&Transformer, &Tensor)],
    sentences: &[Vec<i64>],
    options: &BatchSearch,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Vec<Hypothesis>>> {
    let Some(device) = members.first().map(|(_, theta)| theta.device()) else {
        return Err(Error::usage("expected a model to translate with, found none", ""));
    };
    let longest = members.iter().map(|(model, _)| model.config().max_positions).min().unwrap_or_default();
    for (i, sentence) in sentences.iter().enumerate() {
        if sentence.len() as i64 > longest {
            return Err(Error::content(
                format!("sentence {}", i + 1),
                format!("at most {longest} tokens"),
                format!("{}", sentence.len()),
                "split the sentence",
            ));
        }
    }
    let prepare = |model: &Transformer, theta| no_grad(|| model.weights(theta, options.compute)).for_search();
    let members: Vec<(&Transformer, Weights)> =
        members.iter().map(|&(model, theta)| (model, prepare(model, theta))).collect();
    let shared = Shared { members: &members, device };
    let batches = batches(sentences, options.max_tokens);
    let mut results = vec![Vec::new(); sentences.len()];
    let mut done = 0;
    let mut take = |batch: &[usize], found: Vec<Vec<Hypothesis>>| {
        for (&i, hypotheses) in batch.iter().zip(found) {
            results[i] = hypotheses;
        }
        done += batch.len();
        progress(done);
    };
    let threads = tch::get_num_threads();
    let workers = (threads.max(1) as usize).min(batches.len());
    if shared.device != Device::Cpu {
        for batch in &batches {
            take(batch, translate_batch(&shared, sentences, batch, &options.search)?);
        }
        return Ok(results);
    }
    let next = AtomicUsize::new(0);
    let outcome = std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..workers {
            let (sender, shared, next, batches) = (sender.clone(), &shared, &next, &batches);
            scope.spawn(move || {
                tch::set_num_threads(1);
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = translate_batch(shared, sentences, batch, &options.search);
                    if sender.send((batch, found)).is_err() {
                        return; // Another batch has failed.
                    }
                }
            });
        }
        drop(sender);
        for (batch, found) in receiver {
            take(batch, found?);
        }
        Ok(())
    });
    // Some of libtorch's libraries keep one number for all threads.
    tch::set_num_threads(threads);
    outcome.map(|()| results)
}

/// The indices of sentences in batches, longest first.
fn batches(sentences: &[Vec<i64>], max_tokens: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sentences[i].len()));
    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while let Some(&first) = rest.first() {
        let rows = (max_tokens / sentences[first].len().max(1)).max(1).min(rest.len());
        let (batch, others) = rest.split_at(rows);
        batches.push(batch.to_vec());
        rest = others;
    }
    batches
}

fn translate_batch(
    shared: &Shared,
    sentences: &[Vec<i64>],
    batch: &[usize],
    search: &SearchConfig,
) -> Result<Vec<Vec<Hypothesis>>> {
    let width = batch.first().map_or(0, |&i| sentences[i].len());
    let mut source = Vec::with_capacity(batch.len() * width);
    for &i in batch {
        source.extend(std::iter::repeat_n(PAD, width - sentences[i].len()));
        source.extend_from_slice(&sentences[i]);
    }
    no_grad(|| {
        let start = |member| start_search(member, &source, width, shared.device);
        let shortest = shared.members.iter().map(|(model, _)| *model).min_by_key(|model| model.config().max_positions);
        match (shared.members, shortest) {
            ([member], _) => beam_search(member.0, start(member).as_mut(), batch.len(), width, search),
            (members, Some(shortest)) => {
                let mut together = Ensemble(members.iter().map(start).collect());
                beam_search(shortest, &mut together, batch.len(), width, search)
            }
            (_, None) => Ok(Vec::new()), // translate_all refuses it.
        }
    })
}

fn start_search<'a>(
    (model, weights): &'a (&'a Transformer, Weights),
    source: &[i64],
    width: usize,
    device: Device,
) -> Box<dyn StepDecoder + 'a> {
    model.start_search(weights, source, width, device)
}
