//! Troubles with the references in use: what of the configuration does not fit them, looked for after either may have
//! changed, and baselines whose windows cannot be read.

use std::collections::BTreeMap;

use super::{Engine, Trouble, TroubleKind};
use crate::monitor::Standing;
use crate::monitor::misfit::{InUse, Misfit};
use crate::subject::Millis;
use crate::window::Plans;

impl Engine {
    /// Raises and clears them, at the first edge after the catalog was set.
    pub(super) fn look_after_references(&mut self, at: Millis) {
        if !std::mem::take(&mut self.new_references) {
            return;
        }
        let newest = self.windows.plans().filter_map(|(model, version, plans)| {
            Some(InUse { model, version, reference: &plans.newest()?.reference })
        });
        let found = self.judge.misfits(&newest.collect::<Vec<_>>());
        let wanted: BTreeMap<(TroubleKind, String), String> =
            found.into_iter().map(|((misfit, of), line)| ((kind_of(misfit), of), line)).collect();
        let ours = |kind: TroubleKind| [Misfit::Window, Misfit::Rule].map(kind_of).contains(&kind);
        for id in self.troubles().into_keys().filter(|id| ours(id.0) && !wanted.contains_key(id)) {
            self.clear(id.0, &id.1, at);
        }
        for ((kind, of), summary) in wanted {
            self.raise(&Trouble { kind, of, summary }, at);
        }
    }

    /// Raises and clears troubles of references whose windows could not be read when something was to be calibrated on them.
    pub(super) fn look_after_baselines(&mut self, at: Millis) {
        const KIND: TroubleKind = TroubleKind::BaselineUnread;
        let open: Vec<String> = self.troubles_of(KIND).cloned().collect();
        if open.is_empty() && !self.judge.any_unread() {
            return;
        }
        let newest = |(model, version, plans): (&str, &str, &Plans)| {
            Some((format!("{model} {version}"), plans.newest()?.reference_id.clone()))
        };
        let in_use: BTreeMap<String, String> = self.windows.plans().filter_map(newest).collect();
        for of in open {
            // After a start nothing may have been judged against it yet.
            let stays = in_use.get(&of).is_some_and(|id| self.judge.standing(id) != Standing::Calibrated);
            if !stays {
                self.clear(KIND, &of, at);
            }
        }
        for (of, id) in in_use {
            if let Standing::Unread(why) = self.judge.standing(&id) {
                let summary = format!(
                    "{of}: {why}; until they can be read its windows are judged as if the baseline had none, by fixed thresholds"
                );
                self.raise(&Trouble { kind: KIND, of, summary }, at);
            }
        }
    }
}

const fn kind_of(misfit: Misfit) -> TroubleKind {
    match misfit {
        Misfit::Window => TroubleKind::OtherWindow,
        Misfit::Rule => TroubleKind::IdleRule,
    }
}
