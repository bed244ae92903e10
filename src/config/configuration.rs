//! What the configurations of all tasks have in common: how they are read, written and compared.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Compute;
use super::parse::{chosen, of_sections, parse, table_of};
use crate::error::{Error, Result};
use crate::files;
use crate::init::gradinit::{GradInitConfig, Preset};
use crate::init::metainit::MetaInitConfig;
use crate::progress;

/// What all configurations have, to change it, and whether MetaInit has a part.
pub struct Shared<'a> {
    /// The section `gradinit`.
    pub gradinit: &'a mut GradInitConfig,
    /// The section `metainit`.
    pub metainit: &'a mut MetaInitConfig,
    /// `training.compute`.
    pub compute: &'a mut Compute,
    /// Whether `init.method` is MetaInit.
    pub by_metainit: bool,
}

/// A configuration of sections of keys: defaults, then a TOML file, then `key=value` settings.
pub trait Configuration: Clone + Default + Serialize + DeserializeOwned + JsonSchema {
    /// The command that prints every key with its meaning.
    const COMMAND: &'static str;

    /// What is trained, in the plural.
    const NETWORKS: &'static str;

    /// Keys, `section.key`, of shared sections that have no part in these networks, and what to do instead.
    const FOREIGN: &'static [(&'static str, &'static str)];

    /// Sections of configurations of other networks, and what to do with a file that has one.
    const FOREIGN_SECTIONS: (&'static [&'static str], &'static str);

    /// The values of keys that are not given; `given` has those that are, which may decide about others.
    ///
    /// # Errors
    /// [`Error::Usage`] for given keys that do not go together.
    fn base(given: &Table) -> Result<Self>;

    /// Refuse values that make no run.
    ///
    /// # Errors
    /// [`Error::Usage`] with the key.
    fn check(&self) -> Result<()>;

    /// The sections and keys that all configurations have.
    fn shared(&mut self) -> Shared<'_>;

    /// Batches of each process for one update.
    fn update_frequency(&self) -> usize;

    /// The section `gradinit`.
    fn gradinit(&self) -> &GradInitConfig;

    /// With what is chosen automatically as this machine has it.
    fn resolved(mut self) -> Self {
        let compute = self.shared().compute;
        *compute = compute.resolved();
        self
    }

    /// Without what has no part in a run: the section `gradinit` where GradInit has none (`gradinit` is false), and `metainit`
    /// where another method initialises.
    fn without_unused(mut self, gradinit: bool) -> Self {
        let shared = self.shared();
        if !gradinit {
            *shared.gradinit = GradInitConfig::default();
        }
        if !shared.by_metainit {
            *shared.metainit = MetaInitConfig::default();
        }
        self
    }

    /// With the default of every key that what GradInit learns does not depend on: equal where it would learn the same.
    fn learnt_from(&self) -> Self;

    /// Read a TOML file (none: the defaults) and apply `key=value` settings in order.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown key (with the nearest one), a value of the wrong type or out of range.
    fn load(path: Option<&Path>, settings: &[String]) -> Result<Self> {
        match path {
            Some(path) => Self::parse(&files::read_text(path)?, &path.display().to_string(), settings),
            None => Self::parse("", "", settings),
        }
    }

    /// As [`Configuration::load`], of text; `place` names it in errors.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    fn parse(text: &str, place: &str, settings: &[String]) -> Result<Self> {
        let config: Self = parse(text, place, settings, Self::base)?;
        let changed = differences(&config, &Self::default())?;
        for (key, instead) in Self::FOREIGN {
            if let Some((_, found, _)) = changed.iter().find(|(name, ..)| name == key) {
                return Err(Error::usage(format!("{key} has no part in {}, found {found}", Self::NETWORKS), *instead));
            }
        }
        config.check()?;
        Ok(config)
    }

    /// As [`Configuration::load`], of the file that a run wrote.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    fn load_saved(path: &Path) -> Result<Self> {
        Self::parse_saved(&files::read_text(path)?, &path.display().to_string(), &[])
    }

    /// As [`Configuration::parse`], of what a run wrote: a key that it lacks, because there was none at that time, has the default
    /// of its section, whatever the keys that are given decide about it by now, and one that has no part any more is no fault.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    fn parse_saved(text: &str, place: &str, settings: &[String]) -> Result<Self> {
        let config: Self = parse(text, place, settings, of_sections)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as TOML, without comments.
    ///
    /// # Errors
    /// None for configurations that were read.
    fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::content("the configuration", "values that TOML has", error.to_string(), ""))
    }
}

/// The preset of GradInit that is given, or `default`. `other` is refused: it is of the other kind of networks.
pub(crate) fn preset_or(default: Preset, given: &Table, other: Preset, expected: &str) -> Result<Preset> {
    let preset = chosen(given, "gradinit", "preset")?.unwrap_or(default);
    if preset == other {
        let found = given.get("gradinit").and_then(|keys| keys.get("preset")).map_or(String::new(), Value::to_string);
        let message = format!("gradinit.preset = {found} is of other networks: expected {expected}");
        return Err(Error::usage(message, "leave it out for the first of these"));
    }
    Ok(preset)
}

/// The keys, `section.key`, that have other values in `other` than in `one`, with both; none where `other` lacks the key.
///
/// # Errors
/// None for configurations that were read.
pub fn differences<C: Serialize>(one: &C, other: &C) -> Result<Vec<(String, Value, Option<Value>)>> {
    let (one, other) = (table_of(one)?, table_of(other)?);
    let mut differences = Vec::new();
    for (section, keys) in one {
        for (key, value) in keys.as_table().into_iter().flatten() {
            let there = other.get(&section).and_then(|keys| keys.get(key));
            if there != Some(value) {
                differences.push((format!("{section}.{key}"), value.clone(), there.cloned()));
            }
        }
    }
    Ok(differences)
}

/// Say so where the file `beside` a checkpoint has been changed since: what the weights were `trained` with counts. Only
/// `sections` are looked at, which no resumed run may change.
///
/// # Errors
/// None for configurations that were read.
pub fn note_edited<C: Configuration>(trained: &C, beside: &Path, sections: &[&str]) -> Result<()> {
    if !beside.exists() {
        return Ok(());
    }
    let ignored = "what the checkpoint was trained with counts";
    let edited = match C::load_saved(beside) {
        Ok(edited) => edited,
        Err(error) => {
            progress::note(format!("warning: {error}; {ignored}"));
            return Ok(());
        }
    };
    for (name, old, new) in differences(trained, &edited)? {
        if let (Some(new), true) = (new, name.split('.').next().is_some_and(|section| sections.contains(&section))) {
            progress::note(format!("warning: {} says {name} = {new}, and {ignored}: {old}", beside.display()));
        }
    }
    Ok(())
}
