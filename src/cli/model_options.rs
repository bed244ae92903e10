//! Options that several sub-commands share.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use nmt::config::{Configuration, describe};
use nmt::train::checkpoint_in;

/// Where the configuration comes from.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigOptions {
    /// The configuration, a TOML file; without one the defaults, which the command `config` prints
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key of the configuration, such as training.seed=7; may be repeated; the last one counts, and an option that
    /// sets the same key more than any
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Looking before doing.
#[derive(Debug, Clone, clap::Args)]
pub struct PrintConfig {
    /// Print the configuration that these options come to, every key with its meaning, and do nothing else
    #[arg(long)]
    print_config: bool,
}

impl PrintConfig {
    /// Print `config` where that was wanted, and whether it was.
    pub fn printed<C: Configuration>(&self, config: &C) -> nmt::Result<bool> {
        if self.print_config {
            super::print(&describe(config)?)?;
        }
        Ok(self.print_config)
    }
}

/// What `--init` takes: a file of parameters, or the folder of a run, which stands for its checkpoint `best`, or where it has none
/// `last`.
pub fn parameters_parser() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|named| checkpoint_in(&named).unwrap_or(named))
}

impl ConfigOptions {
    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.config.is_none() && self.set.is_empty()
    }

    /// Say which model it is where nobody has.
    pub fn note_default_model(&self) {
        if self.config.is_none() && !self.set.iter().any(|setting| setting.starts_with("model.")) {
            nmt::progress::note("without --config the model is the full-size one of the paper: hours without a GPU");
        }
    }

    /// The configuration: defaults, file, `--set`, and then `further` settings (`key=value`) of other options.
    pub fn load<C: Configuration>(&self, further: &[Option<String>]) -> nmt::Result<C> {
        C::load(self.config.as_deref(), &self.settings(further))
    }

    /// What `--set` and `further` options set, in order.
    pub fn settings(&self, further: &[Option<String>]) -> Vec<String> {
        self.set.iter().chain(further.iter().flatten()).cloned().collect()
    }
}

/// How the configuration spells a choice, such as `adam`.
pub fn name_of(choice: &impl serde::Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(str::to_string)).unwrap_or_default()
}

/// `key=value` for an option that was given.
pub fn setting(key: &str, value: Option<impl std::fmt::Display>) -> Option<String> {
    value.map(|value| format!("{key}={value}"))
}

/// Refuse to replace a file without `--overwrite`.
pub fn check_new(output: &Path, overwrite: bool) -> nmt::Result<()> {
    if !output.exists() || overwrite {
        return Ok(());
    }
    let next = "give --overwrite to replace it, or another --output";
    Err(nmt::Error::usage(format!("{} exists already", output.display()), next))
}
