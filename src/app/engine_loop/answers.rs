//! Answers to orders of people. One waits until what it tells of is durable, and until whoever asks next sees it.
//! Not here: what orders do (`engine/command.rs`).

use serde_json::Value;
use tokio::sync::oneshot;

use crate::engine::CommandError;

/// Where an answer goes.
pub(super) type Reply = oneshot::Sender<Result<Value, CommandError>>;

/// Answers by what they wait for. There are about as many as orders that the API lets in at once: one whose asker gave up
/// goes with the others.
#[derive(Debug, Default)]
pub(super) struct Answers {
    for_checkpoint: Vec<(Reply, Value)>,
    in_checkpoint: Vec<(Reply, Value)>,
    for_list: Vec<(Reply, Value)>,
    in_list: Vec<(Reply, Value)>,
}

impl Answers {
    pub(super) fn add(&mut self, reply: Reply, answer: Value) {
        self.for_checkpoint.push((reply, answer));
    }

    /// A checkpoint was taken; it holds what all orders so far did.
    pub(super) fn checkpoint_taken(&mut self) {
        self.in_checkpoint.append(&mut self.for_checkpoint);
    }

    /// That checkpoint is durable. Gives whether any answer waited for it.
    pub(super) fn checkpoint_durable(&mut self) -> bool {
        let any = !self.in_checkpoint.is_empty();
        self.for_list.append(&mut self.in_checkpoint);
        any
    }

    /// Whether any waits for a list of alerts that was begun after its order.
    pub(super) fn wait_for_list(&self) -> bool {
        !self.for_list.is_empty()
    }

    /// A list of alerts was begun.
    pub(super) fn list_begun(&mut self) {
        self.in_list.append(&mut self.for_list);
    }

    /// Everything is durable and shown.
    pub(super) fn all_shown(&mut self) {
        self.checkpoint_taken();
        self.checkpoint_durable();
        self.list_begun();
        self.list_shown();
    }

    /// That list is shown: who waits for it is answered.
    pub(super) fn list_shown(&mut self) {
        for (reply, answer) in self.in_list.drain(..) {
            // The asker may have gone: then nobody is left to tell.
            _ = reply.send(Ok(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_waits_for_a_checkpoint_and_then_for_a_list_that_was_begun_after_it() {
        let (reply, mut answer) = oneshot::channel();
        let mut answers = Answers::default();
        answers.list_begun();
        answers.add(reply, Value::Null);
        answers.list_shown();
        assert!(!answers.checkpoint_durable(), "its checkpoint was not taken yet");
        answers.checkpoint_taken();
        answers.list_begun();
        assert!(answers.checkpoint_durable() && answers.wait_for_list());
        answers.list_shown();
        assert!(answer.try_recv().is_err(), "the list was begun before the checkpoint was durable");
        answers.list_begun();
        assert!(!answers.wait_for_list() && answer.try_recv().is_err());
        answers.list_shown();
        assert!(matches!(answer.try_recv(), Ok(Ok(Value::Null))));
    }
}
