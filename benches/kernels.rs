//! The kernels, one by one, at the sizes of transformer_iwslt_de_en and of a step of a search.
//!
//!     cargo bench --bench kernels

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use nmt::kernels::{
    AdamStep, AttentionShape, Continuations, Heads, Mask, Sum, adam, attention, best_continuations, cross_entropy,
    few_rows_linear, relu_dropout, sum_norm,
};
use nmt::text::moses::{Tokenizer, TokenizerOptions};
use tch::{Device, Kind, Tensor};

const ROWS: i64 = 4096;
const D: i64 = 512;
const SYMBOLS: i64 = 9712;

fn random(shape: &[i64], kind: Kind) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind)
}

fn dropout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dropout");
    group.throughput(Throughput::Elements((ROWS * D) as u64));
    for kind in [Kind::BFloat16, Kind::Float] {
        let (x, branch) = (random(&[ROWS, D], kind), random(&[ROWS, D], kind));
        let (scale, bias) = (random(&[D], Kind::Float), random(&[D], Kind::Float));
        let mask = Mask::new(1, 1, 0.3);
        group.bench_function(format!("with the sum and its normalisation, {kind:?}"), |bencher| {
            bencher
                .iter(|| sum_norm(Sum { x: &x, skip: None, branch: Some(&branch), mask, norm: Some((&scale, &bias)) }));
        });
        group.bench_function(format!("after ReLU, {kind:?}"), |bencher| {
            bencher.iter_batched(|| x.copy(), |mut x| relu_dropout(&mut x, mask), BatchSize::LargeInput);
        });
    }
}

fn attention_of_sentences(criterion: &mut Criterion) {
    let length = 16;
    let rows: Vec<_> = (0..ROWS as usize / length).map(|i| i * length..(i + 1) * length).collect();
    let shape = AttentionShape {
        heads: 4,
        head_width: D as usize / 4,
        queries: &rows,
        keys: &rows,
        longest: length,
        causal: true,
        mask: Mask::new(1, 1, 0.1),
    };
    for kind in [Kind::BFloat16, Kind::Float] {
        let joined = random(&[ROWS, 3 * D], kind);
        let part = |number: usize| Heads { rows: &joined, offset: number * D as usize };
        criterion.bench_function(&format!("attention, sentences of {length}, {kind:?}"), |bencher| {
            bencher.iter(|| attention(&shape, &part(0), &part(1), &part(2)));
        });
    }
}

fn loss(criterion: &mut Criterion) {
    let gold: Vec<i64> = (0..ROWS / 4).map(|i| i * 7 % SYMBOLS).collect();
    for kind in [Kind::BFloat16, Kind::Float] {
        let logits = random(&[ROWS / 4, SYMBOLS], kind);
        criterion.bench_function(&format!("cross-entropy and its gradient, 1024 rows, {kind:?}"), |bencher| {
            bencher.iter_batched(
                || logits.copy(),
                |mut logits| cross_entropy(&mut logits, &gold, 0.1, true),
                BatchSize::LargeInput,
            );
        });
    }
}

fn optimiser(criterion: &mut Criterion) {
    let n = 10_000_000;
    let [mut theta, gradient, mut m] = [0; 3].map(|_| random(&[n], Kind::Float));
    let mut v = gradient.square();
    let step =
        AdamStep { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, keep: 1.0, coupled_decay: 0.0, size: 1e-6, divide: true };
    let mut group = criterion.benchmark_group("Adam");
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function("10 million parameters", |bencher| {
        bencher.iter(|| adam(step, &mut theta, &gradient, &mut m, &mut v));
    });
}

fn beam_step(criterion: &mut Criterion) {
    for kind in [Kind::BFloat16, Kind::Float] {
        let (hidden, weights) = (random(&[5, D], kind), random(&[SYMBOLS, D], kind));
        criterion.bench_function(&format!("logits of a beam of 5, {kind:?}"), |bencher| {
            bencher.iter(|| few_rows_linear(&hidden, &weights, None));
        });
        let logits = random(&[64 * 5, SYMBOLS], kind);
        let sums = vec![-1.0; 64 * 5];
        let search =
            Continuations { sums: &sums, beam: 5, first_row_only: false, wanted: 10, forbidden: &[1], forced: None };
        criterion.bench_function(&format!("best continuations of 64 beams of 5, {kind:?}"), |bencher| {
            bencher.iter(|| best_continuations(&logits, &search));
        });
    }
}

fn tokenizer(criterion: &mut Criterion) {
    let moses = Tokenizer::new("de", &TokenizerOptions::default()).expect("German");
    let lines: Vec<String> = (0..1000)
        .map(|i| {
            format!(
                "Am {}. Mai um {} Uhr kostete das Haus, z.B. (Nr. {i}), \u{201e}nur\u{201c} {i},50 \u{20ac}!",
                i % 31,
                i % 24
            )
        })
        .collect();
    let mut group = criterion.benchmark_group("Moses");
    group.throughput(Throughput::Elements(lines.len() as u64));
    group.bench_function("tokenise 1000 lines", |bencher| {
        bencher.iter(|| lines.iter().map(|line| moses.tokenize(line).len()).sum::<usize>());
    });
}

criterion_group!(benches, dropout, attention_of_sentences, loss, optimiser, beam_step, tokenizer);
criterion_main!(benches);
