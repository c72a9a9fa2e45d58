//! What people can ask of alerts.

use serde_json::json;

use super::group::Acknowledged;
use super::matcher::Matcher;
use super::quiet::{MAX_SILENCES, Silence};
use super::{AlertStep, Alerts};
use crate::engine::{CommandError, CommandOutcome};
use crate::subject::Millis;
use crate::view::AlertState;

/// Longest comment.
const MAX_COMMENT: usize = 1_000;
/// Most matchers of a silence.
const MAX_MATCHERS: usize = 20;

/// An order about alerts.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertCommand {
    /// Somebody has taken the group's episode on: repeats are held until it resolves.
    Acknowledge {
        /// The episode, as in [`super::Notification::group`].
        group: String,
        /// Why, or what is being done.
        comment: String,
    },
    /// Alerts that fit are not told for a while.
    Silence {
        /// Conditions; at least one that does not fit everything.
        matchers: Vec<Matcher>,
        /// Event time of its begin; absent means from now on.
        starts_at: Option<Millis>,
        /// Event time of its end.
        ends_at: Millis,
        /// Why.
        comment: String,
    },
    /// A silence ends now.
    Expire {
        /// Its id.
        id: String,
    },
}

impl Alerts {
    /// Carries out an order.
    ///
    /// # Errors
    /// When there is no such group or silence, or the order makes no sense; nothing has changed then.
    pub fn command(
        &mut self,
        command: &AlertCommand,
        by: &str,
        at: Millis,
    ) -> Result<CommandOutcome, CommandError> {
        match command {
            AlertCommand::Acknowledge { group, comment } => self.acknowledge(group, comment, by, at),
            AlertCommand::Silence { matchers, starts_at, ends_at, comment } => {
                let silence = Silence {
                    id: String::new(),
                    matchers: matchers.clone(),
                    starts_at: *starts_at,
                    ends_at: *ends_at,
                    by: by.to_owned(),
                    comment: comment.clone(),
                    created_at: at,
                    expired_at: None,
                };
                self.silence(silence)
            }
            AlertCommand::Expire { id } => self.expire(id, at),
        }
    }

    fn acknowledge(
        &mut self,
        episode: &str,
        comment: &str,
        by: &str,
        at: Millis,
    ) -> Result<CommandOutcome, CommandError> {
        check_comment(comment)?;
        let found: Vec<_> = self
            .groups
            .iter()
            .filter(|(_, group)| group.episode == episode)
            .map(|(id, _)| id.clone())
            .collect();
        if found.is_empty() {
            return Err(CommandError::NotFound(format!("no firing group `{episode}`")));
        }
        let known = found.iter().find_map(|id| self.groups.get(id)?.acknowledged.as_ref());
        if let Some(earlier) = known {
            return Err(CommandError::Conflict(format!("`{}` has acknowledged it already", earlier.by)));
        }
        for id in found {
            if let Some(group) = self.groups.get_mut(&id) {
                let comment = comment.to_owned();
                group.acknowledged = Some(Acknowledged { by: by.to_owned(), at, comment });
                if group.route != super::route::AUTOMATION {
                    let step = group.kind().map(|kind| AlertStep { kind, to: AlertState::Acknowledged });
                    self.steps.extend(step);
                }
            }
            self.dirty_groups.insert(id);
        }
        Ok(CommandOutcome {
            what: "alert_acknowledged".to_owned(),
            key: episode.to_owned(),
            detail: if comment.is_empty() { "no comment".to_owned() } else { comment.to_owned() },
            answer: json!({"group": episode, "acknowledged_by": by, "acknowledged_at": at}),
        })
    }

    fn silence(&mut self, silence: Silence) -> Result<CommandOutcome, CommandError> {
        check_comment(&silence.comment)?;
        let invalid = |text: String| Err(CommandError::Invalid(text));
        if silence.matchers.iter().all(|matcher| matcher.fits_value("")) {
            return invalid(
                "at least one matcher must not fit the empty value: this would silence every alert"
                    .to_owned(),
            );
        }
        if silence.matchers.len() > MAX_MATCHERS {
            return invalid(format!("a silence has at most {MAX_MATCHERS} matchers"));
        }
        if silence.ends_at <= silence.starts_at.unwrap_or(silence.created_at) {
            return invalid("it would end before it begins: give a later end".to_owned());
        }
        let clock = self.clock.unwrap_or(Millis::MIN);
        let added = self.silences.add(silence, clock);
        let Some(added) = added else {
            return Err(CommandError::Conflict(format!(
                "there are {MAX_SILENCES} silences already: expire some that are no longer needed"
            )));
        };
        let conditions: Vec<String> = added.matchers.iter().map(ToString::to_string).collect();
        Ok(CommandOutcome {
            what: "silence_created".to_owned(),
            key: added.id.clone(),
            detail: format!("{} until {}: {}", conditions.join(", "), added.ends_at, added.comment),
            answer: json!({"id": added.id, "matchers": conditions, "ends_at": added.ends_at}),
        })
    }

    fn expire(&mut self, id: &str, at: Millis) -> Result<CommandOutcome, CommandError> {
        let clock = self.clock.unwrap_or(Millis::MIN);
        let found = self.silences.list.iter_mut().find(|silence| silence.id == id);
        let silence = found.ok_or_else(|| CommandError::NotFound(format!("no silence `{id}`")))?;
        if silence.is_over(clock) {
            return Err(CommandError::Conflict(format!("the silence `{id}` is over already")));
        }
        silence.expired_at = Some(at);
        self.silences.dirty = true;
        Ok(CommandOutcome {
            what: "silence_expired".to_owned(),
            key: id.to_owned(),
            detail: "ended early".to_owned(),
            answer: json!({"id": id, "expired_at": at}),
        })
    }
}

fn check_comment(comment: &str) -> Result<(), CommandError> {
    if comment.chars().count() > MAX_COMMENT {
        return Err(CommandError::Invalid(format!("a comment has at most {MAX_COMMENT} characters")));
    }
    Ok(())
}
