//! SIGINT, SIGTERM, SIGUSR1 (what schedulers warn with, and `mpirun` passes on) and SIGHUP (a terminal that closes): the
//! first asks the command to save and stop, a second one ends it at once. SIGBUS: a mapped file was cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Signals this close together are one wish: `timeout` sends its signal to the command and then to its process group,
/// and the command is in both.
const TOGETHER: Duration = Duration::from_millis(300);

/// What is said at the first of them.
pub const STOPPING: &str = "stopping after this step; once more stops at once";

/// Watch for the signals; the returned function tells which one has come.
pub fn watch() -> nmt::Result<impl Fn() -> Option<i32>> {
    watch_saying(STOPPING)
}

/// [`watch`] that says something else at the first signal.
pub fn watch_saying(stopping: &'static str) -> nmt::Result<impl Fn() -> Option<i32>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let mut watched = vec![SIGINT, SIGTERM, SIGUSR1];
    if !is_ignored(SIGHUP) {
        watched.push(SIGHUP);
    }
    let mut signals = Signals::new(watched).map_err(nmt::Error::io("watch for signals of", "this process"))?;
    let first_seen = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut first: Option<Instant> = None;
        for signal in signals.forever() {
            match first {
                None => {
                    first = Some(Instant::now());
                    first_seen.store(signal as usize, Ordering::Relaxed);
                    nmt::progress::note(stopping);
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

/// Whether a signal is ignored, as `nohup` has it for SIGHUP: then it was meant to be.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: without a new action the call writes the present one to `action`, of which zeros are a valid value.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0 && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Say it where a mapped file is shortened while it is read, which ends the process: the system tells by a signal, whose own
/// message is two words.
pub fn explain_cut_files() {
    #[cfg(target_os = "linux")]
    {
        extern "C" fn explain(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
            const TEXT: &[u8] =
                b"nmt: a file that is being read was cut off, such as one of the data folder; make it anew (a run \
                goes on with --resume)\n";
            // SAFETY: all three calls are allowed in a handler of signals; the system gives a valid `info`; the text is static.
            unsafe {
                if (*info).si_code != libc::BUS_ADRERR {
                    // Not of a file: it comes again, and ends the process as usual.
                    libc::signal(signal, libc::SIG_DFL);
                    return;
                }
                libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len());
                libc::_exit(1);
            }
        }
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = explain;
        // SAFETY: zeros are an empty mask and no flags; the handler calls nothing that a handler may not call.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        }
    }
}
