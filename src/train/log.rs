//! A run's log: JSON lines that are appended to, and taken up again without gaps or doubles.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tensorboard::EventFile;
use crate::error::{Error, Result};

/// The log of a run folder.
pub const LOG: &str = "log.jsonl";

/// An open log.
pub struct Log {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    board: Option<EventFile>,
}

impl Log {
    /// Refuse a log that is shorter than what of it belongs to a checkpoint.
    ///
    /// # Errors
    /// [`Error::Content`] where it is.
    pub fn check(folder: &Path, keep: u64) -> Result<()> {
        let path = folder.join(LOG);
        let length = std::fs::metadata(&path).map_or(0, |file| file.len());
        if length >= keep {
            return Ok(());
        }
        Err(Error::content(
            path.display().to_string(),
            format!("at least {keep} bytes, as at the last checkpoint"),
            format!("{length} bytes"),
            "restore the log, or start a new run, with --init from this one's last.safetensors",
        ))
    }

    /// Open `FOLDER/log.jsonl` behind its first `keep` bytes: what was written after the checkpoint that is resumed
    /// from goes, since it will be written again.
    ///
    /// # Errors
    /// As [`Log::check`].
    pub fn open(folder: &Path, keep: u64) -> Result<Log> {
        Log::check(folder, keep)?;
        let path = folder.join(LOG);
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let mut file = open.map_err(Error::io("write", &path))?;
        file.set_len(keep).map_err(Error::io("write", &path))?;
        file.seek(SeekFrom::End(0)).map_err(Error::io("write", &path))?;
        Ok(Log { path, file: Some(file), bytes: keep, board: None })
    }

    /// The log of a process that leaves it to another one.
    pub fn none() -> Log {
        Log { path: PathBuf::new(), file: None, bytes: 0, board: None }
    }

    /// Write every number to `board`, too.
    #[must_use]
    pub fn with_board(self, board: Option<EventFile>) -> Log {
        Log { board, ..self }
    }

    /// Append one object as a line.
    pub fn write(&mut self, event: &Value) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = format!("{event}\n");
        file.write_all(line.as_bytes()).map_err(Error::io("write", &self.path))?;
        self.bytes += line.len() as u64;
        self.board.as_mut().map_or(Ok(()), |board| board.add(event))
    }

    /// Have the lines on the disk before a checkpoint says how many there are.
    pub fn sync(&self) -> Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.sync_data().map_err(Error::io("write", &self.path)))
    }

    /// The length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
