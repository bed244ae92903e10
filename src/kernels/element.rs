//! Elements of tensors that kernels read and write: fp32 and bf16, both computed with in fp32.

use tch::{Device, Kind, Tensor};

/// fp32 or bf16.
pub trait Element: Copy + Send + Sync + 'static {
    /// The kind of its tensors.
    const KIND: Kind;
    /// Widen.
    fn to_f32(self) -> f32;
    /// Round to nearest, ties to even.
    fn from_f32(value: f32) -> Self;
}

impl Element for f32 {
    const KIND: Kind = Kind::Float;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> f32 {
        value
    }
}

/// bfloat16: the upper half of an fp32.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Bf16(u16);

impl Bf16 {
    /// As it is stored.
    #[inline(always)]
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl Element for Bf16 {
    const KIND: Kind = Kind::BFloat16;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        // Rounding must not carry a NaN into infinity.
        Bf16(if value.is_nan() { 0x7fc0 } else { rounded as u16 })
    }
}

/// The elements of a contiguous tensor on the processor.
pub fn elements<E: Element>(tensor: &Tensor) -> &[E] {
    check::<E>(tensor);
    // SAFETY: checked to be contiguous and of this kind; the tensor outlives the slice.
    unsafe { std::slice::from_raw_parts(pointer(tensor), tensor.numel()) }
}

/// The elements of a contiguous tensor on the processor, to be written.
pub fn elements_mut<E: Element>(tensor: &mut Tensor) -> &mut [E] {
    check::<E>(tensor);
    // SAFETY: as above; kernels write tensors that they have just made, or that the caller owns.
    unsafe { std::slice::from_raw_parts_mut(pointer(tensor), tensor.numel()) }
}

fn check<E: Element>(tensor: &Tensor) {
    assert!(
        tensor.kind() == E::KIND && tensor.is_contiguous() && tensor.device() == Device::Cpu,
        "a kernel wants a contiguous {:?} tensor on the processor",
        E::KIND
    );
}

/// Empty tensors have no storage, and slices no null pointer.
fn pointer<E>(tensor: &Tensor) -> *mut E {
    if tensor.numel() == 0 { std::ptr::NonNull::dangling().as_ptr() } else { tensor.data_ptr().cast() }
}

/// A tensor to be filled.
pub fn empty<E: Element>(shape: &[i64]) -> Tensor {
    Tensor::empty(shape, (E::KIND, Device::Cpu))
}

/// Call a kernel that is generic over the element with the kind of a tensor.
macro_rules! by_kind {
    ($tensor:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $tensor.kind() {
            tch::Kind::BFloat16 => $function::<$crate::kernels::element::Bf16>($($argument),*),
            _ => $function::<f32>($($argument),*),
        }
    };
}
pub(super) use by_kind;

#[cfg(test)]
mod tests {
    use super::*;

    /// Oracle: libtorch's own rounding.
    #[test]
    fn bf16_rounds_as_libtorch_does() {
        let values = [0.0f32, -0.0, 1.0, 1.0 / 3.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 3.4e38, 1e-40, f32::INFINITY];
        let torch = Tensor::from_slice(&values).to_kind(Kind::BFloat16).to_kind(Kind::Float);
        for (value, expected) in values.iter().zip(Vec::<f32>::try_from(torch).unwrap()) {
            assert_eq!(Bf16::from_f32(*value).to_f32().to_bits(), expected.to_bits(), "{value}");
        }
        assert!(Bf16::from_f32(f32::NAN).to_f32().is_nan());
    }
}
