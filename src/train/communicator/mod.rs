//! Several processes that train one model: each has the whole model, takes its share of an update's batches, and adds up its
//! gradient with those of the others. Only the first one writes.

#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;

use sha2::{Digest, Sha256};
use tch::Tensor;

#[cfg(feature = "mpi")]
pub use self::mpi::Mpi;
#[cfg(feature = "nccl")]
pub use self::nccl::Nccl;
use crate::error::{Error, Result};

/// The processes that train together, seen from one of them. Each calls the same functions in the same order.
pub trait Communicator {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// The number of processes, from 1.
    fn size(&self) -> usize;

    /// Whether this process is the first, the one that writes.
    fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Add up a tensor of all processes, fp32 or fp64 and of one shape, in place: each has the same sum, to the bit.
    ///
    /// # Errors
    /// [`Error::Content`] where the others can't be reached.
    fn sum(&self, tensor: &mut Tensor) -> Result<()>;

    /// Give the tensor of the first process, fp32 or fp64 and of one shape, to all, in place.
    ///
    /// # Errors
    /// As [`Communicator::sum`].
    fn broadcast(&self, tensor: &mut Tensor) -> Result<()>;
}

/// One process that trains alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut Tensor) -> Result<()> {
        Ok(())
    }

    fn broadcast(&self, _: &mut Tensor) -> Result<()> {
        Ok(())
    }
}

/// The numbers of all processes added up.
///
/// # Errors
/// As [`Communicator::sum`].
pub(super) fn sums(processes: &dyn Communicator, numbers: &[f64]) -> Result<Vec<f64>> {
    let mut tensor = Tensor::from_slice(numbers);
    processes.sum(&mut tensor)?;
    Ok(Vec::<f64>::try_from(&tensor)?)
}

/// A number of every process, in their order.
///
/// # Errors
/// As [`Communicator::sum`].
pub(super) fn everyones(processes: &dyn Communicator, number: f64) -> Result<Vec<f64>> {
    let mut slots = vec![0.0; processes.size()];
    slots[processes.rank()] = number;
    sums(processes, &slots)
}

/// The number of the first process.
///
/// # Errors
/// As [`Communicator::broadcast`].
pub(super) fn of_first(processes: &dyn Communicator, number: f64) -> Result<f64> {
    let mut tensor = Tensor::from_slice(&[number]);
    processes.broadcast(&mut tensor)?;
    Ok(tensor.double_value(&[0]))
}

/// Wait until all processes are here.
///
/// # Errors
/// As [`Communicator::sum`].
pub fn wait_for_all(processes: &dyn Communicator) -> Result<()> {
    sums(processes, &[0.0]).map(drop)
}

/// Refuse to go on, in all processes, where one has another `what` than the first, such as another configuration.
///
/// # Errors
/// [`Error::Content`] that names it; as [`Communicator::sum`].
pub fn agree(processes: &dyn Communicator, what: &str, value: &str) -> Result<()> {
    if processes.size() == 1 {
        return Ok(());
    }
    let own = fingerprint(value);
    let first = of_first(processes, own)?;
    let differs = everyones(processes, f64::from(u8::from(own != first)))?;
    let Some(other) = differs.iter().position(|differs| *differs != 0.0) else { return Ok(()) };
    let [expected, found] = [text_of(processes, 0, value)?, text_of(processes, other, value)?];
    let (expected, found) = first_difference(&expected, &found);
    Err(Error::content(
        format!("process {other} of {}", processes.size()),
        format!("the {what} of process 0: {expected}"),
        found,
        "give all processes one command, and their machines, of one kind, the same files",
    ))
}

/// The text that the process of this rank has, where each has one.
fn text_of(processes: &dyn Communicator, rank: usize, own: &str) -> Result<String> {
    let own = if processes.rank() == rank { own } else { "" };
    let length = sums(processes, &[own.len() as f64])?[0] as usize;
    let mut bytes: Vec<f64> = own.bytes().map(f64::from).collect();
    bytes.resize(length, 0.0);
    let bytes: Vec<u8> = sums(processes, &bytes)?.into_iter().map(|byte| byte as u8).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first parts of two texts, lines or what stands between commas, that differ.
fn first_difference(one: &str, other: &str) -> (String, String) {
    let parts = |text: &str| text.split(['\n', ',']).map(|part| part.trim().to_string()).collect::<Vec<_>>();
    let (one, other) = (parts(one), parts(other));
    let end = || "its end".to_string();
    let at = one.iter().zip(&other).position(|(one, other)| one != other).unwrap_or(one.len().min(other.len()));
    (one.get(at).cloned().unwrap_or_else(end), other.get(at).cloned().unwrap_or_else(end))
}

/// How many processes say the same as this one: those before it, and all, with this one.
///
/// # Errors
/// As [`Communicator::sum`].
pub fn how_many_alike(processes: &dyn Communicator, said: &str) -> Result<(usize, usize)> {
    let own = fingerprint(said);
    let all = everyones(processes, own)?;
    let of = |some: &[f64]| some.iter().filter(|other| **other == own).count();
    Ok((of(&all[..processes.rank()]), of(&all)))
}

/// A whole number that tells texts apart; fp64 has all of its bits.
fn fingerprint(text: &str) -> f64 {
    Sha256::digest(text).iter().take(6).fold(0.0, |number, byte| number * 256.0 + f64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let of = |one: &str, other: &str| first_difference(one, other);
        assert_eq!(
            of("{ a: 1, b: Some(4), c: 2 }", "{ a: 1, b: Some(5), c: 2 }"),
            ("b: Some(4)".into(), "b: Some(5)".into())
        );
        assert_eq!(of("x\ny = 1\n", "x\n"), ("y = 1".into(), String::new()));
        assert_eq!(of("a", "a,b"), ("its end".into(), "b".into()));
    }
}
