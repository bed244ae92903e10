//! SIGINT and SIGTERM: the first asks the command to save and stop, a second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Signals this close together are one wish: `timeout` sends its signal to the command and then to its process group,
/// and the command is in both.
const TOGETHER: Duration = Duration::from_millis(300);

/// Watch for both signals; the returned function tells which one has come.
pub fn watch() -> nmt::Result<impl Fn() -> Option<i32>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(nmt::Error::io("watch for signals of", "this process"))?;
    let first_seen = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    first_seen.store(signal as usize, Ordering::Relaxed);
                    nmt::progress::note("stopping after this step; once more stops at once");
                }
                Some(first) if first.elapsed() > TOGETHER => low_level::exit(128 + signal),
                Some(_) => {}
            }
        }
    });
    Ok(move || match seen.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal as i32),
    })
}
