//! A trained network for other classes.

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

use super::config::NetworkConfig;
use super::identity::network_identity;
use super::network::Classifier;
use crate::error::Result;
use crate::params::{Block, BlockKind, Layout};
use crate::task::Task;
use crate::train::check_metadata;

/// θ of `network`, `[P]`, on the CPU: the linear layer of `drawn`, which is such a θ, and everything else of the checkpoint
/// at `path`, whatever its classes are.
///
/// # Errors
/// [`crate::Error::Content`] where the file is damaged, or of another network than `config` says.
pub fn with_new_head(path: &Path, network: &Classifier, config: &NetworkConfig, drawn: &Tensor) -> Result<Tensor> {
    check_metadata(path, &network_identity(config))?;
    let layout = network.layout();
    let parts = layout.blocks().iter().zip(layout.split(drawn));
    let new: HashMap<&str, Tensor> = parts
        .filter(|(block, _)| is_head(layout, block))
        // [numel] -> the shape of the block
        .map(|(block, part)| (block.name.as_str(), part.view(block.shape.as_slice())))
        .collect();
    layout.load_but(path, |name| new.get(name).map(Tensor::shallow_clone))
}

/// Whether a block is of the linear layer, of which every network has one, or its bias.
fn is_head(layout: &Layout, block: &Block) -> bool {
    let stem = |name: &str| name.rsplit_once('.').map(|(stem, _)| stem.to_string());
    let is_linear = |other: &Block| other.kind == BlockKind::Weight && stem(&other.name) == stem(&block.name);
    layout.blocks().iter().any(is_linear)
}

#[cfg(test)]
mod tests {
    use super::super::{Architecture, kaiming};
    use super::*;
    use tch::Device;

    #[test]
    fn every_network_has_one_linear_layer_of_two_blocks() {
        for architecture in Architecture::ALL {
            let norm = architecture != Architecture::FixupResnet110;
            let network = Classifier::new(architecture, norm, 7, Device::Cpu);
            let layout = network.layout();
            let head: Vec<i64> =
                layout.blocks().iter().filter(|block| is_head(layout, block)).map(|block| block.shape[0]).collect();
            assert_eq!(head, [7, 7], "{}", architecture.name());
        }
    }

    #[test]
    fn the_head_is_new_and_the_rest_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.safetensors");
        let config = NetworkConfig { architecture: Architecture::Densenet100, batch_norm: true };
        let of = |classes, seed| {
            let network = Classifier::new(config.architecture, config.batch_norm, classes, Device::Cpu);
            let theta = kaiming(config.architecture, network.layout(), seed);
            (network, theta)
        };
        let ((old, trained), (new, drawn)) = (of(10, 1), of(3, 2));
        old.layout().save(&path, &[("", &trained)], &network_identity(&config)).unwrap();
        let theta = with_new_head(&path, &new, &config, &drawn).unwrap();
        let head = 3 * 342 + 3;
        let rest = new.layout().total() - head;
        assert_eq!(theta.narrow(0, 0, rest), trained.narrow(0, 0, rest));
        assert_eq!(theta.narrow(0, rest, head), drawn.narrow(0, rest, head));
        let other = NetworkConfig { batch_norm: false, ..config };
        let message = with_new_head(&path, &new, &other, &drawn).unwrap_err().to_string();
        assert!(message.contains("densenet100 without normalisation"), "{message}");
    }
}
