//! What a checkpoint of an image network says that it is of: which network, and for which classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::NetworkConfig;
use crate::error::{Error, Result};
use crate::params::safetensors_metadata;
use crate::train::NETWORK;

const CLASSES: &str = "classes";

/// What has to be equal where parameters are loaded: the network and the names of its classes.
pub fn identity(network: &NetworkConfig, classes: &[String]) -> BTreeMap<String, String> {
    BTreeMap::from([(CLASSES.to_string(), written(classes)), network_entry(network)])
}

/// What has to be equal where parameters are taken for other classes.
pub fn network_identity(network: &NetworkConfig) -> BTreeMap<String, String> {
    BTreeMap::from([network_entry(network)])
}

fn network_entry(network: &NetworkConfig) -> (String, String) {
    let norm = if network.batch_norm { "with batch normalisation" } else { "without normalisation" };
    (NETWORK.to_string(), format!("{} {norm}", network.architecture.name()))
}

/// The classes that a checkpoint is for, in the order of its logits.
///
/// # Errors
/// [`Error::Content`] where the file is damaged, or does not say it.
pub fn classes_of(checkpoint: &Path) -> Result<Vec<String>> {
    let metadata = safetensors_metadata(checkpoint)?;
    let text = metadata.get(CLASSES).ok_or_else(|| {
        let next = "give a checkpoint that `nmt vision train` wrote";
        Error::content(checkpoint.display().to_string(), "the names of its classes", "none", next)
    })?;
    Ok(read(text))
}

/// Names with spaces between them; where one has a space itself, a slash, which no folder can have in its name, behind each.
fn written(classes: &[String]) -> String {
    match classes.iter().any(|class| class.contains(' ')) {
        true => classes.iter().map(|class| format!("{class}/")).collect(),
        false => classes.join(" "),
    }
}

fn read(text: &str) -> Vec<String> {
    let split: Vec<&str> = match text.ends_with('/') {
        true => text.split_terminator('/').collect(),
        false => text.split(' ').collect(),
    };
    split.into_iter().map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_read_as_they_were_written() {
        for names in [&["cat", "dog"][..], &["hot dog", "cat"], &["hot dog"], &["cat"]] {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(read(&written(&names)), names);
        }
        assert_eq!(written(&["cat".into(), "dog".into()]), "cat dog");
    }
}
