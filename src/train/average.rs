//! The mean of checkpoints (Vaswani et al., 2017, section 6.1; fairseq's `average_checkpoints.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tch::{Kind, Tensor};

use super::checkpoint::{CONFIG_KEY, LATER, STATE_KEY, config_of};
use crate::error::{Error, Result};
use crate::params::{BlockKind, Layout, safetensors_metadata, with_safetensors};

/// Write the mean of the weights of `inputs`, computed in fp64, to `output`; the running statistics of image networks are
/// averaged, too. What the first file says of itself, but for the state of its run, is said of the mean.
///
/// # Errors
/// [`Error::Usage`] for no input; [`Error::Content`] for files of different models or dictionaries, and for damaged ones.
pub fn average(inputs: &[PathBuf], output: &Path) -> Result<()> {
    let Some((first, others)) = inputs.split_first() else {
        return Err(Error::usage("expected checkpoints to average, found none", ""));
    };
    let (layout, mut identity) = (layout_of(first)?, identity(first)?);
    let mut sum = layout.load(first, "")?.to_kind(Kind::Double);
    for other in others {
        let found = self::identity(other)?;
        let differs = |key: &&String| match (identity.get(*key), found.get(*key)) {
            (Some(one), Some(other)) => one != other,
            _ => !LATER.contains(&key.as_str()),
        };
        let keys = identity.keys().chain(found.keys()).find(differs);
        if let Some(key) = keys {
            return Err(Error::content(
                other.display().to_string(),
                format!("a checkpoint with the {key} of {}", first.display()),
                "another one",
                "average checkpoints of one run, or of runs on one data folder",
            ));
        }
        if layout_of(other)?.blocks().len() != layout.blocks().len() {
            let expected = format!("the tensors of {}", first.display());
            return Err(Error::content(other.display().to_string(), expected, "others", "average models of one kind"));
        }
        sum += layout.load(other, "")?.to_kind(Kind::Double);
    }
    if let Some(config) = config_of(first)? {
        identity.insert(CONFIG_KEY.into(), config);
    }
    let mean: Tensor = sum / inputs.len() as f64;
    layout.save(output, &[("", &mean.to_kind(Kind::Float))], &identity)
}

/// The weights of a checkpoint, without what belongs to its optimiser, in the order of the file's names.
fn layout_of(path: &Path) -> Result<Layout> {
    with_safetensors(path, |tensors| {
        let mut layout = Layout::default();
        let views: BTreeMap<String, Vec<i64>> = tensors
            .iter()
            .map(|(name, view)| (name.to_string(), view.shape().iter().map(|&size| size as i64).collect()))
            .collect();
        for (name, shape) in views.iter().filter(|(name, _)| !name.starts_with("optimizer.")) {
            layout.add(name, shape, BlockKind::Weight);
        }
        Ok(layout)
    })
}

/// What has to be equal. The configuration need not be: a run may be resumed with other limits, and seeds differ.
fn identity(path: &Path) -> Result<BTreeMap<String, String>> {
    let mut metadata = safetensors_metadata(path)?;
    metadata.remove(STATE_KEY);
    metadata.remove(CONFIG_KEY);
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// A run that an older program began has checkpoints that say less of themselves; what both say has to be equal.
    #[test]
    fn checkpoints_of_an_older_program_are_averaged_with_newer_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut layout = Layout::default();
        layout.add("a", &[1], BlockKind::Bias);
        let save = |name: &str, value: f64, entries: &[(&str, &str)]| {
            let metadata = entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            let path = folder.path().join(name);
            layout.save(&path, &[("", &Tensor::full([1], value, (Kind::Float, Device::Cpu)))], &metadata).unwrap();
            path
        };
        let old = save("old", 1.0, &[("classes", "cat dog")]);
        let new = save("new", 2.0, &[("classes", "cat dog"), ("names_of_classes", "[]"), ("network", "vgg19")]);
        let mean = folder.path().join("mean");
        for inputs in [[old.clone(), new.clone()], [new, old.clone()]] {
            average(&inputs, &mean).unwrap();
            assert_eq!(layout.load(&mean, "").unwrap().double_value(&[0]), 1.5);
        }
        let other = save("other", 2.0, &[("classes", "cat owl")]);
        let silent = save("silent", 2.0, &[]);
        for another in [other, silent] {
            assert!(average(&[old.clone(), another], &mean).unwrap_err().to_string().contains("classes"));
        }
    }
}
