//! What the GradInit paper trains each network with.

use super::architecture::Architecture;
use super::config::{VisionConfig, VisionTrainingConfig};
use super::pictures::AugmentConfig;
use crate::init::gradinit::{GradInitConfig, Preset, Target};
use crate::init::metainit::{MetaInitConfig, Scaled};
use crate::optim::{OptimizerConfig, OptimizerKind, ScheduleConfig, ScheduleKind};

impl VisionConfig {
    /// The settings of the paper (section 4.1 and appendix A) for a network; of the published code where it is silent: τ of
    /// WRN-28-10 and what MetaInit scales; and GradInit's batches of WRN-28-10, 780 of 64, where the paper has those of training. `preset` decides how GradInit's steps are made, and changes none of these numbers.
    ///
    /// Gradients of networks without normalisation are clipped to 1. The paper does not clip DenseNet-100's after MetaInit and
    /// GradInit: with those set `optimizer.clip_norm` to 0.
    ///
    /// ```
    /// use nmt::init::gradinit::Preset;
    /// use nmt::vision::{Architecture, VisionConfig};
    /// let config = VisionConfig::published(Architecture::Densenet100, false, Preset::PublishedImageCode);
    /// assert_eq!((config.training.batch_size, config.gradinit.tau, config.optimizer.clip_norm), (64, 5e-3, 1.0));
    /// ```
    pub fn published(architecture: Architecture, batch_norm: bool, preset: Preset) -> VisionConfig {
        use Architecture::{Densenet100, FixupResnet110, Resnet50, Resnet110, Vgg19, Wrn28_10};
        let of_vgg19 = VisionConfig {
            network: super::NetworkConfig { architecture, batch_norm },
            augment: AugmentConfig::default(),
            init: super::VisionInitConfig::default(),
            gradinit: GradInitConfig {
                optimizer: Target::Sgd,
                iterations: 390,
                eta: 0.1,
                gamma: 1.0,
                tau: match (architecture, batch_norm) {
                    (Vgg19, false) | (Densenet100, true) => 1e-2,
                    (Vgg19, true) => 1e-1,
                    (Resnet110, false) => 5e-2,
                    (Resnet110, true) | (Densenet100, false) => 5e-3,
                    (FixupResnet110, _) => 2e-2,
                    (Wrn28_10 | Resnet50, _) => 3e-3,
                },
                ..GradInitConfig::of(preset)
            },
            metainit: MetaInitConfig { iterations: 390, tau: 1e-2, scaled: Scaled::All, ..MetaInitConfig::default() },
            optimizer: OptimizerConfig {
                kind: OptimizerKind::Sgd,
                momentum: 0.9,
                weight_decay: 1e-4,
                decay_normalisation: false,
                clip_norm: if batch_norm { 0.0 } else { 1.0 },
                ..OptimizerConfig::default()
            },
            schedule: ScheduleConfig { kind: ScheduleKind::Cosine, learning_rate: 0.1, ..ScheduleConfig::default() },
            training: VisionTrainingConfig::default(),
            validation: super::VisionValidationConfig::default(),
        };
        let VisionConfig { augment, gradinit, metainit, schedule, training, .. } = of_vgg19.clone();
        match architecture {
            Vgg19 | FixupResnet110 => of_vgg19,
            // One epoch of MetaInit in halves of a batch.
            Resnet110 => {
                VisionConfig { metainit: MetaInitConfig { batch_size: 64, iterations: 782, ..metainit }, ..of_vgg19 }
            }
            Wrn28_10 => VisionConfig {
                augment: AugmentConfig { mixup: 1.0, ..augment },
                gradinit: GradInitConfig { batch_size: 64, iterations: 780, ..gradinit },
                ..of_vgg19
            },
            Densenet100 => VisionConfig {
                gradinit: GradInitConfig { iterations: 780, ..gradinit },
                metainit: MetaInitConfig { batch_size: 21, iterations: 2381, ..metainit },
                training: VisionTrainingConfig { batch_size: 64, ..training },
                ..of_vgg19
            },
            Resnet50 => VisionConfig {
                // Section 3.5: the step has the length η·γ. For CIFAR-10, where γ is 1, the published code agrees.
                gradinit: GradInitConfig {
                    batch_size: 128,
                    iterations: 2000,
                    gamma: 3.0,
                    direction_times_gamma: true,
                    ..gradinit
                },
                schedule: ScheduleConfig {
                    kind: ScheduleKind::Step,
                    steps: vec![1.0 / 3.0, 2.0 / 3.0],
                    step_factor: 0.1,
                    ..schedule
                },
                training: VisionTrainingConfig { max_epochs: 90, batch_size: 256, ..training },
                ..of_vgg19
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Configuration;

    fn parse(settings: &[&str]) -> crate::Result<VisionConfig> {
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        VisionConfig::parse("", "", &settings)
    }

    #[test]
    fn the_network_decides_what_is_not_given() {
        let config = parse(&["network.architecture=densenet100"]).unwrap();
        assert_eq!((config.training.batch_size, config.gradinit.tau, config.gradinit.iterations), (64, 1e-2, 780));
        let config = parse(&["network.architecture=resnet110", "network.batch_norm=false", "gradinit.tau=7"]).unwrap();
        assert_eq!((config.optimizer.clip_norm, config.gradinit.tau, config.metainit.batch_size), (1.0, 7.0, 64));
        let text = "[training]\nbatch_size = 9\n[network]\narchitecture = \"wrn-28-10\"\n";
        let config = VisionConfig::parse(text, "a.toml", &[]).unwrap();
        assert_eq!((config.training.batch_size, config.augment.mixup, config.gradinit.batch_size), (9, 1.0, 64));
        // FixUp's network has no normalisation, whether that is said or not.
        let config = parse(&["network.architecture=fixup-resnet110"]).unwrap();
        assert_eq!((config.network.batch_norm, config.optimizer.clip_norm), (false, 1.0));
        let config = parse(&["network.architecture=resnet50"]).unwrap();
        assert_eq!((config.training.max_epochs, config.gradinit.gamma, config.schedule.steps.len()), (90, 3.0, 2));
        assert_eq!(VisionConfig::default(), parse(&[]).unwrap());
    }

    /// A run whose file has no `metainit.scaled` scaled matrices alone, whatever the networks are trained with by now.
    #[test]
    fn a_file_that_a_run_wrote_keeps_its_meaning() {
        let text = "[network]\narchitecture = \"densenet100\"\n[metainit]\niterations = 390\n[training]\nseed = 3\n";
        let saved = VisionConfig::parse_saved(text, "config.toml", &[]).unwrap();
        assert_eq!(
            (saved.metainit.scaled, saved.metainit.batch_size, saved.training.batch_size),
            (Scaled::Matrices, 0, 128)
        );
        assert_eq!(VisionConfig::parse(text, "my.toml", &[]).unwrap().metainit.scaled, Scaled::All);
    }

    #[test]
    fn a_preset_leaves_the_numbers_of_the_network() {
        let (code, paper) = (parse(&[]).unwrap(), parse(&["gradinit.preset=paper"]).unwrap());
        assert_eq!(code.gradinit.preset, Preset::PublishedImageCode);
        assert!(code.gradinit.moments != paper.gradinit.moments && paper.gradinit.direction_times_gamma);
        for config in [code, paper] {
            let GradInitConfig { optimizer, iterations, eta, tau, gamma, .. } = config.gradinit;
            assert_eq!((optimizer, iterations, eta, tau, gamma), (Target::Sgd, 390, 0.1, 0.1, 1.0));
        }
        let error = parse(&["gradinit.preset=published-code"]).unwrap_err();
        assert!(error.to_string().contains("published-image-code") && error.exit_code() == 2, "{error}");
    }
}
