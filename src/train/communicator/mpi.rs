//! Processes that a launcher of MPI has started, such as Open MPI's `mpirun`.

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::traits::{Communicator as _, CommunicatorCollectives, Equivalence, Root};
use tch::{Device, Kind, Tensor};

use super::Communicator;
use crate::error::{Error, Result};

/// Numbers that are on their way at once: what comes back has this much memory of its own, however long a tensor is.
const AT_ONCE: usize = 1 << 20;

/// All processes of the launcher: MPI's world.
pub struct Mpi {
    world: mpi::topology::SimpleCommunicator,
}

impl Mpi {
    /// Become one of them. It can be done once in a process.
    ///
    /// # Errors
    /// [`Error::Content`] where it was done before.
    pub fn join() -> Result<Mpi> {
        let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else {
            return Err(Error::content("MPI", "a process that joins once", "one that has joined already", ""));
        };
        let world = universe.world();
        std::mem::forget(universe); // What MPI has is taken apart in `leave`, not where this goes.
        Ok(Mpi { world })
    }

    /// The last thing that all of them do together; nothing in a process that has not joined.
    pub fn leave() {
        if Mpi::joined() {
            // SAFETY: MPI is there and has not been taken apart.
            unsafe { mpi::ffi::MPI_Finalize() };
        }
    }

    /// End all of them with this exit code; nothing in a process that has not joined.
    pub fn abort(code: i32) {
        if Mpi::joined() {
            mpi::topology::SimpleCommunicator::world().abort(code)
        }
    }

    fn joined() -> bool {
        let (mut begun, mut ended) = (0, 0);
        // SAFETY: both may be asked at any time, and write one number.
        unsafe {
            mpi::ffi::MPI_Initialized(&mut begun);
            mpi::ffi::MPI_Finalized(&mut ended);
        }
        begun != 0 && ended == 0
    }

    fn sum_of_all<T: Equivalence + Copy>(&self, numbers: &mut [T]) {
        for part in numbers.chunks_mut(AT_ONCE) {
            let own = part.to_vec();
            self.world.all_reduce_into(&own[..], part, SystemOperation::sum());
        }
    }

    fn of_first<T: Equivalence>(&self, numbers: &mut [T]) {
        for part in numbers.chunks_mut(AT_ONCE) {
            self.world.process_at_rank(0).broadcast_into(part);
        }
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn sum(&self, tensor: &mut Tensor) -> Result<()> {
        in_place(tensor, |numbers| self.sum_of_all(numbers), |numbers| self.sum_of_all(numbers));
        Ok(())
    }

    fn broadcast(&self, tensor: &mut Tensor) -> Result<()> {
        in_place(tensor, |numbers| self.of_first(numbers), |numbers| self.of_first(numbers));
        Ok(())
    }
}

/// Change the numbers of `tensor` by one of the two functions. Those on a GPU come to the processor and go back.
fn in_place(tensor: &mut Tensor, fp32: impl Fn(&mut [f32]), fp64: impl Fn(&mut [f64])) {
    let kind = if tensor.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let host = tensor.detach().to_device(Device::Cpu).to_kind(kind).contiguous();
    let count = host.numel();
    if count == 0 {
        return;
    }
    // SAFETY: `host` has `count` numbers of its kind, one after the other, which nobody else reads or writes meanwhile.
    unsafe {
        match kind {
            Kind::Double => fp64(std::slice::from_raw_parts_mut(host.data_ptr().cast(), count)),
            _ => fp32(std::slice::from_raw_parts_mut(host.data_ptr().cast(), count)),
        }
    }
    if host.data_ptr() != tensor.data_ptr() {
        tch::no_grad(|| tensor.copy_(&host));
    }
}
