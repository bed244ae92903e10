//! The program as a user runs it, and a corpus of this project's own that is small enough to train on in seconds.
#![allow(dead_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};

/// A folder of its own with a corpus and, after [`Lab::preprocess`], a dataset.
pub struct Lab {
    folder: tempfile::TempDir,
}

/// The sizes of a model that trains in seconds, and one thread, so that tests can run beside each other.
pub const TINY: &[&str] = &[
    "--threads=1",
    "--set=model.embed_dim=32",
    "--set=model.ffn_dim=64",
    "--set=model.attention_heads=2",
    "--set=model.encoder_layers=1",
    "--set=model.decoder_layers=1",
    "--set=model.dropout=0.1",
    "--set=model.share_all_embeddings=true",
    "--set=training.compute=fp32",
    "--set=training.max_tokens=400",
    "--set=gradinit.max_tokens=600",
    "--set=validation.beam=2",
];

/// What a command came to.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Assert success; gives standard output.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// Assert failure with this exit code and every one of `parts` in the message, which is one line.
    pub fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
        }
    }
}

impl Default for Lab {
    fn default() -> Lab {
        Lab::new()
    }
}

impl Lab {
    /// A corpus of 400 training, 40 validation and 40 test pairs: the source is three to six letters, the target the same
    /// letters in reverse order, in capitals.
    pub fn new() -> Lab {
        let lab = Lab { folder: tempfile::tempdir().unwrap() };
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        for (split, n) in [("train", 400), ("valid", 40), ("test", 40)] {
            let (mut source, mut target) = (String::new(), String::new());
            for _ in 0..n {
                let letters: Vec<char> =
                    (0..random.random_range(3..=6)).map(|_| random.random_range('a'..='h')).collect();
                let words =
                    |letters: &mut dyn Iterator<Item = char>| letters.map(String::from).collect::<Vec<_>>().join(" ");
                source += &(words(&mut letters.iter().copied()) + "\n");
                target += &(words(&mut letters.iter().rev().map(char::to_ascii_uppercase)) + "\n");
            }
            std::fs::write(lab.path(&format!("{split}.de")), source).unwrap();
            std::fs::write(lab.path(&format!("{split}.en")), target).unwrap();
        }
        lab
    }

    /// `name` in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `nmt` with these arguments, in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nmt"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Run `nmt`.
    pub fn nmt(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Run a script of `data-prep/` in the folder, with folders of programs that come before all others.
    pub fn data_prep(&self, script: &str, arguments: &[&str], programs: &[&Path]) -> Ran {
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let folders = programs.iter().map(|folder| folder.to_path_buf()).chain(std::env::split_paths(&inherited));
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("data-prep").join(script)).args(arguments);
        command.env("NMT", env!("CARGO_BIN_EXE_nmt")).env("PATH", std::env::join_paths(folders).unwrap());
        Ran::of(command.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap())
    }

    /// Run `nmt` with this on standard input.
    pub fn nmt_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Make the dataset `data`.
    pub fn preprocess(&self) -> &Lab {
        let split = ["--train", "train", "--valid", "valid", "--test", "test"];
        let mut arguments = vec!["preprocess", "--source-lang", "de", "--target-lang", "en"];
        arguments.extend(split);
        arguments.extend(["--tokenizer", "none", "--joined-dictionary", "--output", "data"]);
        self.nmt(&arguments).ok();
        self
    }

    /// A copy of the dataset in which the target sentences of `split` have other words of the same dictionary.
    pub fn other_data(&self, name: &str, split: &str) -> &Lab {
        let copy = self.path(name);
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(self.path("data")).unwrap() {
            let file = entry.unwrap();
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let ids = copy.join(format!("{split}.de-en.en.bin"));
        let mut bytes = std::fs::read(&ids).unwrap();
        bytes.chunks_exact_mut(2).filter(|id| id[0] > 4).for_each(|id| id[0] = 4);
        std::fs::write(ids, bytes).unwrap();
        self
    }

    /// `nmt train` into `run` with the tiny model and `further` arguments.
    pub fn train_arguments<'a>(&self, run: &'a str, further: &[&'a str]) -> Vec<&'a str> {
        let mut arguments = vec!["train", "--data", "data", "--output", run];
        arguments.extend(TINY);
        arguments.extend(further);
        arguments
    }

    /// Run it.
    pub fn train(&self, run: &str, further: &[&str]) -> Ran {
        self.nmt(&self.train_arguments(run, further))
    }

    /// Start `nmt`, wait until the file `watched` is longer than before (a minute at most), and send `signal`. The exit code;
    /// none where the signal ended it.
    pub fn stop(&self, arguments: &[&str], watched: &str, signal: &str) -> Option<i32> {
        let length = || std::fs::metadata(self.path(watched)).map_or(0, |file| file.len());
        let (before, start) = (length(), Instant::now());
        let mut child = self.command(arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        while length() <= before && start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        send(&child, signal);
        child.wait().unwrap().code()
    }

    /// Start `nmt` and send `signal` after so long. The exit code; none where the signal ended it.
    pub fn stop_after(&self, arguments: &[&str], wait: Duration, signal: &str) -> Option<i32> {
        let mut child = self.command(arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(wait);
        send(&child, signal);
        child.wait().unwrap().code()
    }

    /// Assert that two run folders have the same log but for the clock, and the same tensors in these files.
    pub fn assert_same_runs(&self, expected: &str, found: &str, files: &[&str]) {
        assert_eq!(self.events(expected), self.events(found));
        for name in files {
            super::assert_same_tensors(&self.path(expected).join(name), &self.path(found).join(name));
        }
    }

    /// The log of the run folder `run` without what depends on the clock.
    pub fn events(&self, run: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(run).join("log.jsonl")).unwrap();
        let parse = |line: &str| {
            let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
            event.as_object_mut().unwrap().retain(|key, _| key != "seconds" && !key.ends_with("_per_second"));
            event
        };
        text.lines().map(parse).collect()
    }
}

fn send(child: &Child, signal: &str) {
    Command::new("kill").args([signal, &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Change one byte of a file.
pub fn flip_byte(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x5a;
    std::fs::write(path, bytes).unwrap();
}
