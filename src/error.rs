//! The one error type of the library.
//!
//! Every message says what was expected, what was found, where, and what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// What every fallible function of the library returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of the library failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("cannot {action} {}: {source}{}", path.display(), io_hint(source))]
    Io {
        /// What was being done: `read`, `write`, `rename` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content of a file is not what it has to be.
    #[error("{place}: expected {expected}, found {found}{}", next_step(next))]
    Content {
        /// Where: a path, with `:LINE` where there is a line.
        place: String,
        /// What has to be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it; may be empty.
        next: String,
    },
    /// An option, a configuration key or a combination of them is wrong. Exit code 2.
    #[error("{message}{}", next_step(next))]
    Usage {
        /// What was expected and what was found.
        message: String,
        /// What to do about it; may be empty.
        next: String,
    },
    /// A loss or a gradient stopped being a number.
    #[error(
        "not finite: {what} at update {update}: first bad block: {block}; examples of the batch: {examples}{}",
        next_step(next)
    )]
    NonFinite {
        /// `loss is NaN`, `gradient is infinite` …
        what: String,
        /// The update, counted from 1.
        update: u64,
        /// The first parameter block that is not finite, or `none`.
        block: String,
        /// The dataset indices of the batch.
        examples: String,
        /// What to do about it.
        next: String,
    },
    /// There was not enough memory for a batch.
    #[error("out of memory on a batch of {batch}: {found}{}", next_step(next))]
    OutOfMemory {
        /// The size of the batch.
        batch: String,
        /// What libtorch said.
        found: String,
        /// What to lower.
        next: String,
    },
    /// SIGINT, SIGTERM, SIGUSR1 or SIGHUP: what has to survive was saved.
    #[error("stopped by {}; {saved}", signal_name(*signal))]
    Interrupted {
        /// The signal's number; the exit code is 128 + this.
        signal: i32,
        /// What was saved and how to go on.
        saved: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl Error {
    /// An [`Error::Io`], for `map_err(Error::io("read", path))`.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    /// An [`Error::Content`] about a whole file or another named place.
    pub fn content(
        place: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        next: impl Into<String>,
    ) -> Error {
        Error::Content { place: place.into(), expected: expected.into(), found: found.into(), next: next.into() }
    }

    /// An [`Error::Usage`].
    pub fn usage(message: impl Into<String>, next: impl Into<String>) -> Error {
        Error::Usage { message: message.into(), next: next.into() }
    }

    /// An [`Error::Interrupted`] where a signal has come and there is nothing that has to survive.
    ///
    /// # Errors
    /// That one.
    pub fn if_interrupted(signal: Option<i32>) -> Result<()> {
        let interrupted = |signal| Error::Interrupted { signal, saved: "nothing was written".into() };
        signal.map_or(Ok(()), |signal| Err(interrupted(signal)))
    }

    /// What the message of [`Error::NonFinite`] begins with, for a program that reads it.
    pub const NOT_FINITE: &'static str = "not finite: ";

    /// The exit code of the command line: 2 for wrong use, 128 + signal for an interrupt, 1 for every other failure.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Usage { .. } => 2,
            Error::Interrupted { signal, .. } => 128 + signal,
            _ => 1,
        }
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        1 => "SIGHUP (the terminal closed)".to_string(),
        2 => "Ctrl-C (SIGINT)".to_string(),
        10 => "SIGUSR1".to_string(),
        15 => "SIGTERM".to_string(),
        other => format!("signal {other}"),
    }
}

fn next_step(next: &str) -> String {
    if next.is_empty() { String::new() } else { format!("; {next}") }
}

fn io_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::IsADirectory => "; expected a file, found a folder",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "; expected a folder, found a file",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; choose another folder or change its permissions"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; free some space and run the command again",
        _ => "",
    }
}
