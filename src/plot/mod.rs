//! Pictures made from logs: learning curves.
