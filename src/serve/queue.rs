//! Requests that wait, and the threads that translate their sentences.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::ServeConfig;
use super::api::{TranslateRequest, TranslateResponse, Translation};
use super::metrics::Metrics;
use crate::decode::{Hypothesis, Translator};
use crate::translation::ModelText;

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

/// What translates: the model's text, and its network arranged for searching.
pub(super) struct Engine<'a> {
    pub text: &'a ModelText,
    pub translator: &'a Translator<'a>,
    pub threads: usize,
    pub config: &'a ServeConfig,
    pub metrics: &'a Metrics,
}

/// A sentence that waits.
struct Sentence {
    text: String,
    request: Arc<Mutex<Request>>,
    /// Its number in the request.
    number: usize,
}

/// A request whose sentences are being translated, by several threads perhaps.
struct Request {
    n_best: usize,
    translations: Vec<Vec<Translation>>,
    left: usize,
    /// Gone when it is answered.
    answer: Option<oneshot::Sender<Result<TranslateResponse, Refusal>>>,
}

impl Request {
    fn answer(&mut self, answer: Result<TranslateResponse, Refusal>) {
        if let Some(sender) = self.answer.take() {
            let _ = sender.send(answer); // Whoever has gone away needs none.
        }
    }
}

/// Requests as they come, and the sentences of those that were begun.
struct Waiting {
    jobs: Receiver<Job>,
    sentences: VecDeque<Sentence>,
}

impl Engine<'_> {
    /// Translate what comes until nobody can send any more. `look` is called several times a second.
    pub fn translate_until(&self, jobs: Receiver<Job>, look: impl Fn()) {
        let waiting = Mutex::new(Waiting { jobs, sentences: VecDeque::new() });
        // The others take while one translates.
        let take = || self.take(&mut lock(&waiting));
        std::thread::scope(|scope| {
            let translate = || {
                tch::set_num_threads(1);
                while let Some(sentences) = take() {
                    // tch panics where libtorch refuses, as for want of memory.
                    if catch_unwind(AssertUnwindSafe(|| self.translate(&sentences))).is_err() {
                        fail(sentences.iter(), "libtorch refused an operation; the service's log has its message");
                    }
                }
            };
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(translate)).collect();
            while threads.iter().any(|thread| !thread.is_finished()) {
                look();
                std::thread::sleep(Duration::from_millis(50));
            }
        });
    }

    /// The sentences to translate next in one thread: of those that wait its share, so that the other threads have theirs.
    /// None when nothing will come any more.
    fn take(&self, waiting: &mut Waiting) -> Option<Vec<Sentence>> {
        // A request that was not begun has one sentence or more.
        let share = |begun: usize| {
            let requests = self.metrics.waiting.load(Relaxed) as usize;
            begun.saturating_add(requests).div_ceil(self.threads).min(self.config.batch_sentences)
        };
        loop {
            while waiting.sentences.len() < share(waiting.sentences.len())
                && let Ok(job) = waiting.jobs.try_recv()
            {
                waiting.sentences.extend(self.begin(job));
            }
            let begun = waiting.sentences.len();
            let mut taken: Vec<Sentence> = waiting.sentences.drain(..share(begun).min(begun)).collect();
            // Whoever has gone away, or waited too long, is not translated for.
            taken.retain(|sentence| lock(&sentence.request).answer.as_ref().is_some_and(|answer| !answer.is_closed()));
            if !taken.is_empty() {
                return Some(taken);
            }
            if waiting.sentences.is_empty() {
                let job = waiting.jobs.recv().ok()?;
                waiting.sentences.extend(self.begin(job));
            }
        }
    }

    /// The sentences of a request.
    fn begin(&self, job: Job) -> Vec<Sentence> {
        self.metrics.waiting.fetch_sub(1, Relaxed);
        let Job { request: TranslateRequest { sentences, n_best, .. }, answer } = job;
        let left = sentences.len();
        let mut request = Request { n_best, translations: vec![Vec::new(); left], left, answer: Some(answer) };
        if sentences.is_empty() {
            request.answer(Ok(TranslateResponse { translations: Vec::new() }));
        }
        let request = Arc::new(Mutex::new(request));
        let sentence = |(number, text)| Sentence { text, request: Arc::clone(&request), number };
        sentences.into_iter().enumerate().map(sentence).collect()
    }

    fn translate(&self, sentences: &[Sentence]) {
        let started = Instant::now();
        let longest = self.translator.longest_sentence();
        let (mut sources, mut possible) = (Vec::new(), Vec::new());
        for sentence in sentences {
            let ids = self.text.encode(&sentence.text);
            if ids.len() > longest {
                let (number, found) = (sentence.number + 1, ids.len());
                let message =
                    format!("sentence {number}: expected at most {longest} subwords, found {found}: split it");
                lock(&sentence.request).answer(Err(Refusal::Impossible(message)));
            } else {
                sources.push(ids);
                possible.push(sentence);
            }
        }
        let found = match self.translator.translate_here(&sources) {
            Ok(found) => found,
            Err(error) => return fail(possible.into_iter(), &error.to_string()),
        };
        self.metrics.translated(sources.len(), started.elapsed());
        for (sentence, hypotheses) in possible.into_iter().zip(found) {
            let mut request = lock(&sentence.request);
            let best = hypotheses.iter().take(request.n_best);
            let translation =
                |best: &Hypothesis| Translation { text: self.text.restore(&best.tokens), score: best.score };
            request.translations[sentence.number] = best.map(translation).collect();
            request.left -= 1;
            if request.left == 0 {
                let translations = std::mem::take(&mut request.translations);
                request.answer(Ok(TranslateResponse { translations }));
            }
        }
    }
}

fn fail<'a>(sentences: impl Iterator<Item = &'a Sentence>, message: &str) {
    sentences.for_each(|sentence| lock(&sentence.request).answer(Err(Refusal::Failed(message.to_string()))));
}

/// What a thread that ended early leaves is whole: nothing is changed half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
