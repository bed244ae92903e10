//! What processes that train together wait for: the sum of their gradients, by its size, and the largest batch of each update.
//!
//!     mpirun -n 2 cargo bench --features mpi --bench processes -- [DATA [MAX_TOKENS]]

use std::time::Instant;

use nmt::config::Config;
use nmt::data::ParallelDataset;
use nmt::train::{Communicator, Mpi, TrainingData, wait_for_all};
use nmt::translation::TranslationData;
use tch::{Device, Kind, Tensor};

/// Sums of one size; the median of their times is printed.
const ROUNDS: usize = 15;

fn main() -> nmt::Result<()> {
    let processes = Mpi::join()?;
    let first = processes.rank() == 0;
    if first {
        println!("{} processes, the median of {ROUNDS} sums", processes.size());
        println!("{:>14} {:>10} {:>12} {:>22}", "numbers, fp32", "MiB", "seconds", "of one process, GB/s");
    }
    for count in [1, 1_000, 100_000, 1_000_000, 6_439_936, 20_000_000, 41_000_000] {
        let mut gradient = Tensor::ones([count], (Kind::Float, Device::Cpu));
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            wait_for_all(&processes)?;
            let start = Instant::now();
            processes.sum(&mut gradient)?;
            times.push(start.elapsed().as_secs_f64());
            let _ = gradient.fill_(1.0);
        }
        times.sort_by(f64::total_cmp);
        let (seconds, bytes) = (times[ROUNDS / 2], 4.0 * count as f64);
        if first {
            println!(
                "{count:>14} {:>10.2} {seconds:>12.6} {:>22.2}",
                bytes / f64::from(1 << 20),
                bytes / seconds / 1e9
            );
        }
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let (true, Some(folder)) = (first, arguments.first()) {
        let max_tokens = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(4096);
        waiting(folder.as_ref(), max_tokens)?;
    }
    Mpi::leave();
    Ok(())
}

/// Print how much larger than the mean the largest of so many batches is.
fn waiting(folder: &std::path::Path, max_tokens: usize) -> nmt::Result<()> {
    let dataset = ParallelDataset::open(folder, "train", None, None)?;
    let data = TranslationData::new(dataset, &Config::default(), max_tokens, Device::Cpu)?;
    let mut sizes = Vec::new();
    for epoch in 1..=20 {
        sizes.extend(data.epoch(epoch)?.iter().map(|batch| data.size(batch) as f64));
    }
    let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
    println!("\n{max_tokens} tokens a batch: cells of the largest batch of an update, over the mean of all batches");
    for together in [1, 2, 4, 8, 16, 32, 64] {
        let groups = sizes.chunks_exact(together);
        let count = groups.len() as f64;
        let largest: f64 = groups.map(|group| group.iter().copied().fold(0.0, f64::max)).sum();
        println!("{together:>4} processes {:.3}", largest / count / mean);
    }
    Ok(())
}
