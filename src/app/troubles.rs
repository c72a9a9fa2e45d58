//! What ails deliveries, from the edges to the core: the latest picture, which the engine compares with what it has told.
//!
//! A picture instead of messages: none can be lost or pile up, and after a restart the first one settles what is over.

use tokio::sync::watch;

use crate::deliver::{Ailments, TargetHealth};
use crate::engine::{Engine, Trouble, TroubleKind};
use crate::subject::Millis;

/// Where the engine's thread sees it.
#[derive(Debug)]
pub(super) struct Troubles(watch::Receiver<Option<Ailments>>);

/// The two ends.
pub(super) fn channel() -> (watch::Sender<Option<Ailments>>, Troubles) {
    let (sender, receiver) = watch::channel(None);
    (sender, Troubles(receiver))
}

impl Troubles {
    /// Raises and clears what changed; gives whether anybody is to be told.
    pub(super) fn apply(&mut self, engine: &mut Engine, now: Millis) -> bool {
        if !self.0.has_changed().unwrap_or(false) {
            return false;
        }
        let Some(ailments) = self.0.borrow_and_update().clone() else { return false };
        let mut told = false;
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
        let (mut engine, (sender, mut troubles)) = (engine(), channel());
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
    fn an_action_that_somebody_settled_is_over_even_if_that_happened_while_nobody_watched() {
        let (mut engine, (sender, mut troubles)) = (engine(), channel());
        let unknown = [("retrain/7".to_owned(), "nobody knows".to_owned())].into();
        sender.send_replace(Some(Ailments { unknown, ..Ailments::default() }));
        assert!(troubles.apply(&mut engine, 1));
        assert_eq!(told(&mut engine), ["first", "second"]);
        let (sender, mut troubles) = channel(); // as after a restart
        sender.send_replace(Some(Ailments::default()));
        assert!(troubles.apply(&mut engine, 2));
        assert_eq!(engine.troubles().len(), 0);
    }
}
