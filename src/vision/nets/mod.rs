//! The networks of the GradInit paper's Table 1, a file a family.

mod densenet;
mod fixup_resnet;
mod resnet50;
mod resnet_cifar;
mod vgg;
mod wide_resnet;

use super::architecture::Architecture;
use super::module::{Builder, Module};

/// The modules of an architecture; their blocks go to `builder`.
pub(super) fn build(architecture: Architecture, builder: &mut Builder, classes: i64) -> Box<dyn Module> {
    match architecture {
        Architecture::Vgg19 => Box::new(vgg::vgg19(builder, classes)),
        Architecture::Resnet110 => Box::new(resnet_cifar::resnet110(builder, classes)),
        Architecture::Wrn28_10 => Box::new(wide_resnet::wide_resnet(builder, classes)),
        Architecture::FixupResnet110 => Box::new(fixup_resnet::fixup_resnet110(builder, classes)),
        Architecture::Densenet100 => Box::new(densenet::densenet100(builder, classes)),
        Architecture::Resnet50 => Box::new(resnet50::resnet50(builder, classes)),
    }
}
