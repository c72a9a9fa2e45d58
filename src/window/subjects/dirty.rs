//! Which panes of a subject changed since the last checkpoint. Not here: what they hold.

/// Panes that changed, with the bytes that they are taken to have then. Mostly there is one, which is looked up for every
/// few events, so that a sorted list serves better than a tree.
#[derive(Debug, Default)]
pub(super) struct Dirty(Vec<(i64, usize)>);

impl Dirty {
    fn find(&self, pane: i64) -> Result<usize, usize> {
        self.0.binary_search_by_key(&pane, |(number, _)| *number)
    }

    /// Notes that a pane is `more` bytes longer, but no longer than `most`; gives how many bytes that adds, and whether it
    /// had not changed before.
    pub(super) fn add(&mut self, pane: i64, more: usize, most: usize) -> (usize, bool) {
        match self.find(pane) {
            Ok(place) => {
                let Some((_, bytes)) = self.0.get_mut(place) else { return (0, false) };
                let more = more.min(most.saturating_sub(*bytes));
                *bytes += more;
                (more, false)
            }
            Err(place) => {
                self.0.insert(place, (pane, more.min(most)));
                (more.min(most), true)
            }
        }
    }

    /// A pane is gone.
    pub(super) fn remove(&mut self, pane: i64) {
        if let Ok(place) = self.find(pane) {
            self.0.remove(place);
        }
    }

    /// The panes below this one are gone.
    pub(super) fn drop_before(&mut self, needed: i64) {
        self.0.retain(|(number, _)| *number >= needed);
    }

    /// All panes are gone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The panes that changed, the oldest first, until the next call.
    pub(super) fn take(&mut self) -> impl Iterator<Item = i64> {
        self.0.drain(..).map(|(number, _)| number)
    }
}
