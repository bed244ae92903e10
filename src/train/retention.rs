//! Which checkpoints of validations stay.

use std::path::Path;

use crate::error::{Error, Result};

/// The file name of the checkpoint of a validation: weights only.
pub fn checkpoint_name(update: u64) -> String {
    format!("checkpoint-{update}.safetensors")
}

/// The update of a file of such a name.
fn update_of(name: &str) -> Option<u64> {
    name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok()
}

/// The checkpoints of validations in the run folder `folder`, the oldest first: their updates.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be read.
pub fn checkpoints(folder: &Path) -> Result<Vec<u64>> {
    let mut updates = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        updates.extend(entry.file_name().to_str().and_then(update_of));
    }
    updates.sort_unstable();
    Ok(updates)
}

/// Keep the checkpoint of `update`, which `save` writes, and the `count - 1` newest before it.
pub(super) fn keep(folder: &Path, update: u64, count: usize, save: impl Fn(&Path) -> Result<()>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    save(&folder.join(checkpoint_name(update)))?;
    // Later ones are of a run that was killed before it saved where it stood: they come again.
    let before: Vec<u64> = checkpoints(folder)?.into_iter().filter(|&other| other <= update).collect();
    for old in &before[..before.len().saturating_sub(count)] {
        let path = folder.join(checkpoint_name(*old));
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["best.safetensors", "checkpoint-x.safetensors", "checkpoint-1.json"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let save = |path: &Path| std::fs::write(path, "").map_err(Error::io("write", path));
        for update in [5, 10, 100, 15] {
            keep(folder.path(), update, 2, save).unwrap();
        }
        // 100 is of a run that was killed after it; 15 comes again.
        assert_eq!(checkpoints(folder.path()).unwrap(), [10, 15, 100]);
        keep(folder.path(), 20, 0, save).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }
}
