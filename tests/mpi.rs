//! `mpirun -n 2 nmt train`: `cargo test --release --features mpi --test mpi`, or `make test-mpi`.
#![cfg(feature = "mpi")]
mod common;

use std::path::Path;
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

/// `mpirun -n N nmt …` in the folder of `lab`; none where there is no `mpirun`.
fn mpirun(lab: &Lab, processes: usize, arguments: &[&str]) -> Option<Command> {
    if Command::new("mpirun").arg("--version").stdout(Stdio::null()).status().is_err() {
        eprintln!("skipped: no mpirun");
        return None;
    }
    let mut command = Command::new("mpirun");
    command.args(["--oversubscribe", "-n", &processes.to_string(), env!("CARGO_BIN_EXE_nmt")]).args(arguments);
    // Tests run as whoever there is, and one process of them at most has a core of its own.
    for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "OMPI_MCA_mpi_yield_when_idle"] {
        command.env(name, "1");
    }
    command.current_dir(lab.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

fn run(lab: &Lab, processes: usize, arguments: &[&str]) -> Option<Ended> {
    let output = mpirun(lab, processes, arguments)?.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(Ended { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) })
}

#[test]
fn two_processes_are_one_with_twice_the_batches() {
    let lab = Lab::new();
    lab.preprocess().train("alone", &[UPDATES, &["--set=training.update_frequency=2"]].concat()).ok();
    let Some(ended) = run(&lab, 2, &lab.train_arguments("together", UPDATES)) else { return };
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "together\n"), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("2 processes of 1 thread").count(), 1, "{}", ended.stderr);
    lab.assert_same_runs("alone", "together", &["last.safetensors", "best.safetensors"]);
}

#[test]
fn a_run_goes_on_with_as_many_batches_an_update() {
    let lab = Lab::new();
    lab.preprocess().train("alone", &[UPDATES, &["--set=training.update_frequency=2"]].concat()).ok();
    let begin = [UPDATES, &["--stop-after=8"]].concat();
    let Some(ended) = run(&lab, 2, &lab.train_arguments("run", &begin)) else { return };
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let go_on = ["train", "--data=data", "--output=run", "--resume", "--threads=1"];
    lab.nmt(&go_on).fails(
        2,
        &[
            "expected 2 batches an update as the run began (2 processes of training.update_frequency = 1), found 1",
            "or with 2 processes",
        ],
    );
    lab.nmt(&[&go_on[..], &["--set=training.update_frequency=2"]].concat()).ok();
    lab.assert_same_runs("alone", "run", &["last.safetensors", "best.safetensors"]);
}

/// Start a run of two and wait until it trains.
fn begun(lab: &Lab, run: &str) -> Option<(std::process::Child, u32)> {
    lab.preprocess();
    let child = mpirun(lab, 2, &lab.train_arguments(run, LONG))?.spawn().unwrap();
    let start = Instant::now();
    // The log is opened when all are at work.
    while !lab.path(run).join("log.jsonl").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "it does not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(1));
    let processes = children(child.id());
    let [_, last] = processes[..] else { panic!("{processes:?}") };
    Some((child, last))
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
    let Some((child, second)) = begun(&lab, "run") else { return };
    kill("-KILL", second);
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("exited on signal 9"), "{message}");
}

#[test]
fn a_signal_to_mpirun_saves_and_stops_all() {
    let lab = Lab::new();
    let Some((child, _)) = begun(&lab, "run") else { return };
    kill("-USR1", child.id());
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(138), "{message}");
    assert_eq!(message.matches("stopped by SIGUSR1; saved run/last.safetensors").count(), 1, "{message}");
    assert!(nmt::train::load_state(Path::new(&lab.path("run/last.safetensors"))).unwrap().update > 0);
}

#[test]
fn what_is_wrong_is_said_once() {
    let lab = Lab::new();
    lab.preprocess().train("run", UPDATES).ok();
    let Some(ended) = run(&lab, 2, &lab.train_arguments("run", UPDATES)) else { return };
    assert_eq!((ended.code, ended.stderr.matches("run holds a run already").count()), (2, 1), "{}", ended.stderr);
    let ended = run(&lab, 2, &["train", "--dat=data"]).unwrap();
    assert_eq!((ended.code, ended.stderr.matches("unexpected argument").count()), (2, 1), "{}", ended.stderr);
    let ended = run(&lab, 2, &[&["gradinit", "--data=data", "--output=init.safetensors"], TINY].concat()).unwrap();
    assert!(ended.code == 2 && ended.stderr.contains("expected one process of this command, found 2"));
    assert!(!lab.path("init.safetensors").exists());
}

#[test]
fn another_configuration_in_one_of_them_is_refused() {
    let lab = Lab::new();
    lab.preprocess();
    let train = lab.train_arguments("run", UPDATES);
    let Some(mut command) = mpirun(&lab, 1, &train) else { return };
    command.args([":", "-n", "1", env!("CARGO_BIN_EXE_nmt")]).args(&train).arg("--seed=2");
    let output = command.output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{message}");
    let expected = "process 1 of 2: expected the configuration of process 0, found another one";
    assert_eq!(message.matches(expected).count(), 1, "{message}");
    assert!(!lab.path("run/config.toml").exists());
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
    let Some(ended) = run(&lab, 2, &arguments) else { return };
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    // 10 batches in 5 updates.
    assert_eq!(lab.events("run").iter().filter(|event| event["event"] == "update").count(), 5);
}
