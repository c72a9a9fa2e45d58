//! Pure work on several threads, such as that of an edge or of a start: what it brings does not depend on how many there
//! are.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Most threads that are kept busy at once.
const MOST: usize = 8;

/// Those beside the calling one; `None` where there are none, or none can be had.
static OTHERS: LazyLock<Option<ThreadPool>> = LazyLock::new(|| {
    let others = ThreadPoolBuilder::new().num_threads(available() - 1).thread_name(|_| "worker".to_owned());
    if available() > 1 { others.build().ok() } else { None }
});

/// Threads that may be kept busy on this machine, the calling one among them.
pub(crate) fn available() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST)
}

/// Does this work for each item, in as many parts as said, and gives the outcomes in the order of the items. What breaks on
/// another thread breaks here.
pub(crate) fn each<T: Send, R: Send>(parts: usize, items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let size = items.len().div_ceil(parts.max(1)).max(1);
    let others = OTHERS.as_ref().filter(|_| items.len() > size);
    let Some(others) = others else { return items.into_iter().map(work).collect() };
    let count = items.len();
    let mut items = items.into_iter();
    let mut parts: Vec<(Vec<T>, Vec<R>)> = Vec::new();
    while items.len() > 0 {
        parts.push((items.by_ref().take(size).collect(), Vec::new()));
    }
    let do_part = |(items, outcomes): &mut (Vec<T>, Vec<R>)| outcomes.extend(items.drain(..).map(&work));
    others.in_place_scope(|scope| {
        let mut parts = parts.iter_mut();
        let own = parts.next();
        for part in parts {
            scope.spawn(|_| do_part(part));
        }
        own.into_iter().for_each(do_part);
    });
    let mut outcomes = Vec::with_capacity(count);
    parts.into_iter().for_each(|(_, part)| outcomes.extend(part));
    outcomes
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
