//! Loops on all cores, on the threads that libtorch uses itself: two pools would fight for the cores, because an
//! OpenMP thread keeps its core busy for a while after its work is done.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// `GOMP_parallel(function, data, threads, flags)` of the OpenMP library that libtorch brings.
type GompParallel = unsafe extern "C" fn(extern "C" fn(*mut c_void), *mut c_void, u32, u32);

fn gomp_parallel() -> Option<GompParallel> {
    static FOUND: OnceLock<Option<GompParallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: a look-up by name among the loaded libraries; the symbol has had this signature since GCC 4.9.
        unsafe {
            let symbol = libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr());
            (!symbol.is_null()).then(|| std::mem::transmute::<*mut c_void, GompParallel>(symbol))
        }
    })
}

struct Shared<'a> {
    next: AtomicUsize,
    parts: usize,
    work: &'a (dyn Fn(usize) + Sync),
}

impl Shared<'_> {
    fn run(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                return;
            }
            (self.work)(part);
        }
    }
}

extern "C" fn run_shared(data: *mut c_void) {
    // SAFETY: `parallel` hands a `Shared` that lives until every thread has returned from here.
    unsafe { &*data.cast::<Shared>() }.run();
}

/// Run `work(0)` to `work(parts - 1)`, in any order, on as many threads as libtorch uses.
pub fn parallel(parts: usize, work: impl Fn(usize) + Sync) {
    let threads = (tch::get_num_threads().max(1) as usize).min(parts);
    let shared = Shared { next: AtomicUsize::new(0), parts, work: &work };
    if threads <= 1 {
        return shared.run();
    }
    match gomp_parallel() {
        // SAFETY: the call returns when all threads have.
        Some(parallel) => unsafe { parallel(run_shared, (&raw const shared).cast_mut().cast(), threads as u32, 0) },
        None => std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(|| shared.run())));
            shared.run();
        }),
    }
}

/// Into how many parts the rows of a kernel are cut, whatever the number of threads: sums of parts have fixed bits.
pub const PARTS: usize = 32;

/// The rows of part `part` when `rows` are cut into `parts`.
pub fn part_of(rows: usize, parts: usize, part: usize) -> Range<usize> {
    rows * part / parts..rows * (part + 1) / parts
}

/// A slice that the parts of a parallel loop write to, each its own ranges.
pub struct Disjoint<'a, T> {
    start: *mut T,
    length: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: ranges that are written at a time do not overlap, which is what `range` asks of its caller.
unsafe impl<T: Send> Sync for Disjoint<'_, T> {}

impl<'a, T> Disjoint<'a, T> {
    /// Share `slice`.
    pub fn new(slice: &'a mut [T]) -> Disjoint<'a, T> {
        Disjoint { start: slice.as_mut_ptr(), length: slice.len(), slice: PhantomData }
    }

    /// Another handle on the same slice.
    pub fn share(&self) -> Disjoint<'a, T> {
        Disjoint { start: self.start, length: self.length, slice: PhantomData }
    }

    /// A range of the slice.
    ///
    /// # Safety
    /// No two ranges that overlap may be alive at a time.
    #[allow(clippy::mut_from_ref)] // That is what it is for.
    pub unsafe fn range(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.length);
        // SAFETY: inside the slice; overlap is the caller's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.end - range.start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_runs_once_on_any_pool() {
        assert!(gomp_parallel().is_some(), "libtorch's OpenMP library is not found by name");
        let mut hits = vec![0u32; 1000];
        let shared = Disjoint::new(&mut hits);
        parallel(7, |part| unsafe { shared.range(part_of(1000, 7, part)) }.iter_mut().for_each(|hit| *hit += 1));
        assert_eq!(hits, vec![1; 1000]);
    }
}
