//! TOML and `key=value` settings over the defaults, with errors that name the line and the nearest key.

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::configuration::Configuration;
use crate::error::{Error, Result};

/// The value of a key where it is given.
pub(crate) fn chosen<T: DeserializeOwned>(given: &Table, section: &str, key: &str) -> Result<Option<T>> {
    let value = given.get(section).and_then(|keys| keys.get(key)).cloned();
    let wrong = |error: toml::de::Error| Error::usage(format!("{section}.{key}: {}", in_words(error.message())), "");
    value.map(|value| T::deserialize(value).map_err(wrong)).transpose()
}

/// The configuration of these keys, with the default of its section for each that is not given.
pub(super) fn of_sections<C: DeserializeOwned>(given: &Table) -> Result<C> {
    given.clone().try_into().map_err(|error: toml::de::Error| Error::usage(in_words(error.message()), ""))
}

/// Read a configuration. `base` has the values of keys that are not given: it sees those that are, which may decide about others.
pub(super) fn parse<C: Configuration>(
    text: &str,
    place: &str,
    settings: &[String],
    base: impl FnOnce(&Table) -> Result<C>,
) -> Result<C> {
    let known = table_of(&C::default())?;
    let line_of = |at: usize| text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1;
    let broken = |error: &toml::de::Error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        Error::usage(
            format!("{place}:{line}: {}", in_words(error.message())),
            format!("`{}` prints every key with its meaning", C::COMMAND),
        )
    };

    let parsed = DeTable::parse(text).map_err(|error| broken(&error))?;
    let (foreign, next) = C::FOREIGN_SECTIONS;
    if let Some(section) = parsed.get_ref().keys().find(|section| foreign.contains(&section.get_ref().as_ref())) {
        let (name, line) = (section.get_ref(), line_of(section.span().start));
        let message = format!("{place}:{line}: expected sections of {}, found [{name}]", C::NETWORKS);
        return Err(Error::usage(message, next));
    }
    for (section, value) in parsed.get_ref() {
        let (name, at) = (section.get_ref(), section.span().start);
        let here = |message: String| Error::usage(format!("{place}:{}: {message}", line_of(at)), "");
        let Some(Value::Table(known)) = known.get(name.as_ref()) else {
            return Err(here(unknown(name, known.keys().map(String::as_str))));
        };
        let DeValue::Table(keys) = value.get_ref() else {
            return Err(here(format!("expected a section [{name}], found a value for the key `{name}`")));
        };
        for key in keys.keys() {
            if !known.contains_key(key.get_ref().as_ref()) {
                let message = unknown_in(name, key.get_ref(), known);
                return Err(Error::usage(format!("{place}:{}: {message}", line_of(key.span().start)), ""));
            }
        }
    }
    let mut given: Table = toml::from_str(text).map_err(|error| broken(&error))?;
    // The types are checked where the line is still known.
    toml::from_str::<C>(text).map_err(|error| broken(&error))?;
    for setting in settings {
        set::<C>(&mut given, &known, setting)?;
    }
    let mut table = table_of(&base(&given)?)?;
    for (section, value) in given {
        if let (Some(Value::Table(target)), Value::Table(keys)) = (table.get_mut(&section), value) {
            target.extend(keys);
        }
    }
    of_sections(&table)
}

/// A configuration as sections of keys.
pub(super) fn table_of<C: Serialize>(config: &C) -> Result<Table> {
    Table::try_from(config).map_err(|error| Error::content("the configuration", "a table", error.to_string(), ""))
}

/// The message of a value of the wrong type, without names of types.
fn in_words(message: &str) -> String {
    let wrong = ["invalid type: ", "invalid value: "].iter().find_map(|start| message.strip_prefix(start));
    let Some((found, expected)) = wrong.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_string();
    };
    let expected = match expected {
        "i64" => "a whole number",
        "u64" | "usize" => "a whole number of 0 or more",
        "f64" => "a number",
        "a boolean" => "true or false",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// Take one `section.key=value` into `given`. A value that is no TOML value is a string.
fn set<C: DeserializeOwned>(given: &mut Table, known: &Table, setting: &str) -> Result<()> {
    let usage = |message: String| Error::usage(format!("--set {setting}: {message}"), "");
    let (key, text) = setting.split_once('=').ok_or_else(|| usage("expected section.key=value".into()))?;
    let (key, text) = (key.trim(), text.trim());
    let Some((section, name)) = key.split_once('.') else {
        let all = known.iter().flat_map(|(section, value)| {
            value.as_table().into_iter().flat_map(move |t| t.keys().map(move |k| format!("{section}.{k}")))
        });
        let nearest = nearest_by(key, all, |full| full.rsplit('.').next().unwrap_or(full).to_string());
        return Err(usage(format!("unknown key `{key}`{}", did_you_mean(nearest))));
    };
    let Some(Value::Table(keys)) = known.get(section) else {
        return Err(usage(unknown(section, known.keys().map(String::as_str))));
    };
    if !keys.contains_key(name) {
        return Err(usage(unknown_in(section, name, keys)));
    }
    let value = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_string()));
    // Check this one value alone, so that the message names the setting.
    let mut alone = Table::new();
    alone.insert(section.to_string(), Value::Table(Table::from_iter([(name.to_string(), value.clone())])));
    alone.try_into::<C>().map_err(|error: toml::de::Error| usage(in_words(error.message())))?;
    let target = given.entry(section).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(target) = target {
        target.insert(name.to_string(), value);
    }
    Ok(())
}

fn unknown<'a>(section: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = nearest_by(section, known.map(str::to_string), |name| name.to_string());
    format!("unknown section `{section}`{}", did_you_mean(nearest))
}

fn unknown_in(section: &str, key: &str, known: &Table) -> String {
    let nearest = nearest_by(key, known.keys().cloned(), |name| name.to_string());
    format!("unknown key `{section}.{key}`{}", did_you_mean(nearest.map(|key| format!("{section}.{key}"))))
}

fn nearest_by(name: &str, all: impl Iterator<Item = String>, part: impl Fn(&str) -> String) -> Option<String> {
    all.map(|candidate| (strsim::damerau_levenshtein(name, &part(&candidate)), candidate)).min().map(|(_, name)| name)
}

fn did_you_mean(nearest: Option<String>) -> String {
    nearest.map_or(String::new(), |name| format!("; the nearest is `{name}`"))
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Configuration};

    #[test]
    fn wrong_input_is_named() {
        for (text, settings, expected) in [
            ("[modle]\nembed_dim = 1\n", vec![], "f.toml:1: unknown section `modle`; the nearest is `model`"),
            ("\n[model]\nembed_dim = \"x\"\n", vec![], "f.toml:3: expected a whole number, found string \"x\""),
            ("", vec!["training.max_tokens=-4"], "expected a whole number of 0 or more, found integer `-4`"),
            ("", vec!["optimizer.clip_norm=yes"], "expected a number, found string \"yes\""),
            ("", vec!["model.w_skip=1"], "expected true or false, found integer `1`"),
            ("model = 3\n", vec![], "f.toml:1: expected a section [model]"),
            ("[model\n", vec![], "f.toml:1: "),
            ("", vec!["model.embed_din=4"], "unknown key `model.embed_din`; the nearest is `model.embed_dim`"),
            ("", vec!["max_update=4"], "unknown key `max_update`; the nearest is `training.max_updates`"),
            ("", vec!["training.max_updates"], "expected section.key=value"),
            ("", vec!["training.max_updates=many"], "--set training.max_updates=many: "),
            ("", vec!["optimizer.kind=adamw"], "--set optimizer.kind=adamw: "),
            ("", vec!["model.embed_dim=3"], "model.embed_dim has to be even"),
        ] {
            let settings: Vec<String> = settings.into_iter().map(String::from).collect();
            let error = Config::parse(text, "f.toml", &settings).unwrap_err();
            assert!(error.to_string().contains(expected), "{text:?} {settings:?}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn later_settings_win_and_the_result_reads_back() {
        let settings = ["optimizer.kind=sgd".into(), "schedule.learning_rate=0.15".into(), "gradinit.gamma=inf".into()];
        let config = Config::parse("[schedule]\nlearning_rate = 1e-3\n", "f.toml", &settings).unwrap();
        assert_eq!(config.schedule.learning_rate, 0.15);
        assert_eq!(config.gradinit.gamma, f64::INFINITY);
        assert_eq!(Config::parse(&config.to_toml().unwrap(), "g.toml", &[]).unwrap(), config);
    }
}
