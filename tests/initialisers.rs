//! MetaInit and GradInit's options on a network whose derivatives are known by hand.

use nmt::config::Configuration;
use nmt::init::gradinit::{GammaUnit, GradInitConfig, Target, gradinit};
use nmt::init::metainit::{MetaInitConfig, Scaled, gradient_quotient, metainit};
use nmt::params::{BlockKind, Layout};
use nmt::task::{Loss, Mode, Task};
use tch::{Kind, Tensor};

/// The loss ½ Σ aᵢ θᵢ² of a matrix `[1, 2]` and a bias `[1]`: the gradient is a θ, the Hessian diag(a).
struct Bowl {
    layout: Layout,
    a: Tensor,
}

impl Bowl {
    fn new(a: [f32; 3]) -> Bowl {
        let mut layout = Layout::default();
        layout.add("weight", &[1, 2], BlockKind::Weight);
        layout.add("bias", &[1], BlockKind::Bias);
        Bowl { layout, a: Tensor::from_slice(&a) }
    }
}

impl Task for Bowl {
    type Batch = f64;

    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn loss(&self, theta: &Tensor, batch: &f64, _: Mode) -> Loss {
        let sum = (&self.a * theta.square()).sum(Kind::Float) * 0.5 * *batch;
        Loss { nll: sum.detach(), sum, count: 1 }
    }
}

#[test]
fn the_gradient_quotient_is_the_one_by_hand() {
    let task = Bowl::new([0.5, 2.0, 0.0]);
    let theta = Tensor::from_slice(&[3f32, -1.0, 7.0]).set_requires_grad(true);
    // g = (1.5, -2, 0), Hg = (0.75, -4, 0); ε 0.5 goes with the sign of g, and sgn(0) = 1:
    // |0.75/2 - 1| = 0.625, |2/-2.5 - 1| = 1.8, |0/0.5 - 1| = 1.
    let found = gradient_quotient(&task, &theta, &1.0, 0.5).double_value(&[]);
    assert!((found - (0.625 + 1.8 + 1.0) / 3.0).abs() < 1e-6, "{found}");
}

#[test]
fn metainit_lowers_the_quotient_by_the_matrices_alone() {
    // With loss ¼ Σ θ⁴ the quotient is |1 - 3θ²·θ³/θ³ - 1| = 3 θ²: it falls with the weights.
    struct Quartic(Bowl);
    impl Task for Quartic {
        type Batch = ();
        fn layout(&self) -> &Layout {
            &self.0.layout
        }
        fn loss(&self, theta: &Tensor, (): &(), _: Mode) -> Loss {
            let sum = theta.pow_tensor_scalar(4).sum(Kind::Float) * 0.25;
            Loss { nll: sum.detach(), sum, count: 1 }
        }
    }
    let task = Quartic(Bowl::new([0.0; 3]));
    let theta = Tensor::from_slice(&[0.5f32, -0.7, 0.3]);
    let config = MetaInitConfig { iterations: 60, tau: 0.01, epsilon: 1e-6, ..Default::default() };
    let mut quotients = Vec::new();
    let scales = metainit(
        &task,
        &theta,
        &config,
        || Ok(()),
        |_, quotient| {
            quotients.push(quotient);
            Ok(())
        },
    )
    .unwrap();
    assert!((quotients[0] - (0.25 + 0.49 + 0.09)).abs() < 1e-3, "{quotients:?}"); // 3 θ², the mean of three
    assert!(quotients.windows(2).all(|pair| pair[1] < pair[0]), "{quotients:?}");
    // Adam's first steps are τ each: 60 of them at most.
    assert!(scales[0] < 0.6 && scales[0] >= 0.4 - 1e-6, "{scales:?}");
    assert_eq!(scales[1], 1.0);
    let all = MetaInitConfig { scaled: Scaled::All, ..config };
    let scales = metainit(&task, &theta, &all, || Ok(()), |_, _| Ok(())).unwrap();
    assert!(scales.iter().all(|&scale| (0.4 - 1e-6..0.7).contains(&scale)), "{scales:?}");
}

/// The scales after one iteration, and the gradients they were moved by.
fn one_iteration(task: &Bowl, config: &GradInitConfig) -> (Vec<f64>, Vec<f64>, f64) {
    let theta = Tensor::from_slice(&[3f32, -1.0, 2.0]);
    let mut seen = (Vec::new(), 0.0);
    let config = GradInitConfig { iterations: 1, ..config.clone() };
    let scales = gradinit(
        task,
        &theta,
        &config,
        |_| Ok((1.0, 1.0)),
        |iteration| {
            seen = (iteration.scale_gradients.clone(), iteration.gamma);
            Ok(())
        },
    )
    .unwrap();
    (scales, seen.0, seen.1)
}

#[test]
fn the_exact_derivative_goes_through_the_step() {
    let task = Bowl::new([0.5, 2.0, 1.0]);
    let plain = GradInitConfig {
        optimizer: Target::Sgd,
        eta: 0.1,
        gamma: f64::INFINITY,
        normalised_direction: false,
        ..Default::default()
    };
    // θ' = θ - η a θ = (1 - η a) θ. With the step a constant dL/dm = Σ a θ' θ0; exactly it is Σ a θ' (1 - η a) θ0.
    let a = [0.5, 2.0, 1.0];
    let theta = [3.0, -1.0, 2.0];
    let term = |i: usize, exact: bool| {
        let factor: f64 = 1.0 - 0.1 * a[i];
        a[i] * factor * theta[i] * theta[i] * if exact { factor } else { 1.0 }
    };
    for exact in [false, true] {
        let (_, gradients, _) = one_iteration(&task, &GradInitConfig { second_order: exact, ..plain.clone() });
        let expected = [term(0, exact) + term(1, exact), term(2, exact)];
        for (found, expected) in gradients.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "exact {exact}: {found} for {expected}");
        }
    }
    // For the normalised direction the two differ as well, by finite differences of the loss after the step.
    let normalised = GradInitConfig { normalised_direction: true, second_order: true, ..plain };
    let (_, gradients, _) = one_iteration(&task, &normalised);
    let after = |m: [f64; 2]| {
        let theta: Vec<f64> = (0..3).map(|i| theta[i] * m[usize::from(i == 2)]).collect();
        let norm = (0..3).map(|i| (a[i] * theta[i]).powi(2)).sum::<f64>().sqrt();
        (0..3).map(|i| 0.5 * a[i] * (theta[i] - 0.1 * a[i] * theta[i] / norm).powi(2)).sum::<f64>()
    };
    let h = 1e-5;
    let expected = [
        (after([1.0 + h, 1.0]) - after([1.0 - h, 1.0])) / (2.0 * h),
        (after([1.0, 1.0 + h]) - after([1.0, 1.0 - h])) / (2.0 * h),
    ];
    for (found, expected) in gradients.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} for {expected}");
    }
}

#[test]
fn gamma_in_units_of_the_initial_norm() {
    let task = Bowl::new([0.5, 2.0, 1.0]);
    // ‖g‖₁ = 1.5 + 2 + 2.
    let config = GradInitConfig { gamma: 0.5, gamma_unit: GammaUnit::InitialNorm, ..Default::default() };
    let (_, _, gamma) = one_iteration(&task, &config);
    assert!((gamma - 2.75).abs() < 1e-6, "{gamma}");
}

#[test]
fn a_preset_is_under_the_keys_that_are_given() {
    use nmt::config::Config;
    use nmt::init::Moments;
    let text = "[gradinit]\npreset = \"published-code\"\nclip = 3.0\n";
    let config = Config::parse(text, "my.toml", &["gradinit.beta2=0.9".into()]).unwrap().gradinit;
    assert_eq!((config.moments, config.clip, config.beta2, config.eta), (Moments::Separate, 3.0, 0.9, 1e-3));
    let config = Config::parse("", "", &["gradinit.preset=published-code".into()]).unwrap().gradinit;
    assert!(config.untied_look_ahead && config.longer_first && config.clip == 0.0);
    // A setting of the command line decides over the file's.
    let config = Config::parse(text, "my.toml", &["gradinit.preset=paper".into()]).unwrap().gradinit;
    assert_eq!((config.moments, config.clip, config.beta2), (Moments::Shared, 3.0, 0.999));
    let error = Config::parse("", "", &["gradinit.preset=papers".into()]).unwrap_err().to_string();
    assert!(error.contains("gradinit.preset=papers") && error.contains("published-code"), "{error}");
}

#[test]
fn what_is_not_finite_is_named_instead_of_clamped() {
    let task = Bowl::new([0.5, 2.0, 1.0]);
    let theta = Tensor::from_slice(&[3f32, -1.0, 2.0]);
    // The loss on S is finite; on S̃ it is infinite.
    let config = GradInitConfig { iterations: 1, gamma: f64::INFINITY, ..Default::default() };
    let error = gradinit(&task, &theta, &config, |_| Ok((1.0, f64::INFINITY)), |_| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("not finite: GradInit: loss after the step"), "{error}");
    for (setting, expected) in [
        ("gradinit.beta1=1.0", "gradinit.beta1 has to be at least 0 and below 1"),
        ("metainit.beta2=1.0", "metainit.beta2 has to be"),
        ("gradinit.min_scale=-1.0", "gradinit.min_scale"),
        ("gradinit.tau=inf", "gradinit.tau"),
        ("gradinit.overlap=1.5", "gradinit.overlap"),
    ] {
        let error = nmt::config::Config::parse("", "", &[setting.into()]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // A preset is found however its setting is spelt.
    let config = nmt::config::Config::parse("", "", &["gradinit.preset = \"published-code\"".into()]).unwrap();
    assert!(config.gradinit.untied_look_ahead);
}
