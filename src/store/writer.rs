//! The one thread that uses the state file while the daemon runs, and the handle through which everybody else does.
//!
//! Work reaches it over a bounded queue; each piece runs to its end before the next begins, so that every change is
//! serial. The thread ends when the last handle is dropped and the queue is empty.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

use super::{Store, StoreError};
use crate::engine::Checkpoint;

/// Places in the writer's queue.
pub const WRITER_QUEUE: usize = 64;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Access to the state file; cheap to clone.
#[derive(Clone)]
pub struct StoreHandle {
    jobs: mpsc::Sender<Job>,
    decided: Arc<watch::Sender<u64>>,
    applying: Arc<AtomicBool>,
}

impl fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreHandle").field("queued", &self.queued()).finish_non_exhaustive()
    }
}

/// A checkpoint that could not be written.
#[derive(Debug)]
pub struct FailedApply {
    /// Why; [`StoreError::retry`] says whether to offer it again.
    pub error: StoreError,
    /// The checkpoint, to be offered again; `None` if the writer has ended.
    pub checkpoint: Option<Box<Checkpoint>>,
}

/// Why a checkpoint was not taken.
#[derive(Debug)]
pub enum NotTaken {
    /// Another one is under way, or the queue is full: offer this one later.
    Busy(Box<Checkpoint>),
    /// The thread has ended: nothing can be written any more.
    Ended,
}

/// A checkpoint under way.
#[derive(Debug)]
pub struct ApplyTicket {
    answer: oneshot::Receiver<Result<(), FailedApply>>,
}

impl ApplyTicket {
    /// The outcome, or `None` while it is being written. Not to be asked again after an outcome.
    pub fn poll(&mut self) -> Option<Result<(), FailedApply>> {
        match self.answer.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(stopped())),
        }
    }

    /// Waits for the outcome; not from async code.
    ///
    /// # Errors
    /// When the checkpoint could not be written.
    pub fn wait(self) -> Result<(), FailedApply> {
        self.answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// Work on the state file that its asker does not wait for.
#[derive(Debug)]
pub struct Ticket<T>(Answer<T>);

impl<T> Ticket<T> {
    /// What came of it, or `None` while it is not done. Not to be asked again after an answer.
    pub fn poll(&mut self) -> Option<Result<T, StoreError>> {
        match self.0.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(StoreError::Stopped)),
        }
    }
}

fn stopped() -> FailedApply {
    FailedApply { error: StoreError::Stopped, checkpoint: None }
}

/// Starts the writer thread.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn_writer(store: Store) -> Result<(StoreHandle, JoinHandle<()>), StoreError> {
    let (jobs, queue) = mpsc::channel(WRITER_QUEUE);
    let thread = std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || work(store, queue))
        .map_err(StoreError::Spawn)?;
    let decided = Arc::new(watch::Sender::new(0));
    Ok((StoreHandle { jobs, decided, applying: Arc::default() }, thread))
}

fn work(mut store: Store, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        job(&mut store);
    }
}

impl StoreHandle {
    /// Jobs that wait for the writer.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Changes whenever a checkpoint brought deliveries.
    #[must_use]
    pub fn decided(&self) -> watch::Receiver<u64> {
        self.decided.subscribe()
    }

    /// Says that deliveries wait although no checkpoint brought them, as after an order of a person.
    pub fn wake(&self) {
        self.decided.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Runs a piece of work on the state file.
    ///
    /// # Errors
    /// When the work fails or the writer has ended.
    pub async fn call<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = with_answer(job);
        self.jobs.send(job).await.map_err(|_| StoreError::Stopped)?;
        answer.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// The same for a thread of its own; not from async code.
    ///
    /// # Errors
    /// When the work fails or the writer has ended.
    pub fn call_blocking<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = with_answer(job);
        self.jobs.blocking_send(job).map_err(|_| StoreError::Stopped)?;
        answer.blocking_recv().unwrap_or(Err(StoreError::Stopped))
    }

    /// The same without waiting, not even for a place in the queue: `None` when that is full.
    ///
    /// # Errors
    /// When the writer has ended.
    pub fn ask<T, F>(&self, job: F) -> Result<Option<Ticket<T>>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    {
        let (job, answer) = with_answer(job);
        match self.jobs.try_send(job) {
            Ok(()) => Ok(Some(Ticket(answer))),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(None),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(StoreError::Stopped),
        }
    }

    /// Offers a checkpoint without waiting. It comes back if another one is under way or the queue is full.
    ///
    /// # Errors
    /// The checkpoint itself, to be offered later; or that nobody is left to write it.
    pub fn try_apply(&self, checkpoint: Box<Checkpoint>) -> Result<ApplyTicket, NotTaken> {
        if self.applying.swap(true, Ordering::AcqRel) {
            return Err(NotTaken::Busy(checkpoint));
        }
        let place = match self.jobs.try_reserve() {
            Ok(place) => place,
            Err(refused) => {
                self.applying.store(false, Ordering::Release);
                return Err(match refused {
                    mpsc::error::TrySendError::Full(()) => NotTaken::Busy(checkpoint),
                    mpsc::error::TrySendError::Closed(()) => NotTaken::Ended,
                });
            }
        };
        let (reply, answer) = oneshot::channel();
        let handle = ApplyEnd { applying: Arc::clone(&self.applying), decided: Arc::clone(&self.decided) };
        place.send(Box::new(move |store| {
            let outcome = handle.apply(store, checkpoint);
            // The engine may have stopped waiting; the checkpoint is durable all the same.
            let _ = reply.send(outcome);
        }));
        Ok(ApplyTicket { answer })
    }

    /// Writes a checkpoint and waits for it; not from async code.
    ///
    /// # Errors
    /// When the checkpoint could not be written.
    pub fn apply_blocking(&self, checkpoint: Box<Checkpoint>) -> Result<(), FailedApply> {
        let decided = Arc::clone(&self.decided);
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            // The engine may have stopped waiting; the checkpoint is durable all the same.
            let _ = reply.send(apply(store, checkpoint, &decided));
        });
        self.jobs.blocking_send(job).map_err(|_| stopped())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopped()))
    }
}

/// Frees the one place of a checkpoint under way, whatever becomes of the job.
struct ApplyEnd {
    applying: Arc<AtomicBool>,
    decided: Arc<watch::Sender<u64>>,
}

impl ApplyEnd {
    fn apply(self, store: &mut Store, checkpoint: Box<Checkpoint>) -> Result<(), FailedApply> {
        apply(store, checkpoint, &self.decided)
    }
}

impl Drop for ApplyEnd {
    fn drop(&mut self) {
        self.applying.store(false, Ordering::Release);
    }
}

fn apply(
    store: &mut Store,
    checkpoint: Box<Checkpoint>,
    decided: &watch::Sender<u64>,
) -> Result<(), FailedApply> {
    match store.apply(&checkpoint) {
        Ok(()) => {
            if !checkpoint.outbox.is_empty() {
                decided.send_modify(|count| *count = count.wrapping_add(1));
            }
            Ok(())
        }
        Err(error) => Err(FailedApply { error, checkpoint: Some(checkpoint) }),
    }
}

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

fn with_answer<T, F>(job: F) -> (Job, Answer<T>)
where
    T: Send + 'static,
    F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |store| {
        // Whoever asked may have gone; the work is done all the same.
        let _ = reply.send(job(store));
    });
    (job, answer)
}
