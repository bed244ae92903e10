//! What happens to machines while a run trains: kills at any moment, full disks, too little memory, other data.
mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::command::{Lab, TINY};
use rand::{Rng, SeedableRng};

const SETTINGS: &[&str] = &[
    "--set=validation.every_updates=40",
    "--set=training.log_every=5",
    // Kills are to hit it.
    "--set=training.checkpoint_every=1",
    "--set=training.keep_checkpoints=2",
    "--resume",
];

/// Kill a run `kills` times at random moments, go on each time, and compare it with one that nobody killed; where it ends
/// before it was killed often enough, another one begins.
fn survives(kills: usize, updates: &str) {
    let lab = Lab::new();
    lab.preprocess();
    let arguments = |run| [lab.train_arguments(run, SETTINGS), vec!["--max-updates", updates]].concat();
    let start = std::time::Instant::now();
    lab.nmt(&arguments("whole")).ok();
    let longest = start.elapsed().as_millis() as u64 / 2;
    let files = |run: &str| {
        let names = std::fs::read_dir(lab.path(run)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".safetensors"));
        names.sort();
        names
    };
    let whole = files("whole");
    assert_eq!(whole.len(), 4, "{whole:?}");
    let compare = || {
        lab.nmt(&arguments("killed")).ok();
        assert_eq!(whole, files("killed"));
        lab.assert_same_runs("whole", "killed", &whole.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(8);
    let (mut killed, mut runs) = (0, 1);
    while killed < kills {
        let wait = Duration::from_millis(random.random_range(20..longest.max(21)));
        if lab.stop_after(&arguments("killed"), wait, "-KILL").is_none() {
            killed += 1;
        } else {
            compare();
            std::fs::remove_dir_all(lab.path("killed")).unwrap();
            runs += 1;
        }
    }
    compare();
    eprintln!("{killed} kills of {runs} runs");
}

#[test]
fn a_run_survives_kills() {
    survives(5, "120");
}

/// `make soak`.
#[test]
#[ignore = "minutes"]
fn a_run_survives_a_hundred_kills() {
    survives(100, "1200");
}

/// `nmt` under a limit of the shell: `-f` of the size of a file it writes, `-v` of its memory, in KiB.
fn limited(lab: &Lab, limit: &str, arguments: &[&str]) -> (i32, String) {
    let script = format!("trap '' XFSZ; ulimit {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_nmt")]).args(arguments).current_dir(lab.path("."));
    let output = command.output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

/// Of a disk that is full within a checkpoint, the one before is left whole, and the run goes on from it when there is room.
#[test]
fn a_full_disk_leaves_the_last_checkpoint_whole() {
    let lab = Lab::new();
    lab.preprocess();
    let arguments = |run, updates| [lab.train_arguments(run, SETTINGS), vec!["--max-updates", updates]].concat();
    lab.nmt(&arguments("whole", "6")).ok();
    lab.nmt(&[arguments("full", "6"), vec!["--stop-after=3"]].concat()).ok();
    let before = std::fs::read(lab.path("full/last.safetensors")).unwrap();
    let (code, message) = limited(&lab, "-f 64", &arguments("full", "6"));
    assert!(code == 1 && message.contains("cannot write full/last.safetensors: File too large"), "{code}: {message}");
    assert!(std::fs::read(lab.path("full/last.safetensors")).unwrap() == before);
    let left: Vec<_> = std::fs::read_dir(lab.path("full")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".tmp")), "{left:?}");
    lab.nmt(&arguments("full", "6")).ok();
    common::assert_same_tensors(&lab.path("whole/last.safetensors"), &lab.path("full/last.safetensors"));
}

#[test]
fn too_little_memory_is_said_before_training_with_what_to_lower() {
    let lab = Lab::new();
    lab.preprocess();
    let large = ["--set=model.ffn_dim=300000", "--set=training.max_tokens=4000"];
    // Room for libtorch and the parameters, not for 4,000 tokens of 300,000 numbers each.
    let (code, message) = limited(&lab, "-v 4000000", &lab.train_arguments("run", &large));
    assert_eq!(code, 1, "{message}");
    for part in
        ["out of memory on a batch of", "sentence pairs of up to", "can't allocate", "lower training.max_tokens"]
    {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(!lab.path("run/log.jsonl").exists());
}

#[test]
fn a_run_does_not_go_on_with_other_data() {
    let lab = Lab::new();
    lab.preprocess().train("run", &["--max-updates=3"]).ok();
    let text = std::fs::read_to_string(lab.path("train.de")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    std::fs::write(lab.path("train.de"), format!("{rest}{first}\n")).unwrap();
    std::fs::remove_dir_all(lab.path("data")).unwrap();
    lab.preprocess();
    let more = ["--threads=1", "train", "--data", "data", "--output", "run", "--resume", "--max-updates=4"];
    lab.nmt(&more).fails(2, &["expected the data that the run began with", "--init run/last.safetensors"]);
    lab.train("next", &["--max-updates=1", "--init=run/last.safetensors"]).ok();
}

/// Long enough for something to happen to it, and it looks at its files after every update.
const WATCHED: &[&str] = &["--max-updates=400", "--set=training.checkpoint_every=1", "--set=training.log_every=1"];

/// A run, and what happens to `file` of its data folder after its first update.
fn while_it_trains(lab: &Lab, run: &str, file: &str, happens: impl FnOnce(&Path)) -> (i32, String) {
    let mut command = lab.command(&lab.train_arguments(run, WATCHED));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = lab.path(run).join("log.jsonl");
    while std::fs::metadata(&log).map_or(0, |file| file.len()) == 0 && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    happens(&lab.path("data").join(file));
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
}

/// Write other words of the dictionary into a file of ids: nothing but its time tells.
fn write_other_words(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    for id in bytes.chunks_exact_mut(2).filter(|id| id[0] > 4) {
        id[0] = 4;
    }
    std::fs::OpenOptions::new().write(true).open(file).unwrap().write_all(&bytes).unwrap();
}

const TRAIN: &str = "train.de-en.de.bin";

#[test]
fn other_data_under_a_run_are_noticed() {
    let lab = Lab::new();
    lab.preprocess();
    let other = |file: &Path| {
        let mut bytes = std::fs::read(file).unwrap();
        bytes.reverse();
        bytes
    };
    let (code, message) = while_it_trains(&lab, "replaced", TRAIN, |file| {
        std::fs::write(lab.path("other"), other(file)).unwrap();
        std::fs::copy(file, lab.path("kept")).unwrap();
        std::fs::rename(lab.path("other"), file).unwrap();
    });
    assert_eq!(code, 0, "{message}");
    assert_eq!(message.matches("was replaced or removed").count(), 1, "{message}");
    let events = lab.events("replaced");
    let of_data: Vec<_> = events.iter().filter(|event| event["event"] == "data").collect();
    assert_eq!(of_data.len(), 1);
    // What it trained on is what it had opened.
    std::fs::rename(lab.path("kept"), lab.path("data/train.de-en.de.bin")).unwrap();
    lab.train("whole", WATCHED).ok();
    common::assert_same_tensors(&lab.path("whole/best.safetensors"), &lab.path("replaced/best.safetensors"));

    for file in [TRAIN, "valid.de-en.en.bin"] {
        let (code, message) = while_it_trains(&lab, file, file, write_other_words);
        assert!(code == 1 && message.contains("was written to while it is read"), "{code}: {message}");
        assert!(message.contains(file), "{message}");
        std::fs::remove_dir_all(lab.path("data")).unwrap();
        lab.preprocess();
    }

    let (code, message) = while_it_trains(&lab, "cut", TRAIN, |file| {
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
    });
    assert!(code == 1 && (message.contains("was cut off") || message.contains("was written to")), "{code}: {message}");
}

#[test]
fn other_data_under_gradinit_are_noticed() {
    let lab = Lab::new();
    lab.preprocess();
    let gradinit = |output: &str, iterations: &str, happens: &dyn Fn(&Path)| {
        let mut arguments = vec!["gradinit", "--data", "data", "--output", output, "--iterations", iterations];
        arguments.extend(TINY);
        let mut child = lab.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("GradInit: ")), "it does not begin");
        happens(&lab.path("data").join(TRAIN));
        let message = lines.collect::<Vec<String>>().join("\n");
        (child.wait().unwrap().code(), message)
    };
    // A file that is touched is the same; one that was written to is not, and nothing is written of it.
    let (code, message) = gradinit("same.safetensors", "20", &|file| {
        std::fs::File::options().write(true).open(file).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    });
    assert_eq!(code, Some(0), "{message}");
    let (code, message) = gradinit("other.safetensors", "1000000", &|file| {
        // Nobody else makes the same file meanwhile.
        let second = [&["gradinit", "--data", "data", "--output", "other.safetensors"], TINY].concat();
        lab.nmt(&second).fails(1, &["other.safetensors: expected a file that no other process is making"]);
        write_other_words(file);
    });
    assert!(code == Some(1) && message.contains("was written to while it is read"), "{code:?}: {message}");
    assert!(lab.path("same.safetensors").exists() && !lab.path("other.safetensors").exists());
}
