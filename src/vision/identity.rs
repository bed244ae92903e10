//! What a checkpoint of an image network says that it is of: which network, and for which classes.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::NetworkConfig;
use crate::error::Result;
use crate::params::safetensors_metadata;
use crate::train::{CLASS_NAMES, NETWORK};

/// The names of the classes, with spaces between them: what is compared.
const CLASSES: &str = "classes";

/// What has to be equal where parameters are loaded: the network and the names of its classes.
pub fn identity(network: &NetworkConfig, classes: &[String]) -> BTreeMap<String, String> {
    // Tells names with spaces apart; earlier versions did not write it.
    let names = serde_json::Value::from(classes).to_string();
    BTreeMap::from([(CLASSES.to_string(), classes.join(" ")), (CLASS_NAMES.to_string(), names), network_entry(network)])
}

/// What has to be equal where parameters are taken for other classes.
pub fn network_identity(network: &NetworkConfig) -> BTreeMap<String, String> {
    BTreeMap::from([network_entry(network)])
}

fn network_entry(network: &NetworkConfig) -> (String, String) {
    let norm = if network.batch_norm { "with batch normalisation" } else { "without normalisation" };
    (NETWORK.to_string(), format!("{} {norm}", network.architecture.name()))
}

/// The classes that a checkpoint is for, in the order of its logits; none where it does not say so, as that of another program.
/// In one of an earlier version names with spaces are not told apart.
///
/// # Errors
/// [`crate::Error::Content`] where the file is damaged.
pub fn classes_of(checkpoint: &Path) -> Result<Option<Vec<String>>> {
    let metadata = safetensors_metadata(checkpoint)?;
    let listed = metadata.get(CLASS_NAMES).and_then(|text| serde_json::from_str(text).ok());
    let joined = || metadata.get(CLASSES).map(|text| text.split(' ').map(str::to_string).collect());
    Ok(listed.or_else(joined))
}

#[cfg(test)]
mod tests {
    use super::super::Architecture;
    use super::*;
    use crate::params::{BlockKind, Layout};
    use tch::{Device, Kind, Tensor};

    #[test]
    fn classes_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        let config = NetworkConfig { architecture: Architecture::Vgg19, batch_norm: true };
        let mut layout = Layout::default();
        layout.add("a", &[1], BlockKind::Bias);
        let theta = Tensor::zeros([1], (Kind::Float, Device::Cpu));
        let of = |metadata: &BTreeMap<String, String>| {
            layout.save(&path, &[("", &theta)], metadata).unwrap();
            classes_of(&path)
        };
        for names in [&["cat", "dog"][..], &["hot dog", "a/b", "\"c\""], &["cat"]] {
            let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
            assert_eq!(of(&identity(&config, &names)).unwrap(), Some(names));
        }
        // Of an earlier version.
        let before = BTreeMap::from([("classes".to_string(), "cat dog".to_string())]);
        assert_eq!(of(&before).unwrap().unwrap(), ["cat", "dog"]);
        assert_eq!(of(&network_identity(&config)).unwrap(), None);
    }
}
