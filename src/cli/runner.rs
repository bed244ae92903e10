//! `nmt` run by `nmt`: each command in a process of its own, as a user would start it.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nmt::{Error, Result, progress};

use super::signals::STOPPING;

/// How a command ended.
pub enum Ran {
    /// Well: what it printed on standard output.
    Done(String),
    /// A loss or a gradient was no number, as this message says.
    NotFinite(String),
}

/// What commands have in common.
pub struct Shell<'a> {
    /// `--quiet`.
    pub quiet: bool,
    /// `--threads`.
    pub threads: Option<usize>,
    /// The signal that has come, which goes on to the command.
    pub signal: &'a (dyn Fn() -> Option<i32> + Sync),
}

impl Shell<'_> {
    /// Run `nmt` with these arguments. Its notes and progress go to standard error.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when a signal has stopped it, otherwise what it said.
    pub fn nmt(&self, arguments: &[String]) -> Result<Ran> {
        let program = std::env::current_exe().map_err(Error::io("find", "this program"))?;
        // A command that computes is this program's neighbour, which `nmt` starts.
        let program = program.with_file_name(format!("nmt{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(&program);
        if let Some(threads) = self.threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if self.quiet {
            command.arg("--quiet");
        }
        let typed: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        progress::note(format!("$ nmt {}", typed.join(" ")));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Of its own, so that Ctrl-C reaches this program alone, which passes it on once: twice would end a command at once.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        #[cfg(target_os = "linux")]
        stop_with_this_program(&mut command);
        let mut child = command.spawn().map_err(Error::io("run", &program))?;
        let (id, ended) = (child.id(), AtomicBool::new(false));
        let (output, message) = std::thread::scope(|scope| {
            scope.spawn(|| self.pass_signals_on(id, &ended));
            let stdout = child.stdout.take();
            let output = scope.spawn(move || {
                let mut text = String::new();
                let _ = stdout.map(|mut stdout| stdout.read_to_string(&mut text));
                text
            });
            let message = notes(&mut child);
            let output = output.join().unwrap_or_default();
            ended.store(true, Ordering::Relaxed);
            (output, message)
        });
        let status = child.wait().map_err(Error::io("wait for", &program))?;
        if let Some(signal) = (self.signal)() {
            // What the command saved; that its own --resume goes on is not what is to be typed here.
            let saved = message.split("; ").find(|part| part.starts_with("saved "));
            let saved = saved.map_or(String::new(), |saved| format!("{saved}; "));
            return Err(Error::Interrupted { signal, saved: format!("{saved}the same command goes on") });
        }
        match status.code() {
            Some(0) => Ok(Ran::Done(output)),
            Some(1) if message.starts_with(Error::NOT_FINITE) => Ok(Ran::NotFinite(message)),
            Some(2) => Err(Error::usage(message, "")),
            _ => {
                let found = if message.is_empty() { status.to_string() } else { message };
                Err(Error::content(format!("nmt {}", arguments[0]), "success", found, ""))
            }
        }
    }

    fn pass_signals_on(&self, id: u32, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            if let Some(signal) = (self.signal)() {
                #[cfg(unix)]
                // SAFETY: it takes numbers. The command has not been waited for, so that the number is still its own.
                unsafe {
                    libc::kill(id as i32, signal);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Have the command save and stop, as by SIGTERM, when this program ends before it does: it would go on unseen.
#[cfg(target_os = "linux")]
fn stop_with_this_program(command: &mut Command) {
    let this = std::process::id();
    // SAFETY: between fork and exec the closure makes system calls alone.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(command, move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // It may have ended before it could be said.
            if libc::getppid() != this as i32 {
                return Err(std::io::Error::from(std::io::ErrorKind::Interrupted));
            }
            Ok(())
        });
    }
}

/// Print what a command prints on standard error, up to its end; its error comes back.
fn notes(child: &mut Child) -> String {
    let mut message = String::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines().map_while(|line| line.ok()) {
            match line.strip_prefix("nmt: ") {
                Some(error) => message = error.to_string(),
                None if line == STOPPING => {} // This program has said so.
                None => progress::line(&line),
            }
        }
    }
    message
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
