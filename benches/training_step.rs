//! One training step of `transformer_iwslt_de_en` (fairseq's recipe), in tokens a second: without a graph and by
//! automatic differentiation, in bf16 and fp32, in turn; beside the rate of the matrix products.
//!
//!     cargo bench --bench training_step -- [sentences] [length] [rounds] [bf16-pass|bf16-graph|fp32-pass|fp32-graph]

use std::time::Instant;

use nmt::data::collate;
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Transformer, TranslationBatch};
use nmt::optim::OptimizerConfig;
use nmt::task::{Loss, Mode, Task, gradient_by_graph};
use tch::{Device, Kind, Tensor};

const SYMBOLS: i64 = 9712;

fn main() {
    nmt::machine::keep_freed_memory();
    let only = std::env::args().find(|argument| argument.starts_with("bf16") || argument.starts_with("fp32"));
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (sentences, length, rounds) = (number(0, 256), number(1, 16), number(2, 3));
    let config =
        ModelConfig { attention_dropout: 0.1, relu_dropout: 0.1, share_all_embeddings: true, ..ModelConfig::default() };
    let model = Transformer::new(&config, SYMBOLS, SYMBOLS, 0.1).expect("a model");
    let mut theta = draw_theta(&InitConfig::default(), model.layout(), 1);
    let mut optimizer = OptimizerConfig::default().build(&theta, model.layout());
    let rows: Vec<Vec<i64>> = (0..sentences)
        .map(|i| (0..length).map(|j| if j + 1 == length { 2 } else { 4 + ((i * 31 + j * 17) % 9000) as i64 }).collect())
        .collect();
    let pairs: Vec<(&[i64], &[i64])> = rows.iter().map(|row| (row.as_slice(), row.as_slice())).collect();
    let batch = TranslationBatch::new(&collate(&pairs, &(0..sentences).collect::<Vec<_>>()), Device::Cpu);
    println!("{} target tokens a step, {} threads", batch.tokens(), tch::get_num_threads());

    for round in 0..=rounds {
        for (name, kind) in [("bf16", Kind::BFloat16), ("fp32", Kind::Float)] {
            let rate = product_rate(kind);
            type Gradient<'a> = &'a dyn Fn(&Tensor, Mode) -> (Loss, Tensor);
            let ways: [(&str, Gradient); 2] = [
                ("pass", &|theta, mode| model.gradient(theta, &batch, mode)),
                ("graph", &|theta, mode| gradient_by_graph(&model, theta, &batch, mode)),
            ];
            for (way, gradient) in ways {
                if only.as_ref().is_some_and(|only| *only != format!("{name}-{way}")) {
                    continue;
                }
                let start = Instant::now();
                let (_, g) = gradient(&theta, Mode::train(kind, round as u64));
                let middle = start.elapsed().as_secs_f64();
                let step = &g / batch.tokens() as f64;
                optimizer.step(&mut theta, &step, 1e-5);
                let seconds = start.elapsed().as_secs_f64();
                if round > 0 {
                    let used = flops(&config, sentences, length) / seconds / 1e9;
                    println!(
                        "{name} {way}: {:.0} tokens/s, {seconds:.2} s (optimiser {:.3} s), {used:.0} GFLOP/s of {rate:.0} in products",
                        batch.tokens() as f64 / seconds,
                        seconds - middle
                    );
                }
            }
        }
    }
}

/// Products of a forward and a backward pass (three times the forward pass), attention included.
fn flops(config: &ModelConfig, sentences: usize, length: usize) -> f64 {
    let (d, ffn, t) = (config.embed_dim as f64, config.ffn_dim as f64, length as f64);
    let n = (sentences * length) as f64;
    let attention = 4.0 * d * d + 2.0 * t * d;
    let encoder = config.encoder_layers as f64 * (attention + 2.0 * d * ffn);
    let decoder = config.decoder_layers as f64 * (2.0 * attention + 2.0 * d * ffn);
    6.0 * n * (encoder + decoder + d * SYMBOLS as f64)
}

/// GFLOP/s of a product of the size of a feed-forward layer.
fn product_rate(kind: Kind) -> f64 {
    let tensor = |rows, columns| Tensor::randn([rows, columns], (Kind::Float, Device::Cpu)).to_kind(kind);
    let (x, w) = (tensor(4096, 512), tensor(1024, 512));
    let _ = x.linear(&w, None::<Tensor>);
    let start = Instant::now();
    for _ in 0..10 {
        let _ = x.linear(&w, None::<Tensor>);
    }
    10.0 * 2.0 * 4096.0 * 512.0 * 1024.0 / start.elapsed().as_secs_f64() / 1e9
}
