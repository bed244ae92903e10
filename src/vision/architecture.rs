//! Which image networks there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The networks of the paper's Table 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Architecture {
    /// VGG-19 with one linear layer, for CIFAR-10.
    #[serde(rename = "vgg19")]
    Vgg19,
    /// ResNet-110, for CIFAR-10.
    #[serde(rename = "resnet110")]
    Resnet110,
    /// WRN-28-10, for CIFAR-10.
    #[serde(rename = "wrn-28-10")]
    Wrn28_10,
    /// FixUpResNet-110, for CIFAR-10; it has no batch normalisation.
    #[serde(rename = "fixup-resnet110")]
    FixupResnet110,
    /// DenseNet-100, for CIFAR-10.
    #[serde(rename = "densenet100")]
    Densenet100,
    /// ResNet-50, for ImageNet.
    #[serde(rename = "resnet50")]
    Resnet50,
}

impl Architecture {
    /// Every one of them.
    pub const ALL: [Architecture; 6] = [
        Architecture::Vgg19,
        Architecture::Resnet110,
        Architecture::Wrn28_10,
        Architecture::FixupResnet110,
        Architecture::Densenet100,
        Architecture::Resnet50,
    ];

    /// Its name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Architecture::Vgg19 => "vgg19",
            Architecture::Resnet110 => "resnet110",
            Architecture::Wrn28_10 => "wrn-28-10",
            Architecture::FixupResnet110 => "fixup-resnet110",
            Architecture::Densenet100 => "densenet100",
            Architecture::Resnet50 => "resnet50",
        }
    }

    /// What pictures are opened for: its name, and their height and width.
    pub fn takes(self) -> (&'static str, i64) {
        (self.name(), self.pictures().0)
    }

    /// Height and width of the pictures that it is for, and their number of classes.
    pub fn pictures(self) -> (i64, i64) {
        if self == Architecture::Resnet50 { (224, 1000) } else { (32, 10) }
    }
}
