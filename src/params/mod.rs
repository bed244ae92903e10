//! θ: every parameter of a network in ONE contiguous fp32 tensor of shape `[P]`.
//!
//! A [`Layout`] knows where each block lies in θ; a model holds [`View`] handles and is a function of (θ, batch).
//! Optimisers, gradient norms, GradInit's scales and checkpoints work on θ and the layout alone.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use tch::{Kind, Tensor};

pub use file::{raw_bytes, safetensors_metadata, save_tensors, save_vectors, tensor_from_view, with_safetensors};

use crate::error::{Error, Result};

/// What a block is in the network; it decides initialisation and the lower bound of its GradInit scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// The matrix of a linear layer, `[out, in]`.
    Weight,
    /// An additive vector.
    Bias,
    /// The multiplier of a normalisation layer.
    NormScale,
    /// The shift of a normalisation layer.
    NormBias,
    /// An embedding table, `[symbols, d]`.
    Embedding,
    /// Admin's multiplier of a skip connection, `[d]`.
    SkipScale,
    /// FixUp's multiplier of a residual branch, `[1]`.
    BranchScale,
    /// A scalar that FixUp adds inside a residual branch, `[1]`.
    BranchBias,
    /// The kernel of a convolution, `[out, in, height, width]`.
    Convolution,
    /// The running mean of a batch normalisation: no parameter.
    RunningMean,
    /// The running variance of a batch normalisation: no parameter.
    RunningVariance,
}

impl BlockKind {
    /// Whether the block is an additive one: its scale is bounded by β instead of α (paper, section 3.5).
    pub fn is_bias(self) -> bool {
        matches!(self, BlockKind::Bias | BlockKind::NormBias | BlockKind::BranchBias)
    }
}

/// One named parameter: what gets one scale from GradInit and one entry in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The name, as in fairseq's state dict.
    pub name: String,
    /// Its shape; the product is its length in θ.
    pub shape: Vec<i64>,
    /// Where it starts in θ.
    pub offset: i64,
    /// What it is.
    pub kind: BlockKind,
}

impl Block {
    /// The number of elements; the greatest integer where there is no larger one.
    pub fn numel(&self) -> i64 {
        self.shape.iter().fold(1, |product: i64, &size| product.saturating_mul(size))
    }
}

/// A handle on a tensor that the model reads: one block, or neighbouring blocks joined along their first dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View(usize);

impl View {
    /// Its number among those of its layout, from 0.
    pub fn number(self) -> usize {
        self.0
    }
}

/// Where every block lies in θ.
///
/// ```
/// use nmt::params::{BlockKind, Layout};
/// let mut layout = Layout::default();
/// let joined = layout.add_joined(&["q.weight", "k.weight"], &[2, 3], BlockKind::Weight);
/// let bias = layout.add("bias", &[4], BlockKind::Bias);
/// assert_eq!(layout.total(), 16);
/// let theta = tch::Tensor::arange(16, (tch::Kind::Float, tch::Device::Cpu));
/// let views = layout.views(&theta);
/// assert_eq!(views[joined].size(), [4, 3]); // one matrix for the model …
/// assert_eq!(layout.blocks().len(), 3); // … but two blocks with a scale each
/// assert_eq!(views[bias].double_value(&[0]), 12.0);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Layout {
    blocks: Vec<Block>,
    reads: Vec<Vec<i64>>,
    aliases: HashMap<String, String>,
    total: i64,
}

impl Layout {
    /// Append a block.
    pub fn add(&mut self, name: &str, shape: &[i64], kind: BlockKind) -> View {
        self.add_joined(&[name], shape, kind)
    }

    /// Append blocks of one shape that the model reads as one tensor, joined along the first dimension, so that
    /// query, key and value are one matrix product and still three blocks.
    pub fn add_joined(&mut self, names: &[&str], shape: &[i64], kind: BlockKind) -> View {
        for name in names {
            let block = Block { name: name.to_string(), shape: shape.to_vec(), offset: self.total, kind };
            self.total = self.total.saturating_add(block.numel());
            self.blocks.push(block);
        }
        let mut joined = shape.to_vec();
        if let Some(first) = joined.first_mut() {
            *first = first.saturating_mul(names.len() as i64);
        }
        self.reads.push(joined);
        View(self.reads.len() - 1)
    }

    /// A checkpoint may call the block `block` by the name `alias` too (a tied tensor).
    pub fn alias(&mut self, alias: &str, block: &str) {
        self.aliases.insert(alias.to_string(), block.to_string());
    }

    /// The inputs of one output of the layer that a bias belongs to: the product of its weight's dimensions but the first;
    /// none where no weight goes with it.
    ///
    /// ```
    /// use nmt::params::{BlockKind, Layout};
    /// let mut layout = Layout::default();
    /// layout.add("conv.weight", &[8, 4, 3, 3], BlockKind::Convolution);
    /// layout.add("conv.bias", &[8], BlockKind::Bias);
    /// assert_eq!(layout.fan_in_of_bias(&layout.blocks()[1]), Some(36));
    /// ```
    pub fn fan_in_of_bias(&self, bias: &Block) -> Option<i64> {
        let weight = bias.name.replace(".bias", ".weight");
        let block = self.blocks.iter().find(|block| block.name == weight && block.name != bias.name)?;
        Some(block.shape.iter().skip(1).product())
    }

    /// The blocks in the order of θ.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The length P of θ.
    pub fn total(&self) -> i64 {
        self.total
    }

    /// The tensors that the model reads, as differentiable views of `theta` (shape `[P]`, any kind).
    pub fn views(&self, theta: &Tensor) -> Views {
        let sizes: Vec<i64> = self.reads.iter().map(|shape| shape.iter().product()).collect();
        let parts = theta.split_with_sizes(&sizes, 0);
        Views(parts.iter().zip(&self.reads).map(|(part, shape)| part.view(shape.as_slice())).collect())
    }

    /// The blocks of a vector of θ's shape, each flat: `[numel]`.
    pub fn split(&self, vector: &Tensor) -> Vec<Tensor> {
        let sizes: Vec<i64> = self.blocks.iter().map(Block::numel).collect();
        vector.split_with_sizes(&sizes, 0)
    }

    /// The first block with an element that is not finite.
    pub fn first_non_finite(&self, vector: &Tensor) -> Option<&Block> {
        let parts = self.split(vector);
        self.blocks.iter().zip(parts).find(|(_, part)| part.isfinite().all().int64_value(&[]) == 0).map(|(b, _)| b)
    }

    /// Write `vectors` (each of θ's shape, fp32, under a name prefix that may be empty) as safetensors, as
    /// [`save_vectors`] does.
    ///
    /// # Errors
    /// As [`save_vectors`].
    pub fn save(&self, path: &Path, vectors: &[(&str, &Tensor)], metadata: &BTreeMap<String, String>) -> Result<()> {
        let of_this: Vec<_> = vectors.iter().map(|(prefix, vector)| (self, *prefix, *vector)).collect();
        save_vectors(path, &of_this, metadata)
    }

    /// Read the vector stored under a name prefix: the reverse of [`Layout::save`]. fp32, fp64, fp16 and bf16 are read.
    ///
    /// # Errors
    /// [`Error::Content`] when a block is missing, has another shape, holds something else than numbers, or the file is
    /// truncated or altered.
    pub fn load(&self, path: &Path, prefix: &str) -> Result<Tensor> {
        with_safetensors(path, |tensors| self.read(path, tensors, prefix))
    }

    /// The vectors under several prefixes, as [`Layout::load`] reads one; the file is checked once.
    ///
    /// # Errors
    /// As [`Layout::load`].
    pub fn load_all(&self, path: &Path, prefixes: &[String]) -> Result<Vec<Tensor>> {
        with_safetensors(path, |tensors| prefixes.iter().map(|prefix| self.read(path, tensors, prefix)).collect())
    }

    /// As [`Layout::load`] without a prefix, but for the blocks that `instead` gives.
    ///
    /// # Errors
    /// As [`Layout::load`].
    pub fn load_but(&self, path: &Path, instead: impl Fn(&str) -> Option<Tensor>) -> Result<Tensor> {
        with_safetensors(path, |tensors| self.read_but(path, tensors, "", instead))
    }

    fn read(&self, path: &Path, tensors: &SafeTensors, prefix: &str) -> Result<Tensor> {
        self.read_but(path, tensors, prefix, |_| None)
    }

    fn read_but(
        &self,
        path: &Path,
        tensors: &SafeTensors,
        prefix: &str,
        instead: impl Fn(&str) -> Option<Tensor>,
    ) -> Result<Tensor> {
        let place = path.display().to_string();
        self.gather(&place, |name| {
            if let Some(tensor) = instead(name) {
                return Ok(Some(tensor));
            }
            let Ok(view) = tensors.tensor(&format!("{prefix}{name}")) else { return Ok(None) };
            if !matches!(view.dtype(), Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16) {
                let expected = format!("`{name}` of floating-point numbers");
                let next = "the file is damaged: use another checkpoint";
                return Err(Error::content(&place, expected, format!("{:?}", view.dtype()), next));
            }
            tensor_from_view(&place, &view).map(Some)
        })
    }

    /// Other names for blocks, each with the block's own.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &str)> {
        self.aliases.iter().map(|(alias, block)| (alias.as_str(), block.as_str()))
    }

    /// Whether a block has this name, or another name for one is this.
    pub fn knows(&self, name: &str) -> bool {
        self.aliases.contains_key(name) || self.blocks.iter().any(|block| block.name == name)
    }

    /// θ of tensors that `find` gives by name, each block under its own or another of its names, on the CPU; `place` names them in
    /// errors.
    ///
    /// # Errors
    /// [`Error::Content`] when a block is missing, has another shape, or numbers that are not finite.
    pub fn gather(&self, place: &str, find: impl Fn(&str) -> Result<Option<Tensor>>) -> Result<Tensor> {
        let theta = Tensor::zeros([self.total], (Kind::Float, tch::Device::Cpu));
        for block in &self.blocks {
            let others = self.aliases.iter().filter(|(_, its)| **its == block.name).map(|(alias, _)| alias.as_str());
            let mut found = None;
            for name in std::iter::once(block.name.as_str()).chain(others) {
                found = find(name)?;
                if found.is_some() {
                    break;
                }
            }
            let tensor = found.ok_or_else(|| {
                let next = "the file is of another model: give the --config and --set that it was made with";
                Error::content(place, format!("a tensor `{}`", block.name), "none", next)
            })?;
            if tensor.size() != block.shape {
                return Err(Error::content(
                    place,
                    format!("`{}` of shape {:?}", block.name, block.shape),
                    format!("shape {:?}", tensor.size()),
                    "the file was made with other model sizes, dictionaries or classes: give every command the same --data, \
                     --config and --set",
                ));
            }
            if tensor.isfinite().all().int64_value(&[]) == 0 {
                let expected = format!("`{}` of finite numbers", block.name);
                let next = "they have diverged, or the file is damaged: use another checkpoint";
                return Err(Error::content(place, expected, "infinity or NaN", next));
            }
            theta.narrow(0, block.offset, block.numel()).copy_(&tensor.to_kind(Kind::Float).reshape([-1]));
        }
        Ok(theta)
    }
}

/// The tensors of one θ, indexed by [`View`].
pub struct Views(Vec<Tensor>);

impl Views {
    /// How many views the layout has.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl std::ops::Index<View> for Views {
    type Output = Tensor;

    fn index(&self, view: View) -> &Tensor {
        &self.0[view.0]
    }
}
