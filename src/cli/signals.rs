//! SIGINT and SIGTERM: the first asks the command to save and stop, a second one ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Watch for both signals; the returned function tells which one has come.
pub fn watch() -> nmt::Result<impl Fn() -> Option<i32>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let armed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal arms the exit that the second one takes.
        let register = || -> std::io::Result<()> {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed))?;
            flag::register(signal, Arc::clone(&armed))?;
            flag::register_usize(signal, Arc::clone(&seen), signal as usize)?;
            Ok(())
        };
        register().map_err(nmt::Error::io("watch for signals of", "this process"))?;
    }
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .map_err(nmt::Error::io("watch for signals of", "this process"))?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            nmt::progress::note("stopping after this step; once more stops at once");
        }
    });
    Ok(move || match seen.load(Ordering::Relaxed) {
        0 => None,
        signal => Some(signal as i32),
    })
}
