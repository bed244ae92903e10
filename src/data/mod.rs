//! Tokens to batches: dictionaries, memory-mapped datasets, batching by tokens.
//!
//! A data folder ("data-bin") holds what fairseq-preprocess writes: `dict.LANG.txt` and, for every split and language,
//! `SPLIT.SRC-TGT.LANG.bin` and `.idx`. Folders made by either program are read by the other.

mod agreement;
mod batching;
mod collate;
mod dictionary;
mod dtype;
mod folder;
mod indexed;
mod indexed_writer;
mod mapped_file;
mod parallel;
mod preprocess;

pub use agreement::check_agreement;
pub use batching::{Limits, batch_by_size, epoch_batches, ordered_indices};
pub use collate::{Batch, collate};
pub use dictionary::{BOS, Dictionary, DictionaryLimits, EOS, PAD, UNK, words};
pub use dtype::Dtype;
pub use folder::{DataFolder, dictionary_path, is_name};
pub use indexed::IndexedDataset;
pub use indexed_writer::IndexedWriter;
pub use parallel::ParallelDataset;
pub use preprocess::{
    Bpe, DictionaryOptions, DictionaryReport, DropoutOptions, DroppedPairs, PreprocessOptions, PreprocessReport,
    Recipe, SideReport, SplitReport, preprocess,
};
