//! Work on pieces of a stream in several threads, with the results in the order of the stream.

use std::sync::mpsc::{channel, sync_channel};
use std::thread;

use crate::error::Result;

/// Take pieces from `next` until it has none, `work` on them in `threads` threads, and hand every result to `take` in
/// the order of the pieces. `next` and `take` run in the calling thread, while the others work. No more than two pieces
/// a thread are in memory. With one thread, the calling one does everything.
pub fn in_order<Piece: Send, Done: Send>(
    threads: usize,
    mut next: impl FnMut() -> Result<Option<Piece>>,
    work: impl Fn(Piece) -> Done + Sync,
    mut take: impl FnMut(Done) -> Result<()>,
) -> Result<()> {
    if threads <= 1 {
        while let Some(piece) = next()? {
            take(work(piece))?;
        }
        return Ok(());
    }
    thread::scope(|scope| {
        let work = &work;
        // Piece i goes to thread i modulo their number, and its result comes back from there.
        let start = |_| {
            let (give, pieces) = sync_channel::<Piece>(2);
            let (give_back, results) = channel();
            scope.spawn(move || pieces.into_iter().try_for_each(|piece| give_back.send(work(piece))));
            (give, results)
        };
        let workers: Vec<_> = (0..threads).map(start).collect();
        let (mut given, mut taken) = (0, 0);
        let mut ended = false;
        loop {
            while !ended && given < taken + 2 * threads {
                match next()? {
                    // A thread that is gone has panicked, which the end of the scope passes on.
                    Some(piece) => _ = workers[given % threads].0.send(piece),
                    None => ended = true,
                }
                given += usize::from(!ended);
            }
            if taken == given {
                return Ok(());
            }
            let Ok(done) = workers[taken % threads].1.recv() else { return Ok(()) };
            take(done)?;
            taken += 1;
        }
    })
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
                // Later pieces are done before earlier ones.
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
