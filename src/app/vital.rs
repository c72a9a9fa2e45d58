//! Tasks and threads without which the daemon only seems to work. Whichever of them ends before it was asked to, be it by
//! a panic, ends the daemon with an error that names it: whoever started it starts it again, and a start loses nothing.

use std::sync::{Arc, OnceLock};

use super::Stop;

/// Watches over them; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Vital {
    stop: Stop,
    /// The first that ended early.
    broken: Arc<OnceLock<&'static str>>,
}

/// Held by one of them for as long as it runs.
#[derive(Debug)]
pub(super) struct Alive {
    name: &'static str,
    vital: Vital,
}

impl Vital {
    pub(super) fn new(stop: Stop) -> Self {
        Self { stop, broken: Arc::default() }
    }

    /// To be dropped when the thread ends.
    pub(super) fn alive(&self, name: &'static str) -> Alive {
        Alive { name, vital: self.clone() }
    }

    /// The work of a task, watched over.
    pub(super) fn keep<W: Future>(
        &self,
        name: &'static str,
        work: W,
    ) -> impl Future<Output = W::Output> + use<W> {
        let alive = self.alive(name);
        async move {
            let _alive = alive;
            work.await
        }
    }

    /// What ended early, if anything did.
    pub(super) fn outcome(&self) -> anyhow::Result<()> {
        match self.broken.get() {
            Some(name) => Err(anyhow::anyhow!("{name} ended early, by an error in this program")),
            None => Ok(()),
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        let Self { name, vital } = self;
        if !vital.stop.is_requested() && vital.broken.set(name).is_ok() {
            tracing::error!("{name} ended early: the daemon stops");
        }
        vital.stop.request();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whatever_ends_before_it_was_asked_to_ends_the_daemon_and_is_named() {
        for early in [true, false] {
            let (stop, vital) = (Stop::default(), Vital::new(Stop::default()));
            let vital = Vital { stop: stop.clone(), ..vital };
            assert!(vital.outcome().is_ok() && !stop.is_requested());
            let ended = tokio::spawn(vital.keep("the one", async move {
                assert!(early, "an error on purpose");
            }));
            assert_eq!(ended.await.is_ok(), early);
            drop(vital.alive("another, because of the first"));
            assert!(stop.is_requested());
            let why = vital.outcome().expect_err("it was not asked to");
            assert_eq!(why.to_string(), "the one ended early, by an error in this program");
        }
    }

    #[test]
    fn whatever_ends_because_it_was_asked_to_is_no_error() {
        let stop = Stop::default();
        let vital = Vital::new(stop.clone());
        let alive = vital.alive("the one");
        stop.request();
        drop(alive);
        assert!(vital.outcome().is_ok());
    }
}
