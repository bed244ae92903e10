//! A batch is prepared while the one before it is computed with.

use std::cell::RefCell;
use std::collections::BTreeMap;

use nmt::optim::OptimizerConfig;
use nmt::params::{BlockKind, Layout};
use nmt::task::{Loss, Mode, Task};
use nmt::train::{Alone, Checkpoint, LoopConfig, Run, TrainingData, Units, Validation, train};
use tch::{Device, Kind, Tensor};

#[derive(Debug, Clone, PartialEq)]
enum Call {
    Prefetch(usize, u64),
    Batch(usize, u64),
    Loss,
}

struct Square<'a>(Layout, &'a RefCell<Vec<Call>>);

impl Task for Square<'_> {
    type Batch = ();
    fn layout(&self) -> &Layout {
        &self.0
    }
    fn loss(&self, theta: &Tensor, _: &(), _: Mode) -> Loss {
        self.1.borrow_mut().push(Call::Loss);
        let sum = theta.square().sum(Kind::Float);
        Loss { nll: sum.detach(), sum, count: 1 }
    }
}

/// Five batches an epoch.
struct Recorded<'a>(&'a RefCell<Vec<Call>>);

impl TrainingData for Recorded<'_> {
    type Batch = ();
    fn epoch(&self, _: u64) -> nmt::Result<Vec<Vec<usize>>> {
        Ok((0..5).map(|index| vec![index]).collect())
    }
    fn batch(&self, indices: &[usize], seed: u64) -> nmt::Result<()> {
        self.0.borrow_mut().push(Call::Batch(indices[0], seed));
        Ok(())
    }
    fn prefetch(&self, indices: &[usize], seed: u64) {
        self.0.borrow_mut().push(Call::Prefetch(indices[0], seed));
    }
    fn units(&self) -> Units {
        Units { plural: "batches", key: "batches", loss: 1.0 }
    }
}

#[test]
fn the_next_batch_is_asked_for_before_the_loss_of_this_one() {
    let (folder, calls) = (tempfile::tempdir().unwrap(), RefCell::new(Vec::new()));
    let mut layout = Layout::default();
    layout.add("weight", &[1, 2], BlockKind::Weight);
    let task = Square(layout, &calls);
    let theta = Tensor::ones([2], (Kind::Float, Device::Cpu));
    let checkpoint = Checkpoint::start(theta.copy(), OptimizerConfig::default().build(&theta, task.layout()));
    let config =
        LoopConfig { max_updates: 3, batches_per_update: 2, compute: Kind::Float, log_every: 1, ..Default::default() };
    let identity = BTreeMap::new();
    let run = Run { folder: folder.path(), identity: &identity, stop_after: None, processes: &Alone };
    let validate = |_: &Tensor| Ok(Validation { value: 0.0, found: serde_json::Map::new(), text: String::new() });
    train(&task, &Recorded(&calls), &config, checkpoint, run, validate, || None).unwrap();
    // The first two calls are the trial of the largest batch.
    let calls = calls.into_inner().split_off(2);
    let taken: Vec<(usize, u64)> = calls
        .iter()
        .filter_map(|call| if let Call::Batch(index, seed) = call { Some((*index, *seed)) } else { None })
        .collect();
    assert_eq!(taken.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    // Each with the seed that it is taken with; after the last of an epoch there is none to prepare.
    let mut expected = Vec::new();
    for (place, (index, seed)) in taken.iter().enumerate() {
        expected.push(Call::Batch(*index, *seed));
        expected.extend(taken.get(place + 1).map(|(index, seed)| Call::Prefetch(*index, *seed)));
        expected.push(Call::Loss);
    }
    assert_eq!(calls, expected);
}
