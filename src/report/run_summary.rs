//! What a run folder says of its run.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;
use crate::train::CONFIG;

/// The file of a run folder that says on what machine the run was last at work.
pub const ENVIRONMENT: &str = "environment.json";

/// A run folder, read.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Its name on the page.
    pub name: String,
    /// Its log.
    pub log: PathBuf,
    /// The newest line of training; null before the first.
    pub training: Value,
    /// The validation that was the best when it was made, the newest such; null before the first.
    pub best: Value,
    /// The newest validation; null before the first.
    pub validation: Value,
    /// Lines of the log that are neither: updates that were skipped, data that were replaced.
    pub incidents: Vec<Value>,
    /// The configuration, TOML; none where the folder has none.
    pub config: Option<String>,
    /// The machine, as the run noted it; none of older programs' runs.
    pub environment: Option<Value>,
}

impl RunSummary {
    /// Read a run folder.
    ///
    /// # Errors
    /// [`Error::Content`] for a folder without a log, and for a line of it that is no JSON.
    pub fn read(name: &str, folder: &Path) -> Result<RunSummary> {
        let log = folder.join("log.jsonl");
        if !log.is_file() {
            return Err(Error::content(
                folder.display().to_string(),
                "a run folder with a log.jsonl",
                if folder.is_dir() { "a folder without one" } else { "no such folder" },
                "give the folder that `nmt train` wrote to",
            ));
        }
        let mut summary = RunSummary {
            name: name.to_string(),
            training: Value::Null,
            best: Value::Null,
            validation: Value::Null,
            incidents: Vec::new(),
            config: optional(&folder.join(CONFIG))?,
            environment: None,
            log: log.clone(),
        };
        for (number, line) in files::read_text(&log)?.lines().enumerate() {
            let event: Value = serde_json::from_str(line).map_err(|error| {
                let place = format!("{}:{}", log.display(), number + 1);
                Error::content(place, "a line of a run's log, JSON", error.to_string(), "restore the log")
            })?;
            match event["event"].as_str() {
                Some("update") => summary.training = event,
                Some("validation") => {
                    if event["best"] == true {
                        summary.best = event.clone();
                    }
                    summary.validation = event;
                }
                _ => summary.incidents.push(event),
            }
        }
        if let Some(text) = optional(&folder.join(ENVIRONMENT))? {
            summary.environment = serde_json::from_str(&text).ok();
        }
        Ok(summary)
    }

    /// Every key of the configuration with its value, as text; empty where there is none that can be read.
    pub fn settings(&self) -> Vec<(String, String)> {
        let table: toml::Table = self.config.as_deref().and_then(|text| toml::from_str(text).ok()).unwrap_or_default();
        let sections = table.into_iter().filter_map(|(section, keys)| Some((section, keys.as_table().cloned()?)));
        let all = sections.flat_map(|(section, keys)| {
            keys.into_iter().map(move |(key, value)| (format!("{section}.{key}"), value.to_string()))
        });
        all.collect()
    }
}

fn optional(path: &Path) -> Result<Option<String>> {
    if path.exists() { files::read_text(path).map(Some) } else { Ok(None) }
}
