//! What the state file does with a checkpoint, for tests that restart an engine without one.

use anchorwatch::engine::{Checkpoint, Restored};

/// Takes a checkpoint in.
pub(crate) fn apply(stored: &mut Restored, checkpoint: Checkpoint) {
    for (name, document) in checkpoint.every_document() {
        match document {
            Some(text) => stored.documents.insert(name.to_owned(), text.into_owned()),
            None => stored.documents.remove(name),
        };
    }
    stored.subjects.retain(|(number, _)| !checkpoint.left_subjects.contains(number));
    stored.panes.retain(|row| !checkpoint.left_subjects.contains(&row.subject));
    stored.subjects.extend(checkpoint.subjects);
    stored.panes.retain(|row| !checkpoint.gone_panes.contains(&(row.subject, row.pane)));
    for row in checkpoint.panes {
        stored.panes.retain(|known| (known.subject, known.pane) != (row.subject, row.pane));
        stored.panes.push(row);
    }
    if let Some(below) = checkpoint.drop_panes_below {
        stored.panes.retain(|row| row.pane >= below);
    }
    for position in checkpoint.positions {
        stored.positions.retain(|known| known.partition != position.partition);
        stored.positions.push(position);
    }
}
