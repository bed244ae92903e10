//! The training pass without a graph against automatic differentiation of the plain model.
mod common;

use common::batch_of;
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Positions, Transformer, TranslationBatch};
use nmt::random::with_generator;
use nmt::task::{Mode, Task, gradient_by_graph};
use tch::{Kind, Tensor};

/// The largest distance between the two gradients of a block, relative to the block's norm; and that of the losses.
fn distances(config: &ModelConfig, batch: &TranslationBatch, mode: Mode) -> (f64, f64) {
    let model = Transformer::new(config, 64, 64, 0.1).unwrap();
    // Not Xavier's zeros and ones: every block has to matter. Without layer normalisation 0.1 more in every element makes
    // activations so large that two fp32 computations differ by more than 1e-3, and each as much from fp64.
    let theta = draw_theta(&InitConfig::default(), model.layout(), 3);
    let noise = with_generator(5, || theta.randn_like());
    let theta = &theta + noise * if config.layer_norm { 0.1 } else { 0.02 };
    let (loss, gradient) = model.gradient(&theta, batch, mode);
    let (plain_loss, plain) = gradient_by_graph(&model, &theta, batch, mode);
    let parts = model.layout().split(&gradient).into_iter().zip(model.layout().split(&plain));
    let mut worst = 0f64;
    for (block, (ours, plain)) in model.layout().blocks().iter().zip(parts) {
        // The gradient of a key's bias is rounding noise around 0: compare it with that of the weight.
        if block.name.ends_with("k_proj.bias") {
            assert!(ours.norm().double_value(&[]) < 0.05 * gradient.norm().double_value(&[]));
            continue;
        }
        let mut size = plain.norm().double_value(&[]);
        assert!(size > 0.0, "{} has no gradient: the test shows nothing", block.name);
        // The gradient of a scalar is a sum that cancels over every row and column.
        if block.shape == [1] {
            size = size.max(0.01 * gradient.norm().double_value(&[]));
        }
        worst = worst.max((ours - plain).norm().double_value(&[]) / size);
    }
    let value = |tensor: &Tensor| tensor.double_value(&[]);
    let relative = |a: &Tensor, b: &Tensor| (value(a) / value(b) - 1.0).abs();
    (worst, relative(&loss.sum, &plain_loss.sum).max(relative(&loss.nll, &plain_loss.nll)))
}

fn variants() -> Vec<ModelConfig> {
    let base = ModelConfig {
        embed_dim: 40, // neither heads nor rows fill whole vectors
        ffn_dim: 72,
        encoder_layers: 2,
        decoder_layers: 2,
        dropout: 0.3,
        attention_dropout: 0.1,
        relu_dropout: 0.1,
        max_positions: 128,
        ..ModelConfig::default()
    };
    vec![
        base.clone(),
        ModelConfig { w_skip: true, share_all_embeddings: true, ..base.clone() },
        ModelConfig { pre_norm: true, w_skip: true, share_decoder_input_output_embed: false, ..base.clone() },
        ModelConfig { layer_norm: false, positions: Positions::Marian, ..base.clone() },
        ModelConfig { layer_norm: false, fixup: true, w_skip: true, ..base },
    ]
}

#[test]
fn without_dropout_padding_changes_nothing() {
    let batch = batch_of(&[(5, 9), (17, 3), (1, 1), (33, 40), (8, 70)]);
    for config in variants() {
        let (gradient, loss) = distances(&config, &batch, Mode::evaluate(Kind::Float));
        assert!(gradient < 2e-5 && loss < 1e-6, "{gradient:e} {loss:e} {config:?}");
    }
}

#[test]
fn dropout_draws_the_same_masks_in_both() {
    // Of one length: rows are the same with and without padding.
    let batch = batch_of(&[(19, 23); 6]);
    for config in variants() {
        let (gradient, loss) = distances(&config, &batch, Mode::train(Kind::Float, 11));
        assert!(gradient < 2e-5 && loss < 1e-6, "{gradient:e} {loss:e} {config:?}");
        let none = Mode::evaluate(Kind::Float);
        let model = Transformer::new(&config, 64, 64, 0.1).unwrap();
        let theta = draw_theta(&InitConfig::default(), model.layout(), 3);
        let loss = |mode| model.gradient(&theta, &batch, mode).0.sum.double_value(&[]);
        assert!(loss(Mode::train(Kind::Float, 11)) != loss(none));
        assert!(loss(Mode::train(Kind::Float, 11)) != loss(Mode::train(Kind::Float, 12)));
    }
}

/// Oracle: the plain model in fp32; the plain model in bf16 says how far bf16 is from it.
#[test]
fn bf16_loses_no_more_than_automatic_differentiation_does() {
    let batch = batch_of(&[(19, 23); 6]);
    for config in variants() {
        let model = Transformer::new(&config, 64, 64, 0.1).unwrap();
        let theta = draw_theta(&InitConfig::default(), model.layout(), 3);
        let mode = |compute| Mode::train(compute, 11);
        let exact = gradient_by_graph(&model, &theta, &batch, mode(Kind::Float)).1;
        let distance = |gradient: &Tensor| (gradient - &exact).norm().double_value(&[]);
        let plain = distance(&gradient_by_graph(&model, &theta, &batch, mode(Kind::BFloat16)).1);
        let ours = distance(&model.gradient(&theta, &batch, mode(Kind::BFloat16)).1);
        // Two roundings of one sum differ by chance; a wrong term would be several times as far off.
        assert!(ours < 1.5 * plain && plain > 0.0, "{ours:e} {plain:e} {config:?}");
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let batch = batch_of(&[(5, 9), (17, 3), (1, 1), (33, 40), (8, 70)]);
    let config = &variants()[1];
    let model = Transformer::new(config, 64, 64, 0.1).unwrap();
    let theta = draw_theta(&InitConfig::default(), model.layout(), 3);
    let run = |threads| {
        tch::set_num_threads(threads);
        model.gradient(&theta, &batch, Mode::train(Kind::Float, 4)).1
    };
    let (one, two, again) = (run(1), run(2), run(2));
    assert!(two.equal(&again));
    // libtorch's matrix products may be split differently; nothing of ours is.
    assert!((&one - &two).abs().max().double_value(&[]) < 1e-4);
}
