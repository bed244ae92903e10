//! What a training step costs as work grows: tokens a batch, depth, width, vocabulary, sentence length; a table with the
//! exponent of the growth between neighbouring rows.
//!
//!     cargo bench --bench scaling -- [bf16|fp32] [rounds]

use std::time::Instant;

use nmt::data::collate;
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Transformer, TranslationBatch};
use nmt::optim::OptimizerConfig;
use nmt::task::{Mode, Task};
use tch::{Device, Kind};

#[derive(Clone, Copy)]
struct Size {
    sentences: usize,
    length: usize,
    layers: i64,
    width: i64,
    symbols: i64,
}

fn main() {
    nmt::machine::keep_freed_memory();
    let kind = if std::env::args().any(|argument| argument == "fp32") { Kind::Float } else { Kind::BFloat16 };
    let rounds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(3usize);
    let base = Size { sentences: 128, length: 16, layers: 3, width: 256, symbols: 8000 };
    println!("{kind:?}, {} threads; median of {rounds} steps, forward, backward and Adam", tch::get_num_threads());
    println!(
        "the base: {} x {} tokens, {} + {} layers, d {}, FFN {}, {} symbols\n",
        base.sentences,
        base.length,
        base.layers,
        base.layers,
        base.width,
        2 * base.width,
        base.symbols
    );
    println!("{:28} {:>9} {:>9} {:>9}", "", "", "seconds", "exponent");
    type Grow = fn(Size, usize) -> Size;
    let ways: [(&str, &[usize], Grow); 5] = [
        ("sentences (of 16 tokens)", &[32, 64, 128, 256, 512], |size, n| Size { sentences: n, ..size }),
        ("layers a side", &[1, 2, 4, 8], |size, n| Size { layers: n as i64, ..size }),
        ("width d, FFN 2d", &[128, 256, 512, 1024], |size, n| Size { width: n as i64, ..size }),
        ("vocabulary", &[2000, 4000, 8000, 16000, 32000], |size, n| Size { symbols: n as i64, ..size }),
        ("length, 2048 tokens in all", &[8, 16, 32, 64, 128, 256, 512], |size, n| Size {
            length: n,
            sentences: 2048 / n,
            ..size
        }),
    ];
    for (name, values, grow) in ways {
        let mut before: Option<(f64, f64)> = None;
        for &value in values {
            let seconds = step(grow(base, value), kind, rounds);
            let exponent =
                before.map_or(String::new(), |(n, s)| format!("{:.2}", (seconds / s).ln() / (value as f64 / n).ln()));
            println!("{name:28} {value:>9} {seconds:>9.3} {exponent:>9}");
            before = Some((value as f64, seconds));
        }
        println!();
    }
}

/// Seconds of a step, the median.
fn step(size: Size, kind: Kind, rounds: usize) -> f64 {
    let config = ModelConfig {
        embed_dim: size.width,
        ffn_dim: 2 * size.width,
        encoder_layers: size.layers,
        decoder_layers: size.layers,
        attention_dropout: 0.1,
        relu_dropout: 0.1,
        share_all_embeddings: true,
        ..ModelConfig::default()
    };
    let model = Transformer::new(&config, size.symbols, size.symbols, 0.1).expect("a model");
    let mut theta = draw_theta(&InitConfig::default(), model.layout(), 1);
    let mut optimizer = OptimizerConfig::default().build(&theta, model.layout());
    let last = size.symbols as usize - 4;
    let rows: Vec<Vec<i64>> = (0..size.sentences)
        .map(|i| {
            (0..size.length)
                .map(|j| if j + 1 == size.length { 2 } else { 4 + ((i * 31 + j * 17) % last) as i64 })
                .collect()
        })
        .collect();
    let pairs: Vec<(&[i64], &[i64])> = rows.iter().map(|row| (row.as_slice(), row.as_slice())).collect();
    let batch = TranslationBatch::new(&collate(&pairs, &(0..size.sentences).collect::<Vec<_>>()), Device::Cpu);
    let mut seconds: Vec<f64> = (0..=rounds)
        .map(|round| {
            let start = Instant::now();
            let (_, gradient) = model.gradient(&theta, &batch, Mode::train(kind, round as u64));
            optimizer.step(&mut theta, &(gradient / batch.tokens() as f64), 1e-5);
            start.elapsed().as_secs_f64()
        })
        .skip(1) // The first allocates.
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
