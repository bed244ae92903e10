//! One iteration of GradInit beside one training step of the same batch: seconds, and the peak memory of a process that does
//! nothing else. Of `transformer_iwslt_de_en`, or of an image network.
//!
//!     cargo bench --bench gradinit_cost -- [sentences] [length] [rounds]
//!     cargo bench --bench gradinit_cost -- vgg19|resnet110|... [no-bn] [pictures] [rounds]
//!
//! S and S̃ are as large as the training step's batch. GradInit computes in fp32; the step is timed in fp32 and in bf16.

use std::process::Command;
use std::time::Instant;

use nmt::data::collate;
use nmt::init::gradinit::{GradInitConfig, Target, gradinit};
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Transformer, TranslationBatch};
use nmt::optim::{OptimizerConfig, OptimizerKind};
use nmt::task::{Mode, Task};
use nmt::vision::{Architecture, Classifier, PictureBatch, kaiming};
use tch::{Device, Kind, Tensor};

const SYMBOLS: i64 = 9712;
const WORKS: [&str; 4] = ["training-step-fp32", "training-step-bf16", "objective", "constraint"];

fn main() {
    nmt::machine::keep_freed_memory();
    let given: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<usize> = given.iter().filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let Some(work) = WORKS.iter().find(|work| given.iter().any(|argument| argument == *work)) else {
        return table(&given);
    };
    let network = Architecture::ALL.into_iter().find(|network| given.iter().any(|argument| argument == network.name()));
    match network {
        Some(network) => {
            let batch_norm = !given.iter().any(|argument| argument == "no-bn");
            let classifier = Classifier::new(network, batch_norm, network.pictures().1, Device::Cpu);
            let theta = kaiming(network, classifier.layout(), 1);
            let pictures = number(0, 128);
            one(work, &classifier, theta, OptimizerKind::Sgd, number(1, 3), |first| {
                picture_batch(network, pictures, first)
            });
        }
        None => {
            let (sentences, length) = (number(0, 128), number(1, 16));
            let config = ModelConfig {
                attention_dropout: 0.1,
                relu_dropout: 0.1,
                share_all_embeddings: true,
                ..ModelConfig::default()
            };
            let model = Transformer::new(&config, SYMBOLS, SYMBOLS, 0.1).expect("a model");
            let theta = draw_theta(&InitConfig::default(), model.layout(), 1);
            let batch = |first| sentence_batch(sentences, length, first);
            one(work, &model, theta, OptimizerKind::Adam, number(2, 3), batch);
        }
    }
}

/// One line for each kind of work, by this program once more.
fn table(given: &[String]) {
    println!("{}, {} threads", given.join(" "), tch::get_num_threads());
    println!("| | seconds | beside the fp32 step | peak memory, MiB |\n|---|---|---|---|");
    let mut first = None;
    for work in WORKS {
        let program = std::env::current_exe().expect("this program");
        let output = Command::new(program).arg(work).args(given).output().expect("this program again");
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [seconds, mebibytes] = found[..] else {
            panic!("{work}: {text}{}", String::from_utf8_lossy(&output.stderr))
        };
        let first = *first.get_or_insert(seconds);
        println!("| {work} | {seconds:.2} | {:.2} | {mebibytes:.0} |", seconds / first);
    }
}

/// The median seconds of one piece of work, and the peak memory so far. `batch` makes the batch with this number.
fn one<T: Task>(
    work: &str,
    task: &T,
    mut theta: Tensor,
    optimizer: OptimizerKind,
    rounds: usize,
    batch: impl Fn(usize) -> T::Batch,
) {
    let mut seconds = Vec::new();
    match work {
        "objective" | "constraint" => {
            // A bound that no norm reaches, or that every norm is above.
            let gamma = if work == "objective" { f64::INFINITY } else { 1e-9 };
            let (target, eta) = match optimizer {
                OptimizerKind::Sgd => (Target::Sgd, 0.1),
                _ => (Target::Adam, GradInitConfig::default().eta),
            };
            let iterations = rounds as u64 + 1;
            let settings = GradInitConfig { iterations, gamma, optimizer: target, eta, ..GradInitConfig::default() };
            let mut start = Instant::now();
            let draw = |_| Ok((batch(0), batch(1)));
            gradinit(task, &theta, &settings, draw, |_| {
                seconds.push(start.elapsed().as_secs_f64());
                start = Instant::now();
                Ok(())
            })
            .expect("GradInit");
        }
        _ => {
            let kind = if work.ends_with("bf16") { Kind::BFloat16 } else { Kind::Float };
            let settings = OptimizerConfig { kind: optimizer, ..OptimizerConfig::default() };
            let mut optimizer = settings.build(&theta, task.layout());
            for round in 0..=rounds {
                let start = Instant::now();
                let batch = batch(round);
                let (loss, mut gradient) = task.gradient(&theta, &batch, Mode::train(kind, round as u64));
                gradient /= loss.count as f64;
                optimizer.step(&mut theta, &gradient, 1e-5);
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    let mut warm = seconds.split_off(1);
    warm.sort_by(f64::total_cmp);
    println!("{} {}", warm[warm.len() / 2], peak_memory());
}

/// Pictures of noise.
fn picture_batch(network: Architecture, pictures: usize, number: usize) -> PictureBatch {
    let (size, classes) = network.pictures();
    tch::manual_seed(number as i64);
    let options = (Kind::Float, Device::Cpu);
    PictureBatch {
        pictures: Tensor::randn([pictures as i64, 3, size, size], options),
        classes: Tensor::randint(classes, [pictures as i64], (Kind::Int64, Device::Cpu)),
        mixed: None,
    }
}

/// Sentences of `length` tokens each.
fn sentence_batch(sentences: usize, length: usize, number: usize) -> TranslationBatch {
    let row = |i: usize| -> Vec<i64> {
        (0..length).map(|j| if j + 1 == length { 2 } else { 4 + ((i * 31 + j * 17) % 9000) as i64 }).collect()
    };
    let rows: Vec<Vec<i64>> = (number..number + sentences).map(row).collect();
    let pairs: Vec<(&[i64], &[i64])> = rows.iter().map(|row| (row.as_slice(), row.as_slice())).collect();
    TranslationBatch::new(&collate(&pairs, &(0..sentences).collect::<Vec<_>>()), Device::Cpu)
}

/// MiB.
fn peak_memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"));
    field.and_then(|kibibytes| kibibytes.trim().parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
