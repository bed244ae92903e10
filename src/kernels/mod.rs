//! What libtorch has no fused operation for on a processor: dropout with the residual sum and its normalisation, ReLU
//! with dropout, attention over sentences that lie one after the other, cross-entropy that leaves its gradient in
//! the logits, the best continuations of a beam, Adam in one pass. Matrix products stay libtorch's, but for those of a
//! few rows.
//!
//! Every kernel works on contiguous tensors on the processor, in fp32 or bf16 (computing in fp32), and gives the same
//! bits for every number of threads: work is cut into parts by size alone.

mod adam;
mod attention;
mod candidates;
mod cross_entropy;
mod dropout;
mod element;
mod embedding;
mod few_rows;
mod matrix;
mod norm;
mod packed_linear;
mod relu;
mod steps;
mod sums;
mod threads;
mod vector;

pub use adam::{AdamStep, adam};
pub use attention::{AttentionShape, Heads, attention, attention_backward};
pub use candidates::{Continuations, best_continuations};
pub use cross_entropy::cross_entropy;
pub use dropout::Mask;
pub use embedding::{embed, embed_backward};
pub use few_rows::few_rows_linear;
pub use norm::{LAYER_NORM_EPSILON, NormSums, Normed, Sum, sum_norm, sum_norm_backward};
pub use packed_linear::{PackedWeights, packed_linear};
pub use relu::{relu_dropout, relu_dropout_backward};
pub use steps::attention_over_steps;
pub use sums::column_sums;
