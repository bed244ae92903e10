//! Tokens to batches: dictionaries, memory-mapped datasets, batching by tokens.
