//! What a run folder says of its run.

use std::path::Path;

use serde_json::Value;

use crate::error::Result;
use crate::files;
use crate::plot::read_json_lines;
use crate::train::CONFIG;

/// The file of a run folder that says on what machine the run was last at work.
pub const ENVIRONMENT: &str = "environment.json";

/// A run folder, read.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// Its name on the page.
    pub name: String,
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
    /// Read a run's log and what lies beside it.
    ///
    /// # Errors
    /// [`crate::Error::Io`] without a log, [`crate::Error::Content`] for a line of it that is no JSON; one that is still being written is left out.
    pub fn read(name: &str, log: &Path) -> Result<RunSummary> {
        let folder = log.parent().unwrap_or(Path::new("."));
        let mut summary = RunSummary {
            name: name.to_string(),
            training: Value::Null,
            best: Value::Null,
            validation: Value::Null,
            incidents: Vec::new(),
            config: optional(&folder.join(CONFIG))?,
            environment: None,
        };
        for (_, event) in read_json_lines::<Value>(log)? {
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
