//! Batches that there is not enough memory for.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::error::{Error, Result};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// What `compute` gives, or what libtorch says of the memory that it did not get. tch panics where libtorch refuses, and
/// every other panic goes on.
pub(crate) fn watch<T>(compute: impl FnOnce() -> T) -> std::result::Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let usual = take_hook();
        // The message of the error says it once.
        set_hook(Box::new(move |panic| {
            if !(WATCHED.get() && text_of(panic.payload()).and_then(of_memory).is_some()) {
                usual(panic);
            }
        }));
    });
    WATCHED.set(true);
    // What was borrowed is given up with the run: nobody sees it half done.
    let outcome = catch_unwind(AssertUnwindSafe(compute));
    WATCHED.set(false);
    outcome.map_err(|panic| match text_of(panic.as_ref()).and_then(of_memory) {
        Some(found) => found,
        None => resume_unwind(panic),
    })
}

/// [`watch`], whose refusal is an error of this `batch` that says what to lower.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn within<T>(batch: &str, next: &str, compute: impl FnOnce() -> T) -> Result<T> {
    let refused = |found| Error::OutOfMemory { batch: batch.to_string(), found, next: next.to_string() };
    watch(compute).map_err(refused)
}

fn text_of(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied())
}

/// The sentence of libtorch's message that says how much it wanted; none of another message.
fn of_memory(text: &str) -> Option<String> {
    // tch shows the message as Rust writes a string, with \n for the ends of lines.
    let mut lines = text.split(['\n', '"']).flat_map(|line| line.split("\\n"));
    let line =
        lines.find(|line| ["can't allocate memory", "out of memory"].iter().any(|words| line.contains(words)))?;
    let end = line.find("Exception raised from").unwrap_or(line.len());
    Some(line[..end].rsplit("DefaultCPUAllocator: ").next().unwrap_or(line).trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_other_failures() {
        assert_eq!(watch(|| 3), Ok(3));
        // As tch 0.24 says what libtorch 2.11 says.
        let message = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail at alloc_cpu.cpp:124] err == 0. \
                       DefaultCPUAllocator: can't allocate memory: you tried to allocate 5 bytes. Error code 12 (Cannot \
                       allocate memory)\\nException raised from alloc_cpu\\n\")";
        let found = watch(|| panic!("{message}")).map(|(): ()| ()).unwrap_err();
        assert_eq!(
            found,
            "can't allocate memory: you tried to allocate 5 bytes. Error code 12 (Cannot allocate memory)"
        );
        assert!(catch_unwind(|| watch(|| panic!("another"))).is_err());
    }
}
