//! Requests that wait, and the thread that translates them together.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ServeConfig;
use super::api::{TranslateRequest, TranslateResponse, Translation};
use super::metrics::Metrics;
use crate::decode::BatchSearch;
use crate::translation::ModelFolder;

/// A request, and who waits for its answer.
pub(super) struct Job {
    pub request: TranslateRequest,
    pub answer: oneshot::Sender<Result<TranslateResponse, Refusal>>,
}

/// Why a request is not translated.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It cannot be: 422.
    Impossible(String),
    /// The model failed: 500.
    Failed(String),
}

/// A queue for so many requests.
pub(super) fn bounded(requests: usize) -> (SyncSender<Job>, Receiver<Job>) {
    sync_channel(requests)
}

/// Translate what comes until nobody can send any more. `look` is called several times a second.
pub(super) fn translate_until(
    jobs: &Receiver<Job>,
    model: &ModelFolder,
    search: &BatchSearch,
    config: &ServeConfig,
    metrics: &Metrics,
    look: impl Fn(),
) {
    loop {
        look();
        let first = match jobs.recv_timeout(Duration::from_millis(100)) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut batch = vec![first];
        let mut sentences = batch[0].request.sentences.len();
        while sentences < config.batch_sentences
            && let Ok(job) = jobs.try_recv()
        {
            sentences += job.request.sentences.len();
            batch.push(job);
        }
        metrics.waiting.fetch_sub(batch.len() as u64, Relaxed);
        translate(batch, model, search, metrics);
    }
}

fn translate(jobs: Vec<Job>, model: &ModelFolder, search: &BatchSearch, metrics: &Metrics) {
    let started = Instant::now();
    let (mut sources, mut waiting) = (Vec::new(), Vec::new());
    // Whoever has gone away, or waited too long, is not translated for.
    for job in jobs.into_iter().filter(|job| !job.answer.is_closed()) {
        let encoded: Vec<Vec<i64>> = job.request.sentences.iter().map(|sentence| model.encode(sentence)).collect();
        let longest = model.longest_sentence();
        if let Some(i) = encoded.iter().position(|sentence| sentence.len() > longest) {
            let found = encoded[i].len();
            let message = format!("sentence {}: expected at most {longest} subwords, found {found}: split it", i + 1);
            let _ = job.answer.send(Err(Refusal::Impossible(message)));
            continue;
        }
        sources.extend(encoded);
        waiting.push(job);
    }
    // A thread takes a batch: few sentences make smaller ones, so that every thread has some.
    let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1).max(1);
    let tokens: usize = sources.iter().map(Vec::len).sum();
    let search = BatchSearch { max_tokens: search.max_tokens.min(tokens.div_ceil(threads)), ..search.clone() };
    match model.translate(&sources, &search, |_| {}) {
        Ok(found) => {
            metrics.translated(sources.len(), started.elapsed());
            let mut found = found.into_iter();
            for job in waiting {
                let of_sentence = |hypotheses: Vec<crate::decode::Hypothesis>| {
                    let best = hypotheses.into_iter().take(job.request.n_best);
                    best.map(|best| Translation { text: model.restore(&best.tokens), score: best.score }).collect()
                };
                let translations = found.by_ref().take(job.request.sentences.len()).map(of_sentence).collect();
                let _ = job.answer.send(Ok(TranslateResponse { translations }));
            }
        }
        Err(error) => {
            for job in waiting {
                let _ = job.answer.send(Err(Refusal::Failed(error.to_string())));
            }
        }
    }
}
