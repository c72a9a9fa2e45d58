//! Pure work on several threads, such as that of an edge or of a start: what it brings does not depend on how many there
//! are.

use std::num::NonZero;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Most threads that are kept busy at once.
const MOST: usize = 8;

/// Those beside the calling one; `None` where there are none, or none can be had.
static OTHERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let others = ThreadPoolBuilder::new().num_threads(available() - 1).thread_name(|_| "worker".to_owned());
    if available() > 1 { others.build().ok() } else { None }
});

/// The same for all calls: finding out reads files of the system.
static AVAILABLE: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get).min(MOST));

/// Threads that may be kept busy on this machine, the calling one among them.
pub(crate) fn available() -> usize {
    *AVAILABLE
}

/// Does this work for each item, on as many threads as said, and gives the outcomes in the order of the items. Whoever is
/// free takes the next item, so that a thread that is late, or an item that takes long, keeps nobody waiting. What breaks on
/// another thread breaks here.
pub(crate) fn each<T: Send, R: Send>(threads: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    let others = OTHERS.as_ref().filter(|_| threads > 1);
    let Some(others) = others else { return items.into_iter().map(work).collect() };
    let count = items.len();
    let left = Mutex::new(items.into_iter().enumerate());
    // Nothing breaks while the lock is held.
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take_turns = |outcomes: &mut Vec<(usize, R)>| {
        outcomes.extend(std::iter::from_fn(next).map(|(place, item)| (place, work(item))));
    };
    let mut parts: Vec<Vec<(usize, R)>> = (0..threads).map(|_| Vec::new()).collect();
    others.in_place_scope(|scope| {
        let mut parts = parts.iter_mut();
        let own = parts.next();
        for part in parts {
            scope.spawn(|_| take_turns(part));
        }
        own.into_iter().for_each(take_turns);
    });
    let mut outcomes: Vec<(usize, R)> = Vec::with_capacity(count);
    parts.into_iter().for_each(|part| outcomes.extend(part));
    outcomes.sort_unstable_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_come_in_order_however_many_threads_there_are() {
        for items in [0, 1, 2, 5, 16] {
            let squares: Vec<u32> = (0..items).map(|item| item * item).collect();
            for threads in [0, 1, 2, 3, 8, 40] {
                assert_eq!(each(threads, (0..items).collect(), |item| item * item), squares, "{threads}");
            }
        }
    }
}
