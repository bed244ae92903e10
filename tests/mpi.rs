//! `mpirun -n 2 nmt train`: `cargo test --release --features mpi --test mpi`, or `make test-mpi`.
#![cfg(feature = "mpi")]
mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::command::{Lab, TINY};

const UPDATES: &[&str] = &["--max-updates=12", "--set=validation.every_updates=4", "--set=training.log_every=1"];
/// Updates without an end.
const LONG: &[&str] = &["--max-updates=1000000", "--set=validation.every_updates=0", "--set=validation.bleu=false"];

struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

const NMT: &str = env!("CARGO_BIN_EXE_nmt");

/// `mpirun` with these arguments in the folder of `lab`.
fn mpirun(lab: &Lab, arguments: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.arg("--oversubscribe").args(arguments);
    // Tests run as whoever there is, and one process of them at most has a core of its own.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_mpi_yield_when_idle"] {
        command.env(name, "1");
    }
    command.current_dir(lab.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `mpirun -n 2 nmt …`.
fn run(lab: &Lab, arguments: &[&str]) -> Ended {
    end_of(mpirun(lab, &[&["-n", "2", NMT], arguments].concat()))
}

fn end_of(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn two_processes_are_one_with_twice_the_batches() {
    let lab = Lab::new();
    lab.preprocess().train("alone", &[UPDATES, &["--set=training.update_frequency=2"]].concat()).ok();
    let ended = run(&lab, &lab.train_arguments("together", UPDATES));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "together\n"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("2 processes of 1 thread").count(), 1, "{}", ended.stderr);
    lab.assert_same_runs("alone", "together", &["last.safetensors", "best.safetensors"]);
}

#[test]
fn a_run_goes_on_with_as_many_batches_an_update() {
    let lab = Lab::new();
    lab.preprocess().train("alone", &[UPDATES, &["--set=training.update_frequency=2"]].concat()).ok();
    let begin = [UPDATES, &["--stop-after=4"]].concat();
    let ended = run(&lab, &lab.train_arguments("run", &begin));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let go_on = ["train", "--data=data", "--output=run", "--resume", "--threads=1"];
    let ended = run(&lab, &[&go_on[..], &["--stop-after=8"]].concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    lab.nmt(&go_on).fails(
        2,
        &[
            "expected 2 batches an update as the run began (2 processes of training.update_frequency = 1), found 1",
            "or go on with 2 processes",
        ],
    );
    lab.nmt(&[&go_on[..], &["--set=training.update_frequency=2"]].concat()).ok();
    lab.assert_same_runs("alone", "run", &["last.safetensors", "best.safetensors"]);
}

/// Start a run of two and wait until it trains.
fn begun(lab: &Lab, run: &str) -> (std::process::Child, u32) {
    lab.preprocess();
    let child = mpirun(lab, &[&["-n", "2", NMT], &lab.train_arguments(run, LONG)[..]].concat()).spawn().unwrap();
    let start = Instant::now();
    // The log is opened when all are at work.
    while !lab.path(run).join("log.jsonl").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "it does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    let processes = children(child.id());
    let [_, last] = processes[..] else { panic!("{processes:?}") };
    (child, last)
}

/// The processes that a process has started, in their order.
fn children(id: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn kill(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

#[test]
fn one_that_dies_ends_all_with_a_message() {
    let lab = Lab::new();
    let (child, second) = begun(&lab, "run");
    kill("-KILL", second);
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("exited on signal 9"), "{message}");
    nmt::train::load_state(&lab.path("run/last.safetensors")).unwrap();
}

#[test]
fn a_signal_to_mpirun_saves_and_stops_all() {
    let lab = Lab::new();
    let (child, _) = begun(&lab, "run");
    kill("-USR1", child.id());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(138), "{message}");
    assert_eq!(message.matches("stopped by SIGUSR1; saved run/last.safetensors").count(), 1, "{message}");
    assert!(nmt::train::load_state(&lab.path("run/last.safetensors")).unwrap().update > 0);
}

#[test]
fn what_is_wrong_is_said_once() {
    let lab = Lab::new();
    lab.preprocess().train("run", UPDATES).ok();
    let ended = run(&lab, &lab.train_arguments("run", UPDATES));
    assert_eq!((ended.code, ended.stderr.matches("run holds a run already").count()), (2, 1), "{}", ended.stderr);
    let ended = run(&lab, &["train", "--dat=data"]);
    assert_eq!((ended.code, ended.stderr.matches("unexpected argument").count()), (2, 1), "{}", ended.stderr);
}

#[test]
fn what_differs_in_one_of_them_is_refused() {
    let lab = Lab::new();
    lab.preprocess();
    for (name, config) in [("a", "seed = 1"), ("b", "seed = 1"), ("other", "seed = 2")] {
        std::fs::create_dir(lab.path(name)).unwrap();
        std::fs::write(lab.path(name).join("my.toml"), format!("[training]\n{config}\n")).unwrap();
    }
    std::os::unix::fs::symlink(lab.path("data"), lab.path("a/data")).unwrap();
    std::os::unix::fs::symlink(lab.path("data"), lab.path("other/data")).unwrap();
    let train = [&["train", "--config=my.toml", "--data=data", "--output=run"], TINY, UPDATES].concat();
    // Each in a folder of its own.
    let both = |names: [&str; 2]| {
        let [first, second] = names.map(|name| [&["-n", "1", "-wdir", name, NMT], &train[..]].concat());
        end_of(mpirun(&lab, &[&first[..], &[":"], &second[..]].concat()))
    };
    let ended = both(["a", "other"]);
    let expected = "process 1 of 2: expected the configuration of process 0: seed = 1, found seed = 2";
    assert_eq!((ended.code, ended.stderr.matches(expected).count()), (1, 1), "{}", ended.stderr);
    assert!(!lab.path("a/run/config.toml").exists());
    // What is wrong in one is said by it, and ends the other, which waits.
    let ended = both(["a", "b"]);
    assert_eq!((ended.code, ended.stderr.matches("nmt: process 1: ").count()), (1, 1), "{}", ended.stderr);
    assert!(!lab.path("a/run/log.jsonl").exists() && !lab.path("b/run").exists());

    let (first, shorter) = (lab.train_arguments("run", UPDATES), [UPDATES, &["--stop-after=2"]].concat());
    let second = lab.train_arguments("run", &shorter);
    let ended = end_of(mpirun(&lab, &[&["-n", "1", NMT], &first[..], &[":", "-n", "1", NMT], &second[..]].concat()));
    assert!(
        ended.stderr.contains("expected the command of process 0: stop_after: None, found stop_after: Some(2)"),
        "{}",
        ended.stderr
    );
}

#[test]
fn pictures_train_together() {
    let lab = Lab::new();
    common::pictures::write_cifar(&lab.path("cifar"), 80, 16);
    let arguments = [
        "vision",
        "train",
        "--threads=1",
        "--arch=resnet110",
        "--data=cifar",
        "--output=run",
        "--batch-size=8",
        "--max-epochs=1",
        "--set=training.log_every=1",
    ];
    let ended = run(&lab, &arguments);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // 10 batches in 5 updates, with the parameters of one process; running statistics it moves twice as often.
    let alone = [&arguments[..], &["--output=alone", "--set=training.update_frequency=2"]].concat();
    let alone: Vec<&str> = alone.into_iter().filter(|word| *word != "--output=run").collect();
    lab.nmt(&alone).ok();
    let updates = |run| lab.events(run).into_iter().filter(|event| event["event"] == "update").collect::<Vec<_>>();
    assert_eq!((updates("run").len(), updates("run")), (5, updates("alone")));
    let (found, expected) =
        (common::tensors(&lab.path("run/last.safetensors")), common::tensors(&lab.path("alone/last.safetensors")));
    for (name, tensor) in expected.iter().filter(|(name, _)| !name.contains("running_")) {
        assert!(tensor.equal(&found[name]), "{name}");
    }
}
