//! `nmt serve`: a model as an HTTP service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use nmt::serve::{ServeConfig, serve};
use nmt::translation::ModelFolder;
use nmt::{Error, Result, machine, progress};

use super::signals;
use super::translate::SearchOptions;

/// Arguments of `nmt serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  nmt serve --model run --port 8080
  curl -s localhost:8080/translate -d '{\"sentences\": [\"Guten Morgen .\"]}'
GET /health and GET /metrics (Prometheus) tell how it is. Errors are 4xx and 5xx with {\"error\": \"...\"}; docs/serve.md.")]
pub struct ServeArgs {
    /// A run folder of `nmt train`, or one checkpoint in it; several translate together
    #[arg(long, value_name = "RUN", num_args = 1.., required = true)]
    model: Vec<PathBuf>,
    /// The address to listen on; the default is reached from this machine alone
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// The port; 0: a free one, which is printed
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Requests that may wait; one more is answered with 429
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    queue: u32,
    /// Sentences of waiting requests that a thread translates together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch_sentences: u32,
    /// Sentences of a request at most
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_sentences: u32,
    /// Bytes of a request's body at most
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    max_bytes: u32,
    /// Seconds that a request may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_connections: u32,
    #[command(flatten)]
    search: SearchOptions,
}

impl ServeArgs {
    /// Serve until a signal.
    pub fn run(&self) -> Result<()> {
        let signal =
            signals::watch_saying("the service stops when what was accepted is answered; once more stops at once")?;
        let model = ModelFolder::open_all(&self.model, machine::device())?;
        let search = self.search.resolve(&model.config)?;
        let config = ServeConfig {
            address: SocketAddr::new(self.host, self.port),
            queue: self.queue as usize,
            batch_sentences: self.batch_sentences as usize,
            max_sentences: self.max_sentences as usize,
            max_bytes: self.max_bytes as usize,
            timeout: Duration::from_secs(self.timeout.into()),
            max_connections: self.max_connections as usize,
        };
        let started = |address| {
            progress::note(format!("{} → {}: POST /translate", model.source_lang, model.target_lang));
            super::print(&format!("http://{address}\n"))
        };
        serve(&model, &search, &config, started, signal).map_err(|error| match error {
            Error::Io { action: "listen on", path, source } => Error::content(
                path.display().to_string(),
                "an address that can be listened on",
                source.to_string(),
                "choose another --port (0: a free one), or a --host of this machine",
            ),
            other => other,
        })?;
        progress::note("the service has stopped");
        Ok(())
    }
}
