//! The processes that `mpirun` has started, which train together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(feature = "mpi")]
use nmt::train::Mpi;
use nmt::train::{Alone, Communicator, agree, how_many_alike};
use nmt::{Error, Result, machine, progress};
use tch::Device;

/// Where launchers say to a process which of several it is: Open MPI, then those that speak PMIx and PMI.
const RANKS: [&str; 3] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"];
/// Where they say how many there are.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"];

/// What another process than the first waits before it says that it failed: what all fail with is said once, by the first.
/// Open MPI takes a second to end the others where they heed SIGTERM.
const BEHIND_FIRST: Duration = Duration::from_secs(3);

/// Whether this process has joined others, and is not the first of them.
static BEHIND: AtomicBool = AtomicBool::new(false);

/// Who trains.
pub struct Processes {
    /// All of them.
    pub all: Box<dyn Communicator>,
    /// Where this process has its tensors.
    pub device: Device,
}

impl Processes {
    /// Join those that a launcher has started with this one, to do what `command` says. `threads` are those that were asked for:
    /// otherwise processes that have the same cores share them.
    ///
    /// # Errors
    /// [`Error::Usage`] where this program was built without MPI and is one of several; [`Error::Content`] where they were not
    /// given one command.
    pub fn join(command: &impl std::fmt::Debug, threads: Option<usize>) -> Result<Processes> {
        let all = join()?;
        if all.size() == 1 {
            return Ok(Processes { all, device: machine::device() });
        }
        if !all.is_first() {
            BEHIND.store(true, Ordering::Relaxed);
            progress::set_quiet(true);
        }
        agree(&*all, "command", &format!("{command:?}"))?;
        let (_, with_these_cores) = how_many_alike(&*all, &machine::cores_of_this_process())?;
        if threads.is_none() {
            tch::set_num_threads((machine::machine().cores / with_these_cores).max(1) as i32);
        }
        let (before, on_this_machine) = how_many_alike(&*all, &machine::identity())?;
        let device = match machine::device() {
            Device::Cuda(_) => Device::Cuda(before % gpus()),
            device => device,
        };
        let all = over_nccl(all, device, on_this_machine)?;
        Ok(Processes { all, device })
    }

    /// `2 processes of 4 threads`, for a line that says what trains.
    pub fn describe(&self) -> String {
        let threads = tch::get_num_threads();
        match self.all.size() {
            1 => format!("{threads} threads"),
            size => format!("{size} processes of {threads} threads"),
        }
    }
}

#[cfg(feature = "mpi")]
fn join() -> Result<Box<dyn Communicator>> {
    let Some((_, told)) = launched() else { return Ok(Box::new(Alone)) };
    if told == Some(1) {
        return Ok(Box::new(Alone));
    }
    let mpi = Mpi::join()?;
    match told {
        Some(told) if told != mpi.size() => Err(Error::content(
            "MPI",
            format!("the {told} processes that the launcher speaks of"),
            mpi.size().to_string(),
            "start nmt with the mpirun of the MPI that it was built with",
        )),
        _ => Ok(Box::new(mpi)),
    }
}

#[cfg(not(feature = "mpi"))]
fn join() -> Result<Box<dyn Communicator>> {
    match launched() {
        None | Some((_, Some(1))) => Ok(Box::new(Alone)),
        Some((_, size)) => Err(Error::usage(
            format!(
                "started as one of {} processes, by a program that was built without MPI",
                size.map_or("several".into(), |size| size.to_string())
            ),
            format!(
                "build it with `cargo build --release --features mpi`; to train each by itself: {} nmt train …",
                unset()
            ),
        )),
    }
}

/// Let GPUs exchange tensors by NCCL, where each process has one of its own.
#[cfg(feature = "nccl")]
fn over_nccl(all: Box<dyn Communicator>, device: Device, on_this_machine: usize) -> Result<Box<dyn Communicator>> {
    let own = match device {
        Device::Cuda(gpu) if on_this_machine <= gpus() => Some(gpu),
        _ => None,
    };
    let (_, as_this) = how_many_alike(&*all, if own.is_some() { "a GPU of its own" } else { "none" })?;
    match own {
        Some(gpu) if as_this == all.size() => Ok(Box::new(nmt::train::Nccl::join(all, gpu)?)),
        _ => Ok(all),
    }
}

#[cfg(not(feature = "nccl"))]
fn over_nccl(all: Box<dyn Communicator>, _: Device, _: usize) -> Result<Box<dyn Communicator>> {
    Ok(all)
}

/// GPUs of this machine, at least one.
fn gpus() -> usize {
    usize::try_from(tch::Cuda::device_count()).unwrap_or(1).max(1)
}

/// Refuse to run once for each process of `mpirun` what knows nothing of others. Other launchers start independent jobs, too.
///
/// # Errors
/// [`Error::Usage`] where it would.
pub fn check_alone() -> Result<()> {
    match launched() {
        Some((name, Some(size))) if name == RANKS[0] && size > 1 => Err(Error::usage(
            format!("expected one process of this command, found {size}"),
            format!(
                "start it without mpirun: several processes are for `nmt train` and `nmt vision train`; or, for jobs that have \
                     nothing to do with each other, by {} nmt …",
                unset()
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether this process prints results: of several that train together the first one does.
pub fn prints() -> bool {
    !BEHIND.load(Ordering::Relaxed)
}

/// What stands before the message of an error: which process says it.
///
/// Another process than the first says it a while later: what all fail with is said by the first, whose end ends the others.
pub fn who() -> String {
    match rank() {
        Some(rank) if rank > 0 => {
            wait_behind_first();
            format!("process {rank}: ")
        }
        _ => String::new(),
    }
}

/// Leave the first process the time to fail with what all fail with.
pub fn wait_behind_first() {
    if rank().is_some_and(|rank| rank > 0) {
        std::thread::sleep(BEHIND_FIRST);
    }
}

/// End this process's part: well, with all the others; or with this exit code, which ends the others, too. What has to be saved
/// is saved.
pub fn end(code: i32) {
    #[cfg(feature = "mpi")]
    match code {
        0 => Mpi::leave(),
        code => Mpi::abort(code),
    }
    #[cfg(not(feature = "mpi"))]
    let _ = code;
}

/// The command before `nmt` with which it knows nothing of a launcher.
fn unset() -> String {
    let set = RANKS.into_iter().filter(|name| std::env::var_os(name).is_some());
    set.fold("env".to_string(), |command, name| format!("{command} -u {name}"))
}

/// The number of this process, where a launcher has started it.
fn rank() -> Option<usize> {
    launched().and_then(|(name, _)| std::env::var(name).ok()?.parse().ok())
}

/// Where a launcher says which of several processes this is, and how many it has started, as far as it says.
fn launched() -> Option<(&'static str, Option<usize>)> {
    let name = RANKS.into_iter().find(|name| std::env::var_os(name).is_some())?;
    Some((name, SIZES.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())))
}
