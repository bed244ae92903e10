//! What is on GPUs goes from one to another by NCCL, without a way through the processors' memory.

use std::ffi::{c_char, c_int, c_void};
use std::fmt::Debug;
use std::sync::Arc;

use cudarc::driver::CudaContext;
use cudarc::nccl::{result, sys};
use tch::{Device, Kind, Tensor};

use super::Communicator;
use crate::error::{Error, Result};

/// Processes with a GPU each. What is on the processors goes the way that they had before.
///
/// It is not taken apart: that would wait for the others, and a process that fails has to end first.
pub struct Nccl {
    others: Box<dyn Communicator>,
    communicator: sys::ncclComm_t,
    /// What NCCL finds the GPU by, as long as it is used.
    _context: Arc<CudaContext>,
}

impl Nccl {
    /// Join the GPUs of all `others`; this process has the one of this number on its machine.
    ///
    /// # Errors
    /// [`Error::Content`] where there is no NCCL, and what NCCL says.
    pub fn join(others: Box<dyn Communicator>, gpu: usize) -> Result<Nccl> {
        // SAFETY: loading a library runs nothing of it but its own beginning.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::content(
                "NCCL",
                "libnccl.so among the libraries",
                "none",
                "put a link of this name to libnccl.so.2 into a folder of LD_LIBRARY_PATH; Python's torch has it in nvidia/nccl/lib",
            ));
        }
        let context = CudaContext::new(gpu).map_err(|error| refused("the GPU", &error))?;
        let mut id = vec![0.0; size_of::<sys::ncclUniqueId>()];
        if others.is_first() {
            let chosen = result::get_uniqueid().map_err(|error| refused("an identity", &error.0))?;
            id = chosen.internal.iter().map(|byte| f64::from(*byte)).collect();
        }
        let mut everyones = Tensor::from_slice(&id);
        others.broadcast(&mut everyones)?;
        let mut internal = [0; size_of::<sys::ncclUniqueId>()];
        internal.iter_mut().zip(Vec::<f64>::try_from(&everyones)?).for_each(|(byte, number)| *byte = number as c_char);
        let mut communicator = std::ptr::null_mut();
        let (rank, size) = (others.rank() as c_int, others.size() as c_int);
        // SAFETY: the identity is one that NCCL gave, and all processes do this.
        unsafe { result::comm_init_rank(&mut communicator, size, sys::ncclUniqueId { internal }, rank) }
            .map_err(|error| refused("the other processes", &error.0))?;
        Ok(Nccl { others, communicator, _context: context })
    }
}

/// Whether NCCL takes a tensor as it is, and as what.
fn kind_on_gpu(tensor: &Tensor) -> Option<sys::ncclDataType_t> {
    match (tensor.device(), tensor.is_contiguous(), tensor.kind()) {
        (Device::Cuda(_), true, Kind::Float) => Some(sys::ncclDataType_t::ncclFloat32),
        (Device::Cuda(_), true, Kind::Double) => Some(sys::ncclDataType_t::ncclFloat64),
        _ => None,
    }
}

fn refused(what: &str, found: &impl Debug) -> Error {
    Error::content(
        "NCCL",
        what,
        format!("{found:?}"),
        "NCCL_DEBUG=INFO says more; a build without the feature nccl does without it",
    )
}

impl Communicator for Nccl {
    fn rank(&self) -> usize {
        self.others.rank()
    }

    fn size(&self) -> usize {
        self.others.size()
    }

    fn sum(&self, tensor: &mut Tensor) -> Result<()> {
        let Some(kind) = kind_on_gpu(tensor) else { return self.others.sum(tensor) };
        let (data, count) = (tensor.data_ptr().cast::<c_void>(), tensor.numel());
        // libtorch computes on the null stream, too: what comes before is done before, and what comes after waits.
        // SAFETY: `data` are `count` numbers of this kind on the GPU, which stay there until the null stream is done with them.
        unsafe {
            let sum = sys::ncclRedOp_t::ncclSum;
            result::all_reduce(data, data, count, kind, sum, self.communicator, std::ptr::null_mut())
        }
        .map_err(|error| refused("a sum", &error.0))?;
        Ok(())
    }

    fn broadcast(&self, tensor: &mut Tensor) -> Result<()> {
        let Some(kind) = kind_on_gpu(tensor) else { return self.others.broadcast(tensor) };
        let (data, count) = (tensor.data_ptr().cast::<c_void>(), tensor.numel());
        // SAFETY: as in `sum`.
        unsafe { result::broadcast(data, data, count, kind, 0, self.communicator, std::ptr::null_mut()) }
            .map_err(|error| refused("a broadcast", &error.0))?;
        Ok(())
    }
}
