//! Updates whose numbers are not finite are skipped, counted, and end a run that does not recover.

use std::collections::BTreeMap;
use std::path::Path;

use nmt::optim::{OptimizerConfig, OptimizerKind, ScheduleConfig};
use nmt::params::{BlockKind, Layout};
use nmt::task::{Loss, Mode, Task};
use nmt::train::{
    ANOMALY, Checkpoint, LAST, LoopConfig, Outcome, Run, StopAfter, TrainingData, Units, Validation, train,
};
use tch::{Device, Kind, Tensor};

/// ½ Σ θᵢ² times the batch; it remembers the sum of all batches.
struct Bowl {
    layout: Layout,
    running_layout: Layout,
    running: Tensor,
}

impl Bowl {
    fn new() -> Bowl {
        let mut layout = Layout::default();
        layout.add("first.weight", &[1, 2], BlockKind::Weight);
        layout.add("second.weight", &[1, 2], BlockKind::Weight);
        let mut running_layout = Layout::default();
        running_layout.add("sum", &[1], BlockKind::RunningMean);
        Bowl { layout, running_layout, running: Tensor::zeros([1], (Kind::Float, Device::Cpu)) }
    }
}

impl Task for Bowl {
    type Batch = f64;
    fn layout(&self) -> &Layout {
        &self.layout
    }
    fn running(&self) -> Option<(&Layout, Tensor)> {
        Some((&self.running_layout, self.running.shallow_clone()))
    }
    fn loss(&self, theta: &Tensor, batch: &f64, _: Mode) -> Loss {
        let _ = self.running.shallow_clone().g_add_scalar_(*batch);
        let sum = theta.square().sum(Kind::Float) * 0.5 * *batch;
        Loss { nll: sum.detach(), sum, count: 1 }
    }
}

/// The batch is 1, but for these indices of ten.
struct Bad(&'static [usize], f64);

impl TrainingData for Bad {
    type Batch = f64;
    fn epoch(&self, _: u64) -> nmt::Result<Vec<Vec<usize>>> {
        Ok((0..10).map(|index| vec![index]).collect())
    }
    fn batch(&self, indices: &[usize], _: u64) -> nmt::Result<f64> {
        Ok(if self.0.contains(&indices[0]) { self.1 } else { 1.0 })
    }
    fn units(&self) -> Units {
        Units { plural: "batches", key: "batches", loss: 1.0 }
    }
}

fn run(data: &Bad, folder: &Path, detect_anomaly: bool) -> (nmt::Result<Outcome>, Vec<serde_json::Value>) {
    let (outcome, events, _) = run_with(data, folder, detect_anomaly, &OptimizerConfig::default(), 5e-4, None);
    (outcome, events)
}

fn run_with(
    data: &Bad,
    folder: &Path,
    detect_anomaly: bool,
    optimizer: &OptimizerConfig,
    learning_rate: f64,
    stop_after: Option<StopAfter>,
) -> (nmt::Result<Outcome>, Vec<serde_json::Value>, f64) {
    let task = Bowl::new();
    let theta = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let optimizer = optimizer.build(&theta, task.layout());
    // Runs that stop somewhere do not stop at a line of the log.
    let log_every = if stop_after.is_some() { 4 } else { 1 };
    let config = LoopConfig {
        max_updates: 15,
        compute: Kind::Float,
        log_every,
        checkpoint_every: 1,
        higher_is_better: false,
        detect_anomaly,
        tensorboard: false,
        schedule: ScheduleConfig { learning_rate, ..Default::default() },
        ..Default::default()
    };
    let validate = |theta: &Tensor| {
        let value = theta.square().sum(Kind::Float).double_value(&[]);
        Ok(Validation { value, found: serde_json::Map::new(), text: String::new() })
    };
    let identity = BTreeMap::new();
    let run = Run { folder, identity: &identity, stop_after, processes: &nmt::train::Alone };
    let outcome = train(&task, data, &config, Checkpoint::start(theta, optimizer), run, validate, || None);
    let log = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let events = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (outcome, events, task.running.double_value(&[0]))
}

/// What batch normalisation remembers, of a batch whose update is not made, would be in every evaluation after it.
#[test]
fn an_update_that_is_not_made_moves_no_running_statistics() {
    let folder = tempfile::tempdir().unwrap();
    let sgd = OptimizerConfig { kind: OptimizerKind::Sgd, ..Default::default() };
    let (outcome, _, running) = run_with(&Bad(&[2, 9], f64::NAN), folder.path(), false, &sgd, 1e-3, None);
    assert_eq!((outcome.unwrap().updates, running), (15, 15.0));
}

/// A validation that came to no number is no best one, and hides none.
#[test]
fn a_value_that_is_no_number_is_never_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let mut values = [f64::NAN, 3.0, f64::NAN].into_iter();
    let validate = |_: &Tensor| {
        let value = values.next().unwrap();
        Ok(Validation { value, found: serde_json::Map::new(), text: String::new() })
    };
    let (task, config) = (Bowl::new(), LoopConfig { max_updates: 25, compute: Kind::Float, ..Default::default() });
    let theta = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let optimizer = OptimizerConfig::default().build(&theta, task.layout());
    let identity = BTreeMap::new();
    let run = Run { folder: folder.path(), identity: &identity, stop_after: None, processes: &nmt::train::Alone };
    let data = Bad(&[], 1.0);
    let outcome = train(&task, &data, &config, Checkpoint::start(theta, optimizer), run, validate, || None);
    assert_eq!(outcome.unwrap().best, Some((3.0, 20)));
}

/// The validation where a run stops to go on later is one more than an uninterrupted run has: if it is no better, it costs no
/// patience.
#[test]
fn a_stop_costs_no_patience() {
    let folder = tempfile::tempdir().unwrap();
    let (task, data, identity) = (Bowl::new(), Bad(&[], 1.0), BTreeMap::new());
    let config = LoopConfig { max_updates: 50, patience: 2, compute: Kind::Float, ..Default::default() };
    let theta = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let optimizer = || OptimizerConfig::default().build(&theta, task.layout());
    let train_to = |checkpoint, stop_after| {
        let run = Run { folder: folder.path(), identity: &identity, stop_after, processes: &nmt::train::Alone };
        let validate = |_: &Tensor| Ok(Validation { value: 3.0, found: serde_json::Map::new(), text: String::new() });
        train(&task, &data, &config, checkpoint, run, validate, || None).unwrap()
    };
    // Validations at 10, the best, at 15, 20 and 30; an epoch has ten updates.
    let stopped = train_to(Checkpoint::start(theta.copy(), optimizer()), Some(StopAfter::Update(15)));
    assert_eq!((stopped.updates, stopped.reason), (15, "stop after"));
    let last = Checkpoint::load(&folder.path().join(LAST), &task, optimizer(), &identity).unwrap();
    let ended = train_to(last, None);
    assert_eq!((ended.updates, ended.reason), (30, "patience"));
}

/// What was trained before a validation that fails is kept, and the run that goes on has the log of one where none failed.
#[test]
fn a_validation_that_fails_is_made_up_for() {
    let (task, data, identity) = (Bowl::new(), Bad(&[], 1.0), BTreeMap::new());
    let config = LoopConfig { max_updates: 25, compute: Kind::Float, log_every: 4, ..Default::default() };
    let theta = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let optimizer = || OptimizerConfig::default().build(&theta, task.layout());
    let train_from = |folder: &Path, checkpoint, failing: usize| {
        let run = Run { folder, identity: &identity, stop_after: None, processes: &nmt::train::Alone };
        let mut calls = 0;
        let validate = |theta: &Tensor| {
            calls += 1;
            if calls == failing {
                return Err(nmt::Error::usage("a corrupt picture", ""));
            }
            let value = theta.square().sum(Kind::Float).double_value(&[]);
            Ok(Validation { value, found: serde_json::Map::new(), text: String::new() })
        };
        train(&task, &data, &config, checkpoint, run, validate, || None)
    };
    let events = |folder: &Path| -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(folder.join("log.jsonl")).unwrap();
        let without_times = |line| {
            let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
            event.as_object_mut().unwrap().retain(|key, _| !key.contains("second"));
            event
        };
        text.lines().map(without_times).collect()
    };
    let (whole, failed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    train_from(whole.path(), Checkpoint::start(theta.copy(), optimizer()), 0).unwrap();
    let error = train_from(failed.path(), Checkpoint::start(theta.copy(), optimizer()), 2).unwrap_err();
    assert!(error.to_string().contains("a corrupt picture"), "{error}");
    let load = || Checkpoint::load(&failed.path().join(LAST), &task, optimizer(), &identity).unwrap();
    assert_eq!((load().state.update, load().state.validation_owed), (20, Some(true)));
    // It may fail once more, and so may that at the end, where none is due.
    train_from(failed.path(), load(), 1).unwrap_err();
    train_from(failed.path(), load(), 2).unwrap_err();
    assert_eq!((load().state.update, load().state.validation_owed), (25, Some(false)));
    let ended = train_from(failed.path(), load(), 0).unwrap();
    assert_eq!((ended.updates, events(failed.path())), (25, events(whole.path())));
    let last = |folder: &Path| Checkpoint::load(&folder.join(LAST), &task, optimizer(), &identity).unwrap().theta;
    assert_eq!(last(failed.path()), last(whole.path()));
}

/// A batch that cannot be read ends a run behind a checkpoint of what was trained before it.
#[test]
fn a_batch_that_fails_loses_nothing_before_it() {
    struct Broken;
    impl TrainingData for Broken {
        type Batch = f64;
        fn epoch(&self, _: u64) -> nmt::Result<Vec<Vec<usize>>> {
            Ok((0..10).map(|index| vec![index]).collect())
        }
        fn batch(&self, indices: &[usize], _: u64) -> nmt::Result<f64> {
            if indices == [7] { Err(nmt::Error::usage("a corrupt picture", "")) } else { Ok(1.0) }
        }
        fn units(&self) -> Units {
            Units { plural: "batches", key: "batches", loss: 1.0 }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (task, identity) = (Bowl::new(), BTreeMap::new());
    let config = LoopConfig { max_updates: 30, compute: Kind::Float, ..Default::default() };
    let theta = Tensor::ones([4], (Kind::Float, Device::Cpu));
    let optimizer = || OptimizerConfig::default().build(&theta, task.layout());
    let run = Run { folder: folder.path(), identity: &identity, stop_after: None, processes: &nmt::train::Alone };
    let validate = |_: &Tensor| Ok(Validation { value: 0.0, found: serde_json::Map::new(), text: String::new() });
    let start = Checkpoint::start(theta.copy(), optimizer());
    train(&task, &Broken, &config, start, run, validate, || None).unwrap_err();
    let last = Checkpoint::load(&folder.path().join(LAST), &task, optimizer(), &identity).unwrap();
    assert_eq!((last.state.update, last.state.batches_done), (7, 7));
}

/// However many updates an epoch came to, it is where the run stops.
#[test]
fn a_run_stops_after_an_epoch_with_a_skipped_update() {
    let (sgd, stop) = (OptimizerConfig { kind: OptimizerKind::Sgd, ..Default::default() }, Some(StopAfter::Epoch(1)));
    // In the midst of it, or at its end: all updates are in the log.
    for bad in [&[4], &[9]] {
        let folder = tempfile::tempdir().unwrap();
        let (outcome, events, _) = run_with(&Bad(bad, f64::NAN), folder.path(), false, &sgd, 1e-3, stop);
        let outcome = outcome.unwrap();
        assert_eq!((outcome.updates, outcome.epochs, outcome.reason), (9, 1, "stop after"));
        let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
        assert_eq!((of("validation").len(), of("skipped").len()), (1, 1));
        assert_eq!(of("update").last().unwrap()["update"], 9);
    }
}

#[test]
fn single_ones_are_skipped_and_counted() {
    for bad in [f64::NAN, f64::INFINITY] {
        let folder = tempfile::tempdir().unwrap();
        // The last of an epoch, too, which is validated all the same.
        let (outcome, events) = run(&Bad(&[2, 3, 9], bad), folder.path(), false);
        let outcome = outcome.unwrap();
        assert_eq!((outcome.updates, outcome.skipped, outcome.epochs), (15, 6, 3));
        let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).collect::<Vec<_>>();
        assert_eq!((of("update").len(), of("skipped").len(), of("validation").len()), (15, 6, 3));
        let skipped = of("skipped")[1];
        assert_eq!(
            (&skipped["update"], &skipped["indices"][0], &skipped["skipped"]),
            (&3.into(), &3.into(), &2.into())
        );
        assert!(!folder.path().join(ANOMALY).exists());
    }
}

#[test]
fn three_in_a_row_end_the_run_with_what_there_is_to_inspect() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, events) = run(&Bad(&[4, 5, 6], f64::NAN), folder.path(), false);
    let error = outcome.unwrap_err().to_string();
    for part in ["not finite: the loss is NaN at update 5", "first.weight", "examples of the batch: 6", ANOMALY] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(events.len(), 4 + 3);
    // The last good state is whole beside it.
    assert!(folder.path().join(ANOMALY).exists() && folder.path().join(LAST).exists());
}

#[test]
fn anomaly_detection_stops_at_the_first_and_looks_at_the_optimiser() {
    let folder = tempfile::tempdir().unwrap();
    let (outcome, events) = run(&Bad(&[4], f64::NAN), folder.path(), true);
    assert!(outcome.unwrap_err().to_string().contains("at update 5") && events.len() == 5);
    // The gradient is finite; what the step leaves is not, which the next loss would show at the earliest.
    let folder = tempfile::tempdir().unwrap();
    let sgd = OptimizerConfig { kind: OptimizerKind::Sgd, ..Default::default() };
    let (outcome, events, _) = run_with(&Bad(&[0], 1e10), folder.path(), true, &sgd, 1e30, None);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("the step has left what is not finite at update 1"), "{error}");
    assert!(error.contains("first.weight") && events.len() == 1, "{error}");
}
