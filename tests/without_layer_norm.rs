//! The Transformer without layer normalisation, FixUp's scalars, and the initialisations of both.
//! (`tests/training_pass.rs` holds the pass without a graph against automatic differentiation for them too.)
mod common;

use std::path::Path;

use common::{batch_of, batch_of_pairs, pairs};
use nmt::config::{Config, Configuration};
use nmt::decode::{SearchConfig, beam_search};
use nmt::init::{fixup, t_fixup, xavier};
use nmt::model::{ModelConfig, Transformer};
use nmt::params::{BlockKind, Layout};
use nmt::random::with_generator;
use nmt::task::{Mode, Task, gradient_by_graph};
use tch::{Device, Kind, Tensor};

fn plain() -> ModelConfig {
    ModelConfig {
        embed_dim: 24,
        ffn_dim: 40,
        encoder_layers: 2,
        decoder_layers: 2,
        layer_norm: false,
        dropout: 0.0,
        max_positions: 64,
        ..ModelConfig::default()
    }
}

fn with_fixup() -> ModelConfig {
    ModelConfig { fixup: true, ..plain() }
}

/// θ where no scalar is 0 or 1.
fn theta(model: &Transformer, noise: f64) -> Tensor {
    let theta = xavier(model.layout(), 3);
    &theta + with_generator(5, || theta.randn_like()) * noise
}

#[test]
fn there_is_no_block_of_a_norm_and_three_scalars_a_branch() {
    let names = |config: &ModelConfig| -> Vec<(String, Vec<i64>)> {
        let model = Transformer::new(config, 64, 64, 0.1).unwrap();
        model.layout().blocks().iter().map(|block| (block.name.clone(), block.shape.clone())).collect()
    };
    let (without, with) = (names(&plain()), names(&with_fixup()));
    assert!(without.iter().all(|(name, _)| !name.contains("norm")));
    let scalars: Vec<_> = with.into_iter().filter(|block| !without.contains(block)).collect();
    assert_eq!(scalars.len(), 3 * (2 * 2 + 2 * 3));
    for name in [
        "encoder.layers.0.self_attn.fixup_multiplier",
        "encoder.layers.1.ffn.fixup_hidden_bias",
        "decoder.layers.1.encoder_attn.fixup_input_bias",
    ] {
        assert!(scalars.contains(&(name.into(), vec![1])), "{name}");
    }
}

/// Oracles: the decoder in libtorch's operations, and the loss of what was found, of the training graph.
#[test]
fn searches_agree_with_each_other_and_with_the_loss() {
    let sources: Vec<Vec<i64>> = pairs(&[(5, 1), (17, 1), (1, 1), (9, 1)]).into_iter().map(|pair| pair.0).collect();
    let width = sources.iter().map(Vec::len).max().unwrap();
    let padded: Vec<i64> = sources.iter().flat_map(|ids| [vec![1; width - ids.len()], ids.clone()].concat()).collect();
    for config in [plain(), with_fixup(), ModelConfig { w_skip: true, ..with_fixup() }] {
        let model = Transformer::new(&config, 64, 64, 0.0).unwrap();
        let theta = theta(&model, 0.1);
        let weights = model.weights(&theta, Kind::Float);
        let search = SearchConfig { beam: 4, ..SearchConfig::default() };
        let mut ours = model.start_search(&weights, &padded, width, Device::Cpu);
        let mut plain = model.start_plain_search(&weights, &padded, width, Device::Cpu);
        let ours = beam_search(&model, ours.as_mut(), sources.len(), width, &search).unwrap();
        let plain = beam_search(&model, plain.as_mut(), sources.len(), width, &search).unwrap();
        for ((ours, plain), source) in ours.iter().zip(&plain).zip(&sources) {
            assert_eq!(ours.len(), 4);
            for (ours, plain) in ours.iter().zip(plain) {
                assert_eq!(ours.tokens, plain.tokens);
                assert!((ours.score / plain.score - 1.0).abs() < 1e-5, "{} {}", ours.score, plain.score);
                let batch = batch_of_pairs(&[(source.clone(), ours.tokens.clone())]);
                let nll = model.loss(&theta, &batch, Mode::evaluate(Kind::Float)).nll.double_value(&[]);
                let found: f64 = ours.positional_scores.iter().map(|&score| -f64::from(score)).sum();
                assert!((found / nll - 1.0).abs() < 1e-4, "{found} {nll}");
            }
        }
    }
}

#[test]
fn gradients_of_the_scalars_are_differences_of_the_loss() {
    let model = Transformer::new(&with_fixup(), 64, 64, 0.1).unwrap();
    let (theta, batch) = (theta(&model, 0.02), batch_of(&[(7, 9), (3, 12), (15, 4)]));
    let mode = Mode::evaluate(Kind::Float);
    let loss = |theta: &Tensor| model.loss(theta, &batch, mode).sum.double_value(&[]);
    let (by_hand, by_graph) =
        (model.gradient(&theta, &batch, mode).1, gradient_by_graph(&model, &theta, &batch, mode).1);
    let mut compared = 0;
    for block in model.layout().blocks() {
        if !matches!(block.kind, BlockKind::BranchScale | BlockKind::BranchBias) {
            continue;
        }
        let step = 0.002;
        let moved = |by: f64| {
            let moved = theta.copy();
            let _ = moved.narrow(0, block.offset, 1).g_add_scalar_(by);
            loss(&moved)
        };
        let difference = (moved(step) - moved(-step)) / (2.0 * step);
        for gradient in [&by_hand, &by_graph] {
            let gradient = gradient.double_value(&[block.offset]);
            // Between the two values lie bends of ReLUs, and the loss is rounded, by each processor otherwise.
            let distance = (gradient - difference).abs();
            assert!(distance < 0.1 + 0.01 * difference.abs(), "{}: {gradient} {difference}", block.name);
        }
        compared += usize::from(difference.abs() > 1.0);
    }
    assert!(compared >= 25, "{compared} of 30 gradients are large enough to show anything");
}

/// The largest absolute value and the root mean square of the blocks whose names start and end like this.
fn sizes(layout: &Layout, theta: &Tensor, start: &str, end: &str) -> (f64, f64) {
    let parts = layout.split(theta);
    let chosen: Vec<&Tensor> = layout
        .blocks()
        .iter()
        .zip(&parts)
        .filter(|(block, _)| block.name.starts_with(start) && block.name.ends_with(end))
        .map(|(_, part)| part)
        .collect();
    assert!(!chosen.is_empty(), "{start}…{end}");
    let all = Tensor::cat(&chosen, 0).to_kind(Kind::Double);
    (all.abs().max().double_value(&[]), all.square().mean(Kind::Double).double_value(&[]).sqrt())
}

/// Assert that the blocks are drawn uniformly from ±bound.
fn uniform(layout: &Layout, theta: &Tensor, (start, end): (&str, &str), bound: f64) {
    let (largest, root) = sizes(layout, theta, start, end);
    assert!(largest <= bound * 1.000_001 && largest > 0.97 * bound, "{start}…{end}: {largest} for ±{bound}");
    assert!((root * 3f64.sqrt() / bound - 1.0).abs() < 0.06, "{start}…{end}: {root} for ±{bound}");
}

fn normal(layout: &Layout, theta: &Tensor, name: &str, deviation: f64) {
    let (_, root) = sizes(layout, theta, name, name);
    assert!((root / deviation - 1.0).abs() < 0.02, "{name}: {root} for {deviation}");
}

fn zero(layout: &Layout, theta: &Tensor, start: &str, end: &str) {
    assert_eq!(sizes(layout, theta, start, end).0, 0.0, "{start}…{end}");
}

/// Worked out by hand: with d = 12 Xavier's bound of a matrix [12, 12] is √(6/24) = 1/2, and of [84, 12] √(6/96) = 1/4; an
/// embedding's deviation is 1/√12.
fn of_twelve(encoder_layers: i64, decoder_layers: i64) -> ModelConfig {
    ModelConfig { embed_dim: 12, ffn_dim: 84, encoder_layers, decoder_layers, ..plain() }
}

#[test]
fn t_fixup_scales_by_depth() {
    // Encoder: 0.67 · 16^(-1/4) = 0.335. Decoder: 36^(-1/4) = 1/√6.
    let config = ModelConfig { share_decoder_input_output_embed: false, ..of_twelve(16, 4) };
    let model = Transformer::new(&config, 2000, 1000, 0.1).unwrap();
    let (layout, theta) = (model.layout(), t_fixup(model.layout(), 3));
    let decoder = 1.0 / 6f64.sqrt();
    for part in ["self_attn.v_proj.weight", "self_attn.out_proj.weight"] {
        uniform(layout, &theta, ("encoder.", part), 0.1675);
        uniform(layout, &theta, ("decoder.", part), 0.5 * decoder);
    }
    for part in ["encoder_attn.v_proj.weight", "encoder_attn.out_proj.weight"] {
        uniform(layout, &theta, ("decoder.", part), 0.5 * decoder);
    }
    for part in ["fc1.weight", "fc2.weight"] {
        uniform(layout, &theta, ("encoder.", part), 0.08375);
        uniform(layout, &theta, ("decoder.", part), 0.25 * decoder);
    }
    for part in ["q_proj.weight", "k_proj.weight"] {
        uniform(layout, &theta, ("encoder.", part), 0.5 / 2f64.sqrt());
        uniform(layout, &theta, ("decoder.", part), 0.5 / 2f64.sqrt());
    }
    normal(layout, &theta, "encoder.embed_tokens.weight", decoder / 12f64.sqrt());
    normal(layout, &theta, "decoder.embed_tokens.weight", decoder / 12f64.sqrt());
    normal(layout, &theta, "decoder.output_projection.weight", 1.0 / 12f64.sqrt());
    for bias in ["out_proj.bias", "fc1.bias", "fc2.bias"] {
        zero(layout, &theta, "", bias);
    }
    assert!(theta.equal(&t_fixup(layout, 3)) && !theta.equal(&t_fixup(layout, 4)));

    // Tables that are one are scaled once.
    let model = Transformer::new(&ModelConfig { share_all_embeddings: true, ..config }, 2000, 2000, 0.1).unwrap();
    let theta = t_fixup(model.layout(), 3);
    normal(model.layout(), &theta, "encoder.embed_tokens.weight", decoder / 12f64.sqrt());
}

#[test]
fn fixup_begins_branches_at_zero() {
    // L = 2 · 8 + 3 · 16 = 64: L^(-1/2) = 1/8, L^(-1/6) = 1/2.
    let config = ModelConfig { fixup: true, share_decoder_input_output_embed: false, ..of_twelve(8, 16) };
    let model = Transformer::new(&config, 2000, 1000, 0.1).unwrap();
    let (layout, theta) = (model.layout(), fixup(model.layout(), 3));
    for stack in ["encoder.", "decoder."] {
        for part in ["q_proj.weight", "k_proj.weight", "v_proj.weight"] {
            uniform(layout, &theta, (stack, part), 0.25 / 2f64.sqrt());
        }
        uniform(layout, &theta, (stack, "fc1.weight"), 0.03125);
        for part in ["out_proj.weight", "fc2.weight", "bias"] {
            zero(layout, &theta, stack, part);
        }
        normal(layout, &theta, &format!("{stack}embed_tokens.weight"), 1.0 / 12f64.sqrt());
    }
    zero(layout, &theta, "decoder.", "output_projection.weight");
    assert_eq!(sizes(layout, &theta, "", "fixup_multiplier"), (1.0, 1.0));

    // A tied output projection stays an embedding. What comes out of the decoder is what went in: the source is not read.
    let model =
        Transformer::new(&ModelConfig { share_decoder_input_output_embed: true, ..config }, 64, 64, 0.1).unwrap();
    let theta = fixup(model.layout(), 3);
    let loss = |source: Vec<i64>, theta: &Tensor| {
        let batch = batch_of_pairs(&[(source, vec![9, 8, 7, 2])]);
        model.loss(theta, &batch, Mode::evaluate(Kind::Float)).sum.double_value(&[])
    };
    assert_eq!(loss(vec![4, 5, 6, 2], &theta), loss(vec![60, 2], &theta));
    let noise = &theta + with_generator(5, || theta.randn_like()) * 0.1;
    assert!(loss(vec![4, 5, 6, 2], &noise) != loss(vec![60, 2], &noise));
}

#[test]
fn wrong_combinations_are_refused_and_recipes_are_not() {
    for (settings, expected) in [
        (&["model.layer_norm=false", "model.pre_norm=true"][..], "model.pre_norm = true says where"),
        (&["model.fixup=true"], "set model.layer_norm=false"),
        (&["init.method=t-fixup"], "found model.layer_norm = true"),
        (&["init.method=fixup", "model.layer_norm=false"], "found model.fixup = false"),
    ] {
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        let error = Config::parse("", "", &settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{settings:?}: {error}");
        assert_eq!(error.exit_code(), 2);
    }
    for (recipe, fixup) in [("iwslt14_t_fixup", false), ("iwslt14_fixup", true)] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/{recipe}.toml"));
        let model = Config::load(Some(&path), &[]).unwrap().model;
        assert!(!model.layer_norm && model.fixup == fixup, "{recipe}");
    }
    // What runs of before the two keys saved.
    let old = Config::parse("[model]\npre_norm = true\nw_skip = true\n", "config.toml", &[]).unwrap();
    assert!(old.model.layer_norm && !old.model.fixup);
}
