//! A model as an HTTP service: JSON in and out, requests that wait are translated together.
//!
//! The network's side is a thread of its own with one event loop (`http`); sentences are translated by as many threads as
//! every other command has. Between them is a bounded queue (`queue`): a request that finds it full is answered at once with
//! 429.

mod api;
mod http;
mod metrics;
mod queue;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::decode::BatchSearch;
use crate::error::Result;
use crate::translation::ModelFolder;

use metrics::Metrics;

/// What the service allows.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where it listens; port 0: a free one.
    pub address: SocketAddr,
    /// Requests that may wait; one more is answered with 429.
    pub queue: usize,
    /// Sentences that are translated together at most.
    pub batch_sentences: usize,
    /// Sentences of a request at most.
    pub max_sentences: usize,
    /// Bytes of a request's body at most.
    pub max_bytes: usize,
    /// How long a request may take, its reading included; afterwards it is answered with 503 (408 while it is read).
    pub timeout: Duration,
    /// Connections at a time; others wait to be accepted.
    pub max_connections: usize,
}

/// Answer requests until `signal` tells that one has come; what was accepted by then is answered. `started` is told the
/// address.
///
/// # Errors
/// [`crate::Error::Io`] when the address cannot be listened on.
pub fn serve(
    model: &ModelFolder,
    search: &BatchSearch,
    config: &ServeConfig,
    started: impl FnOnce(SocketAddr) -> Result<()>,
    signal: impl Fn() -> Option<i32>,
) -> Result<()> {
    let metrics = Arc::new(Metrics::default());
    let (sender, receiver) = queue::bounded(config.queue);
    let server = http::Server::start(config, search.search.beam, sender, Arc::clone(&metrics))?;
    started(server.address())?;
    let translator = model.translator(search)?;
    let (text, threads) = (&model.text, translator.threads());
    let engine = queue::Engine { text, translator: &translator, threads, config, metrics: &metrics };
    engine.translate_until(receiver, || {
        if signal().is_some() {
            server.stop();
        }
    });
    server.join();
    Ok(())
}
