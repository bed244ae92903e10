//! Processes that train one model together, here as threads of one: the run is that of one process that takes all batches.
mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};

use common::{assert_same_tensors, batch_of, tensors};
use nmt::init::{InitConfig, draw_theta};
use nmt::model::{ModelConfig, Transformer, TranslationBatch};
use nmt::optim::{OptimizerConfig, ScheduleConfig};
use nmt::params::{BlockKind, Layout};
use nmt::task::{Loss, Mode, Task};
use nmt::train::{
    ANOMALY, Alone, Checkpoint, Communicator, LAST, LoopConfig, Outcome, Run, TrainingData, Units, Validation, train,
};
use nmt::{Error, Result};
use tch::{Device, Kind, Tensor};

/// One of some threads that are held for processes.
struct Threads {
    rank: usize,
    barrier: Arc<Barrier>,
    tensors: Arc<Mutex<Vec<Tensor>>>,
}

impl Threads {
    fn new(size: usize) -> Vec<Threads> {
        let barrier = Arc::new(Barrier::new(size));
        let tensors = Arc::new(Mutex::new((0..size).map(|_| Tensor::new()).collect()));
        (0..size).map(|rank| Threads { rank, barrier: barrier.clone(), tensors: tensors.clone() }).collect()
    }

    fn exchange(&self, tensor: &mut Tensor, result: impl Fn(&[Tensor]) -> Tensor) -> Result<()> {
        self.tensors.lock().unwrap()[self.rank] = tensor.detach().copy();
        self.barrier.wait();
        let all = result(&self.tensors.lock().unwrap());
        self.barrier.wait();
        tch::no_grad(|| tensor.copy_(&all));
        Ok(())
    }
}

impl Communicator for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.tensors.lock().unwrap().len()
    }

    fn sum(&self, tensor: &mut Tensor) -> Result<()> {
        self.exchange(tensor, |all| all[1..].iter().fold(all[0].copy(), |sum, other| sum + other))
    }

    fn broadcast(&self, tensor: &mut Tensor) -> Result<()> {
        self.exchange(tensor, |all| all[0].copy())
    }
}

/// Seven batches an epoch, each written down with its seed when it is asked for, and when it is announced.
struct Sentences {
    asked: Mutex<Vec<(usize, u64)>>,
    announced: Mutex<Vec<(usize, u64)>>,
    fingerprint: &'static str,
}

impl Sentences {
    fn new(fingerprint: &'static str) -> Sentences {
        Sentences { asked: Mutex::default(), announced: Mutex::default(), fingerprint }
    }
}

impl TrainingData for Sentences {
    type Batch = TranslationBatch;

    fn epoch(&self, _: u64) -> Result<Vec<Vec<usize>>> {
        Ok((0..7).map(|index| vec![index]).collect())
    }

    fn prefetch(&self, indices: &[usize], seed: u64) {
        self.announced.lock().unwrap().push((indices[0], seed));
    }

    fn batch(&self, indices: &[usize], seed: u64) -> Result<TranslationBatch> {
        self.asked.lock().unwrap().push((indices[0], seed));
        let length = 3 + indices[0];
        Ok(batch_of(&[(length, length + 2), (length + 1, length)]))
    }

    fn units(&self) -> Units {
        Units { plural: "tokens", key: "target_tokens", loss: 1.0 }
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.into()
    }
}

fn settings(batches_per_update: usize) -> LoopConfig {
    LoopConfig {
        max_updates: 8,
        batches_per_update,
        compute: Kind::Float,
        log_every: 1,
        checkpoint_every: 3,
        validate_every: 4,
        higher_is_better: false,
        clip_norm: 1.0,
        schedule: ScheduleConfig { learning_rate: 1e-3, warmup_updates: 0, ..Default::default() },
        ..Default::default()
    }
}

/// Train a small Transformer with dropout; only the first process has the right θ to begin with.
fn translate(
    processes: &dyn Communicator,
    data: &Sentences,
    config: &LoopConfig,
    folder: &Path,
    signal: Option<i32>,
) -> Result<Outcome> {
    let sizes = ModelConfig {
        embed_dim: 32,
        ffn_dim: 64,
        attention_heads: 2,
        encoder_layers: 1,
        decoder_layers: 1,
        dropout: 0.3,
        ..Default::default()
    };
    let model = Transformer::new(&sizes, 64, 64, 0.1)?;
    let theta = draw_theta(&InitConfig::default(), model.layout(), 1 + processes.rank() as u64);
    let optimizer = OptimizerConfig::default().build(&theta, model.layout());
    let identity = BTreeMap::new();
    let run = Run { folder, identity: &identity, stop_after: None, processes };
    let validate = |theta: &Tensor| {
        assert_eq!(processes.rank(), 0, "the first validates");
        let value = theta.square().sum(Kind::Double).double_value(&[]);
        Ok(Validation { value, found: serde_json::Map::new(), text: String::new() })
    };
    train(&model, data, config, Checkpoint::start(theta, optimizer), run, validate, || signal)
}

/// Run `process` in so many threads, each with a folder of its own in `folder`, of which only the first exists: writing into
/// another one fails.
fn together<R: Send>(size: usize, folder: &Path, process: impl Fn(&dyn Communicator, &Path) -> R + Sync) -> Vec<R> {
    std::fs::create_dir_all(folder.join("0")).unwrap();
    std::thread::scope(|scope| {
        let process = &process;
        let of = |threads: Threads| {
            let own = folder.join(threads.rank.to_string());
            scope.spawn(move || process(&threads, &own))
        };
        let all: Vec<_> = Threads::new(size).into_iter().map(of).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What the first process's log says, but for times.
fn log(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let object = line.as_object_mut().unwrap();
        object.retain(|key, _| !key.starts_with("seconds") && !key.ends_with("_per_second"));
    }
    lines
}

#[test]
fn two_give_the_bits_of_one_that_takes_all_batches() {
    let lab = tempfile::tempdir().unwrap();
    let alone = lab.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    // 7 batches in groups of 2: at the end of an epoch the second process has none.
    let data = Sentences::new("a");
    translate(&Alone, &data, &settings(2), &alone, None).unwrap();
    let asked = std::mem::take(&mut *data.asked.lock().unwrap());

    let of_each: Vec<Vec<(usize, u64)>> = together(2, lab.path(), |processes, folder| {
        let data = Sentences::new("a");
        let outcome = translate(processes, &data, &settings(2), folder, None).unwrap();
        assert_eq!((outcome.updates, outcome.epochs, outcome.best.unwrap().1), (8, 2, 8));
        let asked = data.asked.into_inner().unwrap();
        let announced = data.announced.into_inner().unwrap();
        assert!(announced.len() > 3 && announced.iter().all(|batch| asked.contains(batch)), "{announced:?} {asked:?}");
        asked
    });
    assert_same_tensors(&alone.join(LAST), &lab.path().join("0").join(LAST));
    assert_eq!(log(&alone), log(&lab.path().join("0")));
    assert!(!lab.path().join("1").exists());

    // The first batch that each asks for is the largest, to try it.
    let mut of_both: Vec<(usize, u64)> = of_each.iter().flat_map(|asked| asked[1..].iter().copied()).collect();
    let mut expected = asked[1..].to_vec();
    of_both.sort();
    expected.sort();
    assert_eq!(of_both, expected, "without overlap, with the seeds of one process");
    let of_second: Vec<usize> = of_each[1][1..].iter().map(|(index, _)| *index).collect();
    assert_eq!(of_second, [1, 3, 5, 1, 3, 5], "{of_each:?}");
}

#[test]
fn three_give_the_gradient_of_one_but_for_rounding() {
    let lab = tempfile::tempdir().unwrap();
    let alone = lab.path().join("alone");
    std::fs::create_dir(&alone).unwrap();
    let settings = LoopConfig { max_updates: 1, ..settings(6) };
    translate(&Alone, &Sentences::new("a"), &settings, &alone, None).unwrap();
    together(3, lab.path(), |processes, folder| {
        translate(processes, &Sentences::new("a"), &settings, folder, None).unwrap();
    });
    // After one update Adam's first moment is a tenth of the gradient.
    let gradient = |folder: &Path| {
        let mut all: Vec<(String, Tensor)> = tensors(&folder.join(LAST)).into_iter().collect();
        all.retain(|(name, _)| name.starts_with("optimizer.m."));
        all.sort_by(|a, b| a.0.cmp(&b.0));
        Tensor::cat(&all.iter().map(|(_, tensor)| tensor.reshape([-1])).collect::<Vec<_>>(), 0)
    };
    let (expected, found) = (gradient(&alone), gradient(&lab.path().join("0")));
    let norm = |tensor: &Tensor| tensor.norm().double_value(&[]);
    assert!(norm(&expected) > 0.0 && norm(&(&expected - found)) < 1e-6 * norm(&expected));
}

#[test]
fn a_signal_to_one_stops_all_and_the_first_saves() {
    let lab = tempfile::tempdir().unwrap();
    let outcomes = together(2, lab.path(), |processes, folder| {
        let signal = (processes.rank() == 1).then_some(15);
        translate(processes, &Sentences::new("a"), &settings(2), folder, signal)
    });
    for outcome in outcomes {
        let Err(Error::Interrupted { signal: 15, saved }) = outcome else { panic!("{outcome:?}") };
        assert!(saved.contains("at update 1"), "{saved}");
    }
    let last = lab.path().join("0").join(LAST);
    assert_eq!(nmt::train::load_state(&last).unwrap().update, 1);
    assert_eq!(nmt::train::load_state(&last).unwrap().processes, 2);
}

#[test]
fn other_data_in_one_are_refused_by_all() {
    let lab = tempfile::tempdir().unwrap();
    let outcomes = together(3, lab.path(), |processes, folder| {
        let data = Sentences::new(if processes.rank() == 1 { "b" } else { "a" });
        translate(processes, &data, &settings(3), folder, None)
    });
    for outcome in outcomes {
        let message = outcome.unwrap_err().to_string();
        assert!(
            message.starts_with("process 1 of 3: expected the training data of process 0: a, found b; "),
            "{message}"
        );
    }
    assert_eq!(std::fs::read_dir(lab.path().join("0")).unwrap().count(), 0);
}

/// ½ Σ θᵢ² times the batch, and something that follows the batches.
struct Bowl(Layout, Layout, Tensor);

impl Task for Bowl {
    type Batch = f64;

    fn layout(&self) -> &Layout {
        &self.0
    }

    fn running(&self) -> Option<(&Layout, Tensor)> {
        Some((&self.1, self.2.shallow_clone()))
    }

    fn loss(&self, theta: &Tensor, batch: &f64, _: Mode) -> Loss {
        let mut running = self.2.shallow_clone();
        tch::no_grad(|| running.copy_(&(&self.2 * 0.5 + 0.5 * *batch)));
        let sum = theta.square().sum(Kind::Float) * 0.5 * *batch;
        Loss { nll: sum.detach(), sum, count: 1 }
    }
}

/// The batch is its number, and `bad` of them is no number.
struct Numbers(Option<usize>);

impl TrainingData for Numbers {
    type Batch = f64;

    fn epoch(&self, _: u64) -> Result<Vec<Vec<usize>>> {
        Ok((0..8).map(|index| vec![index]).collect())
    }

    fn batch(&self, indices: &[usize], _: u64) -> Result<f64> {
        Ok(if self.0 == Some(indices[0]) { f64::NAN } else { indices[0] as f64 })
    }

    fn units(&self) -> Units {
        Units { plural: "batches", key: "batches", loss: 1.0 }
    }
}

fn roll(processes: &dyn Communicator, data: &Numbers, detect_anomaly: bool, folder: &Path) -> (Result<Outcome>, f64) {
    let (mut layout, mut running) = (Layout::default(), Layout::default());
    layout.add("weight", &[1, 2], BlockKind::Weight);
    running.add("mean", &[1], BlockKind::Bias);
    let task = Bowl(layout, running, Tensor::zeros([1], (Kind::Float, Device::Cpu)));
    let theta = Tensor::ones([2], (Kind::Float, Device::Cpu));
    let optimizer = OptimizerConfig::default().build(&theta, task.layout());
    let config = LoopConfig { max_updates: 2, detect_anomaly, validate_every: 100, ..settings(2) };
    let identity = BTreeMap::new();
    let run = Run { folder, identity: &identity, stop_after: None, processes };
    let validate = |_: &Tensor| Ok(Validation { value: 0.0, found: serde_json::Map::new(), text: String::new() });
    let outcome = train(&task, data, &config, Checkpoint::start(theta, optimizer), run, validate, || None);
    (outcome, task.2.double_value(&[0]))
}

#[test]
fn running_statistics_are_averaged() {
    let lab = tempfile::tempdir().unwrap();
    let found = together(2, lab.path(), |processes, folder| roll(processes, &Numbers(None), false, folder).1);
    // Batches 0 and 1: 0 and ½, on average ¼. Batches 2 and 3: ⅛ + 1 and ⅛ + 3⁄2.
    assert_eq!(found, [1.375, 1.375]);
    // The third process has no batch, and no part in the average.
    let found =
        together(3, &lab.path().join("three"), |processes, folder| roll(processes, &Numbers(None), false, folder).1);
    assert_eq!(found, [1.375, 1.375, 1.375]);
}

#[test]
fn what_is_no_number_in_one_is_none_in_all() {
    let lab = tempfile::tempdir().unwrap();
    for (detect_anomaly, skipped) in [(false, Some(1)), (true, None)] {
        let lab = lab.path().join(detect_anomaly.to_string());
        let outcomes =
            together(2, &lab, |processes, folder| roll(processes, &Numbers(Some(3)), detect_anomaly, folder).0);
        for outcome in outcomes {
            match skipped {
                Some(count) => assert_eq!(outcome.unwrap().skipped, count),
                None => assert!(matches!(outcome, Err(Error::NonFinite { .. })), "{outcome:?}"),
            }
        }
        assert_eq!(lab.join("0").join(ANOMALY).exists(), detect_anomaly);
    }
}
