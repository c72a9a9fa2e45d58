//! What ails deliveries, from the edges to the core: the latest picture, which the engine compares with what it has told.
//!
//! A picture instead of messages: none can be lost or pile up, and after a restart the first one settles what is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::deliver::{Ailments, TargetHealth};
use crate::engine::{Engine, Trouble, TroubleKind};
use crate::subject::Millis;

/// What was found damaged while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Damaged {
    /// Pointers to refused records.
    Pointers,
    /// Manifests of copies.
    Copies,
}

impl Damaged {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pointers => "pointers",
            Self::Copies => "copies",
        }
    }
}

/// A line for people about each thing that was looked at, if it was found damaged; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Damage(Arc<Mutex<BTreeMap<Damaged, Option<String>>>>);

impl Default for Damage {
    /// A start has looked at every row, but at no copy yet.
    fn default() -> Self {
        Self(Arc::new(Mutex::new([(Damaged::Pointers, None)].into())))
    }
}

impl Damage {
    /// Notes what is damaged, or that it no longer is.
    pub(super) fn set(&self, what: Damaged, line: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(what, line);
    }

    /// Raises and clears what changed; gives whether anybody is to be told.
    fn apply(&self, engine: &mut Engine, now: Millis) -> bool {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = false;
        for (what, line) in lines.iter() {
            let (kind, of) = (TroubleKind::StateDamaged, what.as_str());
            told |= match line {
                Some(line) => engine.raise(&trouble(kind, of, line), now),
                None => engine.clear(kind, of, now),
            };
        }
        told
    }
}

/// Where the engine's thread sees it.
#[derive(Debug)]
pub(super) struct Troubles {
    ailments: watch::Receiver<Option<Ailments>>,
    damage: Damage,
}

/// The two ends.
pub(super) fn channel(damage: Damage) -> (watch::Sender<Option<Ailments>>, Troubles) {
    let (sender, ailments) = watch::channel(None);
    (sender, Troubles { ailments, damage })
}

impl Troubles {
    /// Raises and clears what changed; gives whether anybody is to be told.
    pub(super) fn apply(&mut self, engine: &mut Engine, now: Millis) -> bool {
        let mut told = self.damage.apply(engine, now);
        if !self.ailments.has_changed().unwrap_or(false) {
            return told;
        }
        let Some(ailments) = self.ailments.borrow_and_update().clone() else { return told };
        for (of, health) in &ailments.targets {
            told |= match health {
                TargetHealth::Unknown => false,
                TargetHealth::Well => engine.clear(TroubleKind::TargetDown, of, now),
                TargetHealth::Down(summary) => {
                    engine.raise(&trouble(TroubleKind::TargetDown, of, summary), now)
                }
            };
        }
        for (of, summary) in &ailments.unknown {
            told |= engine.raise(&trouble(TroubleKind::ActionUnknown, of, summary), now);
        }
        let over = engine.troubles().into_keys().filter(|(kind, of)| match kind {
            TroubleKind::TargetDown => !ailments.targets.contains_key(of),
            TroubleKind::ActionUnknown => !ailments.unknown.contains_key(of),
            _ => false,
        });
        for (kind, of) in over.collect::<Vec<_>>() {
            told |= engine.clear(kind, &of, now);
        }
        told
    }
}

fn trouble(kind: TroubleKind, of: &str, summary: &str) -> Trouble {
    Trouble { kind, of: of.to_owned(), summary: summary.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
kafka: {bootstrap: 'h:1', topics: [predictions]}
sinks:
  - {name: first, type: webhook, url: 'http://127.0.0.1:1/'}
  - {name: second, type: webhook, url: 'http://127.0.0.1:1/'}
";

    fn engine() -> Engine {
        Engine::new(&crate::config::parse(CONFIG, "test").expect("a configuration"))
    }

    fn health(health: TargetHealth) -> Ailments {
        Ailments { targets: [("first".to_owned(), health)].into(), ..Ailments::default() }
    }

    fn told(engine: &mut Engine) -> Vec<String> {
        engine.checkpoint().outbox.into_iter().map(|row| row.target).collect()
    }

    #[test]
    fn a_dead_target_is_told_to_the_others_once_and_again_when_it_is_well() {
        let (mut engine, (sender, mut troubles)) = (engine(), channel(Damage::default()));
        assert!(!troubles.apply(&mut engine, 1));
        sender.send_replace(Some(health(TargetHealth::Down("first is dead".to_owned()))));
        assert!(troubles.apply(&mut engine, 2));
        assert_eq!(told(&mut engine), ["second"]);
        sender.send_replace(Some(health(TargetHealth::Unknown)));
        assert!(!troubles.apply(&mut engine, 3), "nothing known is no news");
        sender.send_replace(Some(health(TargetHealth::Well)));
        assert!(troubles.apply(&mut engine, 4));
        assert_eq!(told(&mut engine), ["second"]);
    }

    #[test]
    fn what_is_found_damaged_is_told_once_and_is_over_when_somebody_looked_again() {
        let damage = Damage::default();
        let (mut engine, (_sender, mut troubles)) = (engine(), channel(damage.clone()));
        damage.set(Damaged::Copies, Some("a manifest cannot be read".to_owned()));
        damage.set(Damaged::Pointers, Some("one pointer was left out".to_owned()));
        assert!(troubles.apply(&mut engine, 1) && !troubles.apply(&mut engine, 2));
        assert_eq!(told(&mut engine).len(), 4, "two troubles, two sinks");
        let (_sender, mut restarted) = channel(Damage::default());
        assert!(restarted.apply(&mut engine, 3), "the start has looked at the rows, but at no copy");
        assert_eq!(engine.troubles().len(), 1);
        damage.set(Damaged::Copies, None);
        damage.set(Damaged::Pointers, None);
        assert!(troubles.apply(&mut engine, 4));
        assert_eq!(engine.troubles().len(), 0);
    }

    #[test]
    fn an_action_that_somebody_settled_is_over_even_if_that_happened_while_nobody_watched() {
        let (mut engine, (sender, mut troubles)) = (engine(), channel(Damage::default()));
        let unknown = [("retrain/7".to_owned(), "nobody knows".to_owned())].into();
        sender.send_replace(Some(Ailments { unknown, ..Ailments::default() }));
        assert!(troubles.apply(&mut engine, 1));
        assert_eq!(told(&mut engine), ["first", "second"]);
        let (sender, mut troubles) = channel(Damage::default()); // as after a restart
        sender.send_replace(Some(Ailments::default()));
        assert!(troubles.apply(&mut engine, 2));
        assert_eq!(engine.troubles().len(), 0);
    }
}
