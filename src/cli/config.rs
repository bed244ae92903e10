//! `nmt config`: the resolved configuration, every key with its meaning.

use nmt::config::{Config, describe};

use super::model_options::ConfigOptions;

/// Arguments of `nmt config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    config: ConfigOptions,
}

impl ConfigArgs {
    /// Print it.
    pub fn run(&self) -> nmt::Result<()> {
        super::print(&describe(&self.config.load::<Config>(&[])?)?)
    }
}
