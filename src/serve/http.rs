//! The network's side: HTTP/1.1 by hyper, on one thread with one event loop.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use super::ServeConfig;
use super::api::{Failure, TranslateRequest};
use super::metrics::Metrics;
use super::queue::{Job, Refusal};
use crate::error::{Error, Result};

/// A server that runs.
pub(super) struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// What every request is answered with.
struct Shared {
    config: ServeConfig,
    beam: usize,
    metrics: Arc<Metrics>,
    stopping: watch::Receiver<bool>,
}

impl Server {
    /// Listen, and answer from now on; requests go to `jobs`.
    pub fn start(config: &ServeConfig, beam: usize, jobs: SyncSender<Job>, metrics: Arc<Metrics>) -> Result<Server> {
        let failed = |what: &'static str| Error::io(what, config.address.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed("start an event loop for"))?;
        let listener = runtime.block_on(TcpListener::bind(config.address)).map_err(failed("listen on"))?;
        let address = listener.local_addr().map_err(failed("listen on"))?;
        let (stop, stopping) = watch::channel(false);
        let shared = Arc::new(Shared { config: config.clone(), beam, metrics, stopping });
        let thread = std::thread::spawn(move || runtime.block_on(accept(listener, shared, jobs)));
        Ok(Server { address, stop, thread })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accept nothing more; answer what was accepted.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Wait until every answer is sent.
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, jobs: SyncSender<Job>) {
    let mut stopping = shared.stopping.clone();
    let connections = Arc::new(Semaphore::new(shared.config.max_connections));
    let graceful = GracefulShutdown::new();
    loop {
        // Others wait in the system's queue.
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            accepted = next => match accepted {
                (Ok(permit), Ok((stream, _))) => (permit, stream),
                // Such as too many open files: it passes.
                _ => { tokio::time::sleep(Duration::from_millis(50)).await; continue }
            },
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let (shared, jobs, limit) = (Arc::clone(&shared), jobs.clone(), shared.config.timeout);
        let service = service_fn(move |request| {
            let (shared, jobs) = (Arc::clone(&shared), jobs.clone());
            async move { Ok::<_, Infallible>(answer(request, &shared, &jobs).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limit)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _ = connection.await; // A client that has gone away.
            drop(permit);
        });
    }
    drop((listener, jobs));
    // A connection that nothing comes from does not hold the end up.
    let _ = timeout(shared.config.timeout, graceful.shutdown()).await;
}

async fn answer(request: Request<Incoming>, shared: &Shared, jobs: &SyncSender<Job>) -> Response<Full<Bytes>> {
    let response = route(request, shared, jobs).await.unwrap_or_else(Refused::respond);
    shared.metrics.answered(response.status().as_u16());
    response
}

type Answer<T = Response<Full<Bytes>>> = std::result::Result<T, Refused>;

/// An answer that is none.
struct Refused {
    status: StatusCode,
    error: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Refused {
    fn respond(self) -> Response<Full<Bytes>> {
        let mut response = json(self.status, &Failure { error: self.error });
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

async fn route(request: Request<Incoming>, shared: &Shared, jobs: &SyncSender<Job>) -> Answer {
    let allow = |allowed: &'static str| Refused {
        header: Some((ALLOW, allowed)),
        ..refuse(StatusCode::METHOD_NOT_ALLOWED, format!("expected {allowed}"))
    };
    match (request.uri().path(), request.method()) {
        ("/translate", &Method::POST) => translate(request, shared, jobs).await,
        ("/translate", _) => Err(allow("POST")),
        ("/health", &Method::GET) if *shared.stopping.borrow() => Err(stopping()),
        ("/health", &Method::GET) => Ok(json(StatusCode::OK, &serde_json::json!({"status": "ok"}))),
        ("/metrics", &Method::GET) => {
            let text = shared.metrics.text();
            Ok(respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.into()))
        }
        ("/health" | "/metrics", _) => Err(allow("GET")),
        (path, _) => {
            let message = format!("{path}: expected POST /translate, GET /health or GET /metrics");
            Err(refuse(StatusCode::NOT_FOUND, message))
        }
    }
}

async fn translate(request: Request<Incoming>, shared: &Shared, jobs: &SyncSender<Job>) -> Answer {
    let config = &shared.config;
    let request = within(config.timeout, StatusCode::REQUEST_TIMEOUT, read(request, shared)).await??;
    let (answer, answered) = oneshot::channel();
    // Counted before it is sent, since it may be taken at once.
    shared.metrics.waiting.fetch_add(1, Relaxed);
    if let Err(full) = jobs.try_send(Job { request, answer }) {
        shared.metrics.waiting.fetch_sub(1, Relaxed);
        return Err(match full {
            TrySendError::Full(_) => {
                let message = format!("{} requests are waiting: try again later", config.queue);
                Refused { header: Some((RETRY_AFTER, "1")), ..refuse(StatusCode::TOO_MANY_REQUESTS, message) }
            }
            TrySendError::Disconnected(_) => stopping(),
        });
    }
    let translated = within(config.timeout, StatusCode::SERVICE_UNAVAILABLE, answered).await?;
    match translated {
        Ok(Ok(response)) => Ok(json(StatusCode::OK, &response)),
        Ok(Err(Refusal::Impossible(message))) => Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, message)),
        Ok(Err(Refusal::Failed(message))) => Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, message)),
        Err(_) => Err(stopping()),
    }
}

/// What `future` gives, or an answer with `status` when that takes longer than `limit`.
async fn within<T>(limit: Duration, status: StatusCode, future: impl Future<Output = T>) -> Answer<T> {
    timeout(limit, future).await.map_err(|_| refuse(status, format!("it took longer than {} s", limit.as_secs_f64())))
}

/// The request in the body, checked.
async fn read(request: Request<Incoming>, shared: &Shared) -> Answer<TranslateRequest> {
    let (config, beam) = (&shared.config, shared.beam);
    let body = Limited::new(request.into_body(), config.max_bytes).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let message = format!("expected at most {} bytes: send fewer sentences at a time", config.max_bytes);
            refuse(StatusCode::PAYLOAD_TOO_LARGE, message)
        } else {
            refuse(StatusCode::BAD_REQUEST, format!("the body cannot be read: {error}"))
        }
    })?;
    let request: TranslateRequest = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
        let expected = r#"{"sentences": ["raw text", ...], "n_best": 1}"#;
        refuse(StatusCode::BAD_REQUEST, format!("expected {expected}, found: {error}"))
    })?;
    let impossible = |message: String| Err(refuse(StatusCode::UNPROCESSABLE_ENTITY, message));
    let found = request.sentences.len();
    if found > config.max_sentences {
        return impossible(format!("expected at most {} sentences, found {found}", config.max_sentences));
    }
    if !(1..=beam).contains(&request.n_best) {
        return impossible(format!("n_best: expected from 1 to the beam, {beam}, found {}", request.n_best));
    }
    if let Some(i) = request.sentences.iter().position(|sentence| sentence.contains(['\n', '\r'])) {
        return impossible(format!("sentence {}: expected one line, found several: send each by itself", i + 1));
    }
    Ok(request)
}

fn refuse(status: StatusCode, error: impl Into<String>) -> Refused {
    Refused { status, error: error.into(), header: None }
}

fn stopping() -> Refused {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the service is stopping")
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    respond(status, "application/json", text.into())
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
