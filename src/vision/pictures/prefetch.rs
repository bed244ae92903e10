//! A thread that prepares the batches that come next, in the order they were asked for.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::prepare::Prepared;
use crate::error::Result;

/// Batches that are prepared before they are needed.
pub(super) const AHEAD: usize = 2;

/// What a batch is a function of: its indices and its seed.
pub(super) type Key = (Vec<usize>, u64);

/// The thread with what it was asked for. Dropping it ends the thread, at the latest after the batch that it is at.
#[derive(Debug)]
pub(super) struct Loader {
    requests: Option<SyncSender<Key>>,
    results: Option<Receiver<Result<Prepared>>>,
    thread: Option<JoinHandle<()>>,
    /// What will be taken, in the order of the results.
    pending: VecDeque<Key>,
    /// Results before those that nobody wants any more.
    abandoned: usize,
}

impl Loader {
    /// Start the thread; none where the system has none left, which costs time and nothing else.
    pub(super) fn start(work: impl Fn(&Key) -> Result<Prepared> + Send + 'static) -> Option<Loader> {
        let (requests, keys) = sync_channel::<Key>(AHEAD);
        let (give, results) = sync_channel(AHEAD);
        // When nobody takes results any more, the thread ends.
        let run = move || _ = keys.iter().try_for_each(|key| give.send(work(&key)));
        let thread = Builder::new().name("pictures".into()).spawn(run).ok()?;
        Some(Loader {
            requests: Some(requests),
            results: Some(results),
            thread: Some(thread),
            pending: VecDeque::new(),
            abandoned: 0,
        })
    }

    /// Prepare a batch; nothing happens where enough are being prepared.
    pub(super) fn request(&mut self, indices: &[usize], seed: u64) {
        let (Some(requests), Some(results)) = (&self.requests, &self.results) else { return };
        while self.abandoned > 0 && results.try_recv().is_ok() {
            self.abandoned -= 1;
        }
        let known = self.pending.iter().any(|key| is(key, indices, seed));
        if known || self.pending.len() + self.abandoned >= AHEAD {
            return;
        }
        let key = (indices.to_vec(), seed);
        if requests.try_send(key.clone()).is_ok() {
            self.pending.push_back(key);
        }
    }

    /// The batch, where it was asked for: wait for it. What was asked for before it is given up; all of it is where it was
    /// not asked for, since the order is another then.
    pub(super) fn take(&mut self, indices: &[usize], seed: u64) -> Option<Result<Prepared>> {
        let place = self.pending.iter().position(|key| is(key, indices, seed));
        let given_up = place.unwrap_or(self.pending.len());
        self.pending.drain(..given_up);
        self.abandoned += given_up;
        place?;
        let results = self.results.as_ref()?;
        while self.abandoned > 0 {
            let _unwanted = results.recv().ok()?;
            self.abandoned -= 1;
        }
        self.pending.pop_front();
        results.recv().ok()
    }

    /// Batches that are being prepared, or are ready.
    #[cfg(test)]
    pub(super) fn ahead(&self) -> (usize, usize) {
        (self.pending.len(), self.abandoned)
    }
}

fn is(key: &Key, indices: &[usize], seed: u64) -> bool {
    key.1 == seed && key.0 == indices
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Results first: a thread that has requests left ends at the next one it is done with.
        self.results = None;
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
