//! θ as one safetensors file.

use std::path::Path;

use tch::{Kind, Tensor};

use crate::error::Result;
use crate::params::{Layout, save_tensors};

/// What the numbers of an exported model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Precision {
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point (IEEE).
    Fp16,
    /// bfloat16.
    Bf16,
}

impl Precision {
    /// The kind of the tensors.
    pub fn kind(self) -> Kind {
        match self {
            Precision::Fp32 => Kind::Float,
            Precision::Fp16 => Kind::Half,
            Precision::Bf16 => Kind::BFloat16,
        }
    }
}

/// Write every block of `theta` under fairseq's name, each once, in this precision.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn plain(path: &Path, layout: &Layout, theta: &Tensor, precision: Precision) -> Result<()> {
    save_tensors(path, &blocks(layout, theta, precision))
}

/// Every block of `theta` under its name, each once, on the processor.
pub(super) fn blocks(layout: &Layout, theta: &Tensor, precision: Precision) -> Vec<(String, Tensor)> {
    let theta = theta.detach().to_device(tch::Device::Cpu).to_kind(precision.kind());
    let parts = layout.blocks().iter().zip(layout.split(&theta));
    parts.map(|(block, part)| (block.name.clone(), part.view(block.shape.as_slice()))).collect()
}
