//! Many sentences: batches of equal length, several at a time, results in input order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tch::{Device, Kind, Tensor, no_grad};

use super::beam::{Hypothesis, SearchConfig, beam_search};
use super::ensemble::Ensemble;
use crate::data::{EOS, PAD};
use crate::error::{Error, Result};
use crate::memory::within;
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

/// One network, or several over the same dictionaries that translate together (a token's probability is the mean of what
/// they give it), arranged for searching once for all texts.
///
/// Results are the same for every number of threads. Of other sentences beside it one may have another rounding: products of few
/// rows are computed in another order than those of many.
pub struct Translator<'a> {
    members: Vec<(&'a Transformer, Weights)>,
    device: Device,
    options: BatchSearch,
}

// SAFETY: tensors are only read, which libtorch allows from several threads; tch's handles are pointers whose counts
// are atomic.
unsafe impl Sync for Translator<'_> {}

impl<'a> Translator<'a> {
    /// Arrange networks, each with its θ, where θ is.
    ///
    /// # Errors
    /// [`Error::Usage`] for no network.
    pub fn new(members: &[(&'a Transformer, &'a Tensor)], options: &BatchSearch) -> Result<Translator<'a>> {
        let Some(device) = members.first().map(|(_, theta)| theta.device()) else {
            return Err(Error::usage("expected a model to translate with, found none", ""));
        };
        let prepare = |model: &Transformer, theta| no_grad(|| model.weights(theta, options.compute)).for_search();
        let members = members.iter().map(|&(model, theta)| (model, prepare(model, theta))).collect();
        Ok(Translator { members, device, options: options.clone() })
    }

    /// Tokens of a sentence at most, `</s>` included.
    pub fn longest_sentence(&self) -> usize {
        let longest = self.members.iter().map(|(model, _)| model.config().max_positions).min();
        longest.and_then(|longest| usize::try_from(longest).ok()).unwrap_or_default()
    }

    /// How many threads translate: on a processor those that libtorch has in the calling thread.
    ///
    /// There a batch gets one thread and as many batches are translated at a time as there are threads: the steps of a
    /// search are small, and threads that share one wait for each other half of the time (and much longer where another
    /// program shares the cores), even where there is only one sentence.
    pub fn threads(&self) -> usize {
        if self.device == Device::Cpu { usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1) } else { 1 }
    }

    /// Translate sentences (source ids, each ending with `</s>`) in batches, longest first; `progress` is told how many are
    /// done. An empty sentence has the empty translation. Results are in input order, best hypothesis first.
    ///
    /// # Errors
    /// [`Error::Content`] for a sentence that is longer than a model's positions, and for probabilities that are not numbers; [`Error::OutOfMemory`].
    pub fn translate(&self, sentences: &[Vec<i64>], mut progress: impl FnMut(usize)) -> Result<Vec<Vec<Hypothesis>>> {
        let batches = self.batches(sentences)?;
        let mut results = vec![Vec::new(); sentences.len()];
        let mut done = 0;
        let mut take = |batch: &[usize], found: Vec<Vec<Hypothesis>>| {
            for (&i, hypotheses) in batch.iter().zip(found) {
                results[i] = hypotheses;
            }
            done += batch.len();
            progress(done);
        };
        if self.device != Device::Cpu {
            for batch in &batches {
                take(batch, self.translate_batch(sentences, batch)?);
            }
            return Ok(results);
        }
        let threads = tch::get_num_threads();
        let next = AtomicUsize::new(0);
        let outcome = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::channel();
            for _ in 0..self.threads().min(batches.len()) {
                let (sender, next, batches) = (sender.clone(), &next, &batches);
                scope.spawn(move || {
                    tch::set_num_threads(1);
                    while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if sender.send((batch, self.translate_batch(sentences, batch))).is_err() {
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

    /// [`translate`](Translator::translate) in the calling thread alone, one of [`threads`](Translator::threads).
    ///
    /// # Errors
    /// As there.
    pub fn translate_here(&self, sentences: &[Vec<i64>]) -> Result<Vec<Vec<Hypothesis>>> {
        let mut results = vec![Vec::new(); sentences.len()];
        for batch in self.batches(sentences)? {
            for (&i, hypotheses) in batch.iter().zip(self.translate_batch(sentences, &batch)?) {
                results[i] = hypotheses;
            }
        }
        Ok(results)
    }

    /// The indices of sentences in batches, longest first.
    fn batches(&self, sentences: &[Vec<i64>]) -> Result<Vec<Vec<usize>>> {
        let longest = self.longest_sentence();
        if let Some(i) = sentences.iter().position(|sentence| sentence.len() > longest) {
            return Err(Error::content(
                format!("sentence {}", i + 1),
                format!("at most {longest} tokens"),
                format!("{}", sentences[i].len()),
                "split the sentence",
            ));
        }
        let mut order: Vec<usize> = (0..sentences.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(sentences[i].len()));
        let mut batches = Vec::new();
        let mut rest = order.as_slice();
        while let Some(&first) = rest.first() {
            let rows = (self.options.max_tokens / sentences[first].len().max(1)).max(1).min(rest.len());
            let (batch, others) = rest.split_at(rows);
            batches.push(batch.to_vec());
            rest = others;
        }
        Ok(batches)
    }

    fn translate_batch(&self, sentences: &[Vec<i64>], batch: &[usize]) -> Result<Vec<Vec<Hypothesis>>> {
        let width = batch.first().map_or(0, |&i| sentences[i].len());
        let mut source = Vec::with_capacity(batch.len() * width);
        for &i in batch {
            source.extend(std::iter::repeat_n(PAD, width - sentences[i].len()));
            source.extend_from_slice(&sentences[i]);
        }
        let search = &self.options.search;
        let search_all = || {
            let shortest =
                self.members.iter().map(|(model, _)| *model).min_by_key(|model| model.config().max_positions);
            match (self.members.as_slice(), shortest) {
                ([member], _) => {
                    beam_search(member.0, self.start(member, &source, width).as_mut(), batch.len(), width, search)
                }
                (members, Some(shortest)) => {
                    let mut together =
                        Ensemble(members.iter().map(|member| self.start(member, &source, width)).collect());
                    beam_search(shortest, &mut together, batch.len(), width, search)
                }
                (_, None) => Ok(Vec::new()), // `new` refuses it.
            }
        };
        let size = format!("{} sentences of up to {width} symbols to translate", batch.len());
        let mut found = within(&size, "smaller batches and a smaller beam need less", || no_grad(search_all))??;
        for (&i, hypotheses) in batch.iter().zip(&mut found) {
            if sentences[i] == [EOS] {
                *hypotheses = vec![Hypothesis { tokens: vec![EOS], score: 0.0, positional_scores: vec![0.0] }];
            }
        }
        Ok(found)
    }

    fn start<'b>(
        &self,
        (model, weights): &'b (&'a Transformer, Weights),
        source: &[i64],
        width: usize,
    ) -> Box<dyn StepDecoder + 'b> {
        model.start_search(weights, source, width, self.device)
    }
}
