//! Progress on standard error: a bar when a person watches, plain lines otherwise, nothing when asked to be quiet.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

static QUIET: AtomicBool = AtomicBool::new(false);

/// `--quiet`: no progress and no notes for the rest of the process.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether `--quiet` was given.
pub fn quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Print one line on standard error unless `--quiet` was given.
pub fn note(line: impl AsRef<str>) {
    if !quiet() {
        print(line.as_ref());
    }
}

/// Print one line on standard error, of a command that knows itself whether it is to be quiet.
pub fn line(line: &str) {
    print(line);
}

/// A message without characters that would do something to a terminal: what was found in a file may be anything.
///
/// ```
/// assert_eq!(nmt::progress::printable("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\n");
/// ```
pub fn printable(message: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c.to_string(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    message.chars().map(shown).collect()
}

/// One line on standard error. That nobody reads it any more is no reason to stop.
fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// A number for people: with so many decimals, or from a million on as a power of ten.
///
/// ```
/// use nmt::progress::readable;
/// assert_eq!((readable(2.3026, 3).as_str(), readable(-1.3e17, 3).as_str()), ("2.303", "-1.300e17"));
/// ```
pub fn readable(number: f64, decimals: usize) -> String {
    if number.abs() < 1e6 || !number.is_finite() {
        format!("{number:.decimals$}")
    } else {
        format!("{number:.decimals$e}")
    }
}

/// The progress of one task. Dropping it clears the bar.
pub struct Progress {
    kind: Kind,
    title: String,
    total: Option<u64>,
    position: u64,
    started: Instant,
    /// The first position that was set, and when: a resumed task does not start at 0.
    first: Option<(u64, Instant)>,
}

enum Kind {
    Bar(ProgressBar),
    /// Lines, at most one in [`LINE_EVERY`]; the instant is that of the last line.
    Lines(Instant),
    Silent,
}

const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Start a task of `total` steps (`None`: not known).
    pub fn new(title: impl Into<String>, total: Option<u64>) -> Progress {
        let title = title.into();
        let kind = if quiet() {
            Kind::Silent
        } else if std::io::stderr().is_terminal() {
            let bar = match total {
                Some(total) => ProgressBar::new(total)
                    .with_style(style("{prefix} [{bar:30}] {pos}/{len} {msg} (ETA {eta})").progress_chars("=> ")),
                None => ProgressBar::new_spinner().with_style(style("{prefix} {spinner} {pos} {msg} ({elapsed})")),
            };
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
            bar.set_prefix(title.clone());
            Kind::Bar(bar)
        } else {
            Kind::Lines(Instant::now())
        };
        Progress { kind, title, total, position: 0, started: Instant::now(), first: None }
    }

    /// The task stands at step `position`; `message` says what else is worth seeing.
    pub fn set(&mut self, position: u64, message: impl FnOnce() -> String) {
        self.position = position;
        let (from, since) = *self.first.get_or_insert((position, Instant::now()));
        match &mut self.kind {
            Kind::Bar(bar) => {
                bar.set_position(position);
                bar.set_message(message());
            }
            Kind::Lines(last) if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let total = self.total.map(|total| format!("/{total}")).unwrap_or_default();
                let seconds = self.started.elapsed().as_secs();
                let left = self.total.filter(|_| position > from).map_or(String::new(), |total| {
                    let each = since.elapsed().as_secs_f64() / (position - from) as f64;
                    format!(", {:.0} s left", each * total.saturating_sub(position) as f64)
                });
                print(&format!("{} {position}{total} {} ({seconds} s{left})", self.title, message()));
            }
            Kind::Lines(_) | Kind::Silent => {}
        }
    }

    /// `steps` more steps are done.
    pub fn add(&mut self, steps: u64) {
        self.set(self.position + steps, String::new);
    }

    /// A line above the bar, or a plain line.
    pub fn line(&self, line: &str) {
        match &self.kind {
            Kind::Bar(bar) => bar.suspend(|| print(line)),
            Kind::Lines(_) => print(line),
            Kind::Silent => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Kind::Bar(bar) = &self.kind {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
