//! `nmt` run by `nmt`: each command in a process of its own, as a user would start it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use nmt::{Error, Result, progress};

/// How a command ended.
pub enum Ran {
    /// Well: what it printed on standard output.
    Done(String),
    /// With exit code 1 and this message.
    Failed(String),
}

/// Run `nmt` with these arguments. Its notes and progress go to standard error.
///
/// # Errors
/// [`Error::Interrupted`] when it was stopped by a signal, [`Error::Usage`] with its message when it refuses the arguments.
pub fn nmt(arguments: &[String], quiet: bool, threads: Option<usize>) -> Result<Ran> {
    let program = std::env::current_exe().map_err(Error::io("find", "this program"))?;
    // A command that computes is this program's neighbour, which `nmt` starts.
    let program = program.with_file_name(format!("nmt{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(&program);
    if let Some(threads) = threads {
        command.args(["--threads", &threads.to_string()]);
    }
    if quiet {
        command.arg("--quiet");
    }
    let typed: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    progress::note(format!("$ nmt {}", typed.join(" ")));
    let failed = Error::io("run", &program);
    let mut child = match command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(error) => return Err(failed(error)),
    };
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stdout) = stdout {
            let _ = stdout.read_to_string(&mut text);
        }
        text
    });
    let mut message = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(|line| line.ok()) {
            match line.strip_prefix("nmt: ") {
                Some(error) => message = error.to_string(),
                None => eprintln!("{line}"),
            }
        }
    }
    let status = child.wait().map_err(Error::io("wait for", &program))?;
    let output = reader.join().unwrap_or_default();
    match status.code() {
        Some(0) => Ok(Ran::Done(output)),
        Some(1) => Ok(Ran::Failed(message)),
        Some(code) if code > 128 => Err(interrupted(code - 128)),
        Some(_) => Err(Error::usage(message, "")),
        None => Err(interrupted(signal_of(status))),
    }
}

fn interrupted(signal: i32) -> Error {
    Error::Interrupted { signal, saved: "the run is saved; the same command goes on".into() }
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> i32 {
    std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0)
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> i32 {
    0
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    if word.chars().all(plain) && !word.is_empty() {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
