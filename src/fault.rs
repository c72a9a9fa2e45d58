//! Places at which tests end the process, as `kill -9` would, to show that a restart loses and doubles nothing.
//!
//! They exist only in builds with the feature `failpoints`; in a release [`reach`] is empty. The environment variable
//! `FAILPOINTS` of the daemon says where and when: `pane_closed=7*off->return` ends it at the eighth pane that closes.

/// A place in the work of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A record is about to be decoded.
    RecordTaken,
    /// A record was counted or refused; its position has moved.
    RecordPassed,
    /// A pane has closed; its windows are not judged yet.
    PaneClosed,
    /// Windows were judged and what is to be told was decided.
    WindowsJudged,
    /// A checkpoint was taken from the core, but nobody has it yet.
    CheckpointTaken,
    /// The transaction of a checkpoint has begun.
    CheckpointBegun,
    /// Everything of a checkpoint is written but not committed.
    CheckpointWritten,
    /// The transaction of a checkpoint is committed.
    CheckpointCommitted,
    /// The engine knows that its checkpoint is durable; Kafka does not.
    CheckpointSettled,
    /// The group's offsets were committed to Kafka.
    OffsetsCommitted,
    /// Partitions are to be assigned at the restored positions.
    PartitionsFound,
    /// The state of the last run was read.
    StateRestored,
    /// The state file was opened; nothing was read from it.
    StateOpened,
    /// Deliveries cut short by the last end were settled.
    OutboxRecovered,
    /// A delivery is due; nothing says yet that it is attempted.
    DeliveryDue,
    /// The attempt is durable; nothing was sent.
    DeliveryAttempting,
    /// The answer of a target has arrived.
    DeliveryAnswered,
    /// The end of an attempt is durable.
    DeliverySettled,
    /// A pointer to a refused record is in the dead-letter topic; the state file does not know.
    PointerSent,
    /// The state file knows which pointers were sent.
    PointersMarked,
    /// The daemon was asked to stop; the last checkpoint is still to come.
    Stopping,
    /// The last checkpoint is durable; threads and tasks still run.
    Stopped,
}

impl Place {
    /// Every place, in the order of a record's journey.
    pub const ALL: [Self; 22] = [
        Self::StateOpened,
        Self::StateRestored,
        Self::OutboxRecovered,
        Self::PartitionsFound,
        Self::RecordTaken,
        Self::RecordPassed,
        Self::PaneClosed,
        Self::WindowsJudged,
        Self::CheckpointTaken,
        Self::CheckpointBegun,
        Self::CheckpointWritten,
        Self::CheckpointCommitted,
        Self::CheckpointSettled,
        Self::OffsetsCommitted,
        Self::DeliveryDue,
        Self::DeliveryAttempting,
        Self::DeliveryAnswered,
        Self::DeliverySettled,
        Self::PointerSent,
        Self::PointersMarked,
        Self::Stopping,
        Self::Stopped,
    ];

    /// Name in `FAILPOINTS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StateOpened => "state_opened",
            Self::StateRestored => "state_restored",
            Self::OutboxRecovered => "outbox_recovered",
            Self::PartitionsFound => "partitions_found",
            Self::RecordTaken => "record_taken",
            Self::RecordPassed => "record_passed",
            Self::PaneClosed => "pane_closed",
            Self::WindowsJudged => "windows_judged",
            Self::CheckpointTaken => "checkpoint_taken",
            Self::CheckpointBegun => "checkpoint_begun",
            Self::CheckpointWritten => "checkpoint_written",
            Self::CheckpointCommitted => "checkpoint_committed",
            Self::CheckpointSettled => "checkpoint_settled",
            Self::OffsetsCommitted => "offsets_committed",
            Self::DeliveryDue => "delivery_due",
            Self::DeliveryAttempting => "delivery_attempting",
            Self::DeliveryAnswered => "delivery_answered",
            Self::DeliverySettled => "delivery_settled",
            Self::PointerSent => "pointer_sent",
            Self::PointersMarked => "pointers_marked",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// Ends the process here, if the environment says so and the build allows it.
#[inline]
pub fn reach(place: Place) {
    fail::fail_point!(place.name(), |_| std::process::abort());
    let _ = place;
}

/// Reads `FAILPOINTS`; holds as long as what it returns.
#[must_use]
pub fn armed() -> Option<fail::FailScenario<'static>> {
    fail::has_failpoints().then(fail::FailScenario::setup)
}
