//! One file a sub-command: arguments -> one call into the library, progress, exit code.
