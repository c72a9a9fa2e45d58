//! Documents of what changed, written a few at a time ahead of the checkpoint that takes them: writing thousands there
//! would keep records waiting. Not here: what a document holds.

use std::collections::{BTreeMap, BTreeSet};

/// A document by name; one without text is to be deleted.
pub(super) type Named = (String, Option<String>);

/// Keys of what changed since the last checkpoint.
#[derive(Debug)]
pub(super) struct Changed<K> {
    /// Who changed since [`Changed::begin`].
    keys: BTreeSet<K>,
    /// Whose documents are to be written.
    due: BTreeSet<K>,
    /// What was written since the last checkpoint; who changes again is written again.
    written: BTreeMap<String, Option<String>>,
}

impl<K> Default for Changed<K> {
    fn default() -> Self {
        Self { keys: BTreeSet::new(), due: BTreeSet::new(), written: BTreeMap::new() }
    }
}

impl<K: Ord> Changed<K> {
    /// Notes that a document is no longer what it was.
    pub(super) fn note(&mut self, key: K) {
        self.keys.insert(key);
    }

    /// From now on the documents of those that changed before are written; who changes meanwhile waits, so that events
    /// cannot make more of them than there is time for.
    pub(super) fn begin(&mut self) {
        self.due.append(&mut self.keys);
    }

    /// Writes at most so many documents; one that cannot be written is left as it is stored. Gives how many, 0 if there
    /// was none.
    pub(super) fn write_some(&mut self, most: usize, document: impl Fn(K) -> Option<Named>) -> usize {
        let mut done = 0;
        while done < most
            && let Some(key) = self.due.pop_first()
        {
            self.written.extend(document(key));
            done += 1;
        }
        done
    }

    /// The documents that were written since the last call.
    pub(super) fn take_written(&mut self) -> BTreeMap<String, Option<String>> {
        std::mem::take(&mut self.written)
    }
}
