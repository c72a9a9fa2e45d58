//! What a row of the audit trail rests on: the guard that kept an action back, and the digest of the decision's inputs.
//!
//! A row says both in its text, for people, in a form that is written and read here only; the store has a column for each.

use sha2::{Digest, Sha256};

use super::memory::Candidate;
use super::request::hex;
use super::{Guard, Signal, Situation, VersionFacts};
use crate::engine::AuditRow;

/// Begins what a guard says when it is asked last, just before the request is sent.
pub const LAST_MOMENT: &str = "held at the last moment";
const HELD: &str = "held by ";
const INPUTS: &str = "; inputs ";

/// What a row of the audit trail rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Basis<'r> {
    /// The guard that failed.
    pub guard: Option<Guard>,
    /// Digest of what the decision rested on.
    pub inputs: Option<&'r str>,
}

impl<'r> Basis<'r> {
    /// Reads what a row says.
    #[must_use]
    pub fn of(row: &'r AuditRow) -> Self {
        let text = row.detail.as_str();
        let last = || {
            text.split_once(": ")
                .and_then(|(_target, rest)| rest.strip_prefix(LAST_MOMENT)?.strip_prefix(": "))
        };
        let name = text.strip_prefix(HELD).or_else(last).and_then(|rest| rest.split(':').next());
        let guard = name.and_then(|name| Guard::ALL.into_iter().find(|guard| guard.as_str() == name));
        let digest = |text: &&str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        // Only what the daemon decided itself has a digest; an order's text is its giver's.
        let decided = row.actor == AuditRow::SELF;
        let inputs = text.rsplit_once(INPUTS).map(|(_, digits)| digits).filter(digest).filter(|_| decided);
        Self { guard, inputs }
    }
}

/// `held by cooldown: the cooldown …`.
pub(super) fn held(guard: Guard) -> String {
    format!("{HELD}{}: {guard}", guard.as_str())
}

/// What was decided, with the digest of its inputs.
pub(super) fn with_inputs(text: &str, digest: &str) -> String {
    format!("{text}{INPUTS}{digest}")
}

/// Digest of what a decision rested on but for the registry's clock, so that the audit trail can be held against a replay.
pub(super) fn inputs(candidate: &Candidate, s: &Situation<'_>) -> String {
    let cause = &candidate.cause;
    let own: Vec<&Signal> = s
        .signals
        .iter()
        .filter(|signal| signal.model == cause.model && signal.version == cause.version)
        .collect();
    let VersionFacts { current, rollback_to, .. } = s.facts_of(&cause.model, &cause.version);
    let model = s.models.get(&cause.model);
    let facts = format!("{current} {rollback_to:?} {model:?}");
    let text = format!("{}\n{:?}\n{own:?}\n{facts}", cause.key, candidate.evidence);
    hex(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(actor: &str, detail: String) -> AuditRow {
        AuditRow {
            at: 1,
            actor: actor.to_owned(),
            what: "retrain_held".to_owned(),
            key: "k".to_owned(),
            detail,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let digest = "0123456789abcdef0123456789abcdef";
        for guard in Guard::ALL {
            let held = row(AuditRow::SELF, with_inputs(&held(guard), digest));
            assert_eq!(Basis::of(&held), Basis { guard: Some(guard), inputs: Some(digest) });
            let stopped = row(AuditRow::SELF, format!("again: {LAST_MOMENT}: {}: {guard}", guard.as_str()));
            assert_eq!(Basis::of(&stopped), Basis { guard: Some(guard), inputs: None });
        }
    }

    #[test]
    fn what_others_write_is_neither() {
        let digest = "; inputs 0123456789abcdef0123456789abcdef";
        for (actor, text) in [
            ("ann", format!("refused by ann: see{digest}")),
            (AuditRow::SELF, "because of held by cooldown: a name; inputs 12".to_owned()),
            (AuditRow::SELF, "held by the weather: it rains".to_owned()),
        ] {
            assert_eq!(Basis::of(&row(actor, text.clone())), Basis::default(), "{text}");
        }
    }
}
