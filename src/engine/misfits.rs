//! Troubles for what of the configuration does not fit the references in use, looked for after either may have changed.

use std::collections::BTreeMap;

use super::{Engine, Trouble, TroubleKind};
use crate::monitor::misfit::{InUse, Misfit};
use crate::subject::Millis;

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
}

const fn kind_of(misfit: Misfit) -> TroubleKind {
    match misfit {
        Misfit::Window => TroubleKind::OtherWindow,
        Misfit::Rule => TroubleKind::IdleRule,
    }
}
