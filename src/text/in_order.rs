//! Work on pieces of a stream in several threads, with the results in the order of the stream.

use std::thread;

use crate::error::Result;

/// Take pieces from `next` until it has none, `work` on as many at a time as there are `threads`, and hand every result
/// to `take` in the order of the pieces. No more than `threads` pieces are in memory.
pub fn in_order<Piece: Send, Done: Send>(
    threads: usize,
    mut next: impl FnMut() -> Result<Option<Piece>>,
    work: impl Fn(Piece) -> Done + Sync,
    mut take: impl FnMut(Done) -> Result<()>,
) -> Result<()> {
    loop {
        let mut pieces = Vec::new();
        while pieces.len() < threads.max(1)
            && let Some(piece) = next()?
        {
            pieces.push(piece);
        }
        if pieces.is_empty() {
            return Ok(());
        }
        let done: Vec<Done> = thread::scope(|scope| {
            let work = &work;
            let running: Vec<_> = pieces.into_iter().map(|piece| scope.spawn(move || work(piece))).collect();
            let wait = |thread: thread::ScopedJoinHandle<'_, Done>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().map(wait).collect()
        });
        done.into_iter().try_for_each(&mut take)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn the_order_is_that_of_the_stream() {
        for threads in [0, 1, 3, 8] {
            let (mut numbers, mut seen) = (0..20_u64, Vec::new());
            let work = |n: u64| {
                // The later pieces of a round are done first.
                thread::sleep(std::time::Duration::from_millis(3 - n % 4 % 3));
                n * n
            };
            let take = |square| {
                seen.push(square);
                Ok(())
            };
            in_order(threads, || Ok(numbers.next()), work, take).unwrap();
            assert_eq!(seen, (0..20).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn errors_end_it() {
        let bad = || Error::usage("bad", "");
        let mut read = 0;
        let next = || {
            read += 1;
            if read == 3 { Err(bad()) } else { Ok(Some(read)) }
        };
        assert!(in_order(2, next, |n| n, |_| Ok(())).is_err());
        let mut taken = 0;
        let take = |_| {
            taken += 1;
            Err(bad())
        };
        assert!(in_order(2, || Ok(Some(1)), |n: i32| n, take).is_err());
        assert_eq!(taken, 1);
    }
}
