//! The processes that `mpirun` has started, which train together.

use std::time::Duration;

#[cfg(feature = "mpi")]
use nmt::train::Mpi;
use nmt::train::{Alone, Communicator};
use nmt::{Error, Result, machine, progress};
use tch::Device;

/// Where launchers say to a process which of several it is: Open MPI, then those that speak PMIx and PMI.
const NUMBERS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
/// Where they say how many there are.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"];

/// What another process than the first waits before it says that it failed: what all fail with is said once, by the first.
/// Open MPI takes a second to end the others where they heed SIGTERM.
const BEHIND_FIRST: Duration = Duration::from_secs(3);

/// Who trains.
pub struct Processes {
    /// All of them.
    pub all: Box<dyn Communicator>,
    /// The number of this one among those of this machine, and how many they are.
    local: (usize, usize),
}

impl Processes {
    /// Join those that a launcher has started with this one.
    ///
    /// # Errors
    /// [`Error::Usage`] where this program was built without MPI and is one of several.
    pub fn join(threads: Option<usize>) -> Result<Processes> {
        let processes = join()?;
        if processes.all.rank() > 0 {
            progress::set_quiet(true);
        }
        processes.take_threads(threads);
        Ok(processes)
    }

    /// Where this process has its tensors: a GPU of its own, as far as there are as many.
    pub fn device(&self) -> Device {
        match machine::device() {
            Device::Cuda(_) if self.local.1 > 1 => {
                let count = usize::try_from(tch::Cuda::device_count()).unwrap_or(1).max(1);
                Device::Cuda(self.local.0 % count)
            }
            device => device,
        }
    }

    /// Whether this process is the one that writes.
    pub fn is_first(&self) -> bool {
        self.all.rank() == 0
    }

    /// `2 processes of 4 threads` for a line that says what trains.
    pub fn describe(&self) -> String {
        let threads = tch::get_num_threads();
        match self.all.size() {
            1 => format!("{threads} threads"),
            size => format!("{size} processes of {threads} threads"),
        }
    }

    /// Without `--threads` the processes of a machine share its cores.
    fn take_threads(&self, threads: Option<usize>) {
        if threads.is_none() && self.local.1 > 1 {
            let share = (machine::all_cores() / self.local.1).max(1);
            tch::set_num_threads(share.min(machine::machine().cores) as i32);
        }
    }
}

#[cfg(feature = "mpi")]
fn join() -> Result<Processes> {
    if number().is_none() {
        return Ok(Processes { all: Box::new(Alone), local: (0, 1) });
    }
    let mpi = Mpi::join()?;
    let local = mpi.on_this_machine();
    Ok(Processes { all: Box::new(mpi), local })
}

#[cfg(not(feature = "mpi"))]
fn join() -> Result<Processes> {
    match size() {
        1 => Ok(Processes { all: Box::new(Alone), local: (0, 1) }),
        size => Err(Error::usage(
            format!("started as one of {size} processes, by a program that was built without MPI"),
            "build it with `cargo build --release --features mpi`, or start one process",
        )),
    }
}

/// Refuse to run what knows nothing of other processes once for each of them.
pub fn only_one() -> Result<()> {
    match size() {
        1 => Ok(()),
        size => Err(Error::usage(
            format!("expected one process of this command, found {size}"),
            "start it without mpirun: several processes are for `nmt train` and `nmt vision train`",
        )),
    }
}

/// Whether this process is the one that prints.
pub fn is_first() -> bool {
    number().unwrap_or(0) == 0
}

/// What stands before the message of an error: which process says it. None: it is said by the first.
///
/// Another process than the first says it a while later: what all fail with is said by the first, whose end ends the others.
pub fn who_says(error: &Error) -> Option<String> {
    if is_first() {
        return Some(String::new());
    }
    wait_behind_first();
    (!all_know(error)).then(|| format!("process {} of {}: ", number().unwrap_or(0), size()))
}

/// Leave the first process the time to fail with what all fail with.
pub fn wait_behind_first() {
    std::thread::sleep(BEHIND_FIRST);
}

/// End this process, and with a failure of its own the others, which would wait for it.
pub fn end(outcome: &Result<()>, code: i32) {
    #[cfg(feature = "mpi")]
    match outcome {
        Ok(()) => Mpi::leave(),
        Err(error) if all_know(error) => {}
        Err(_) => Mpi::abort(code),
    }
    #[cfg(not(feature = "mpi"))]
    let _ = (outcome, code);
}

/// Whether this ends all processes of a training alike.
fn all_know(error: &Error) -> bool {
    matches!(error, Error::Interrupted { .. } | Error::NonFinite { .. })
}

/// The number of this process, where a launcher has started it.
fn number() -> Option<usize> {
    first_of(&NUMBERS)
}

/// The number of processes that a launcher has started.
fn size() -> usize {
    number().and_then(|_| first_of(&SIZES)).unwrap_or(1)
}

fn first_of(names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}
