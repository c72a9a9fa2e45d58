//! One round at an edge of panes, in steps: ten thousand versions may fire at once, and records are read in between. What
//! it tells is the same however many steps it takes; from its beginning to its end nothing else may touch the alerts.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use super::announce::Round;
use super::group::{GroupId, Member, group_labels};
use super::rules::Sources;
use super::{Alerts, Delivery};
use crate::subject::Millis;

/// Alerts that are looked at in one step.
const MEMBERS: usize = 32;

/// Versions, of which few fire, and groups, of which little is due, that are looked at in one step.
const VERSIONS: usize = 512;
const GROUPS: usize = 64;

/// Things that are told in one step.
const TOLD: usize = 8;

/// Alerts that are forgotten in one step.
const FORGOTTEN: usize = 256;

/// What is done next.
#[derive(Debug)]
enum Stage {
    /// Firing alerts are gathered from the versions after this one.
    Gather(Option<(String, String)>),
    /// Each is looked at, from this place on: what keeps it back, and its groups.
    Route(usize),
    /// What is due of the groups after this one is told.
    Tell(Option<GroupId>),
    /// The alerts are forgotten: dropping thousands of them takes its time too.
    Forget,
}

/// A round under way.
#[derive(Debug)]
pub(crate) struct Announcing {
    at: Millis,
    stage: Stage,
    /// Every firing alert.
    members: Vec<Member>,
    /// What fires, as far as the rules of inhibition ask.
    sources: Vec<Sources>,
    /// Places of members by group.
    by_group: BTreeMap<GroupId, Vec<usize>>,
}

impl Alerts {
    /// Begins the round at the edge `at`, the end of the windows just observed, with the digests that are due.
    pub(crate) fn begin_round(&mut self, at: Millis) -> (Announcing, Round) {
        self.clock = Some(at);
        let due = self.digests.take_due(at).into_iter();
        let round = Round {
            digests: due.map(|(sink, digest)| (sink, Delivery::Digest(digest))).collect(),
            ..Round::default()
        };
        let (stage, members, sources) = (Stage::Gather(None), Vec::new(), self.sources());
        (Announcing { at, stage, members, sources, by_group: BTreeMap::new() }, round)
    }

    /// Goes one step on and adds what it tells; false if the round was over.
    pub(crate) fn announce_some(&mut self, announcing: &mut Announcing, round: &mut Round) -> bool {
        announcing.stage = match std::mem::replace(&mut announcing.stage, Stage::Forget) {
            Stage::Gather(after) => match self.gather(after, announcing) {
                Some(last) => Stage::Gather(Some(last)),
                None => Stage::Route(0),
            },
            Stage::Route(place) => match self.route(place, announcing) {
                0 => Stage::Tell(None),
                done => Stage::Route(place + done),
            },
            Stage::Tell(after) => match self.tell_groups(after, announcing, round) {
                Some(last) => Stage::Tell(Some(last)),
                None => Stage::Forget,
            },
            Stage::Forget => {
                let left = announcing.members.len().saturating_sub(FORGOTTEN);
                announcing.members.truncate(left);
                if left == 0 {
                    return false;
                }
                Stage::Forget
            }
        };
        true
    }

    /// Gathers alerts from some versions; gives the last of those, `None` if there was none left.
    fn gather(
        &self,
        after: Option<(String, String)>,
        announcing: &mut Announcing,
    ) -> Option<(String, String)> {
        let Announcing { members, sources, .. } = announcing;
        let most = members.len() + MEMBERS;
        let from = after.map_or(Unbounded, Excluded);
        let mut last = None;
        for (id, version) in self.versions.range((from, Unbounded)).take(VERSIONS) {
            self.members_of(id, version, members, sources);
            last = Some(id);
            if members.len() >= most {
                break;
            }
        }
        last.cloned()
    }

    /// Puts some alerts from this place on into their groups; gives how many.
    fn route(&self, place: usize, announcing: &mut Announcing) -> usize {
        let Announcing { at, members, sources, by_group, .. } = announcing;
        let some = members.iter_mut().enumerate().skip(place).take(MEMBERS);
        let mut done = 0;
        for (place, member) in some {
            member.suppressed = self.kept_back(&member.labels, sources, *at);
            for node in self.rules.tree.find(&member.labels) {
                let id = (node.id.clone(), group_labels(node, &member.labels));
                by_group.entry(id).or_default().push(place);
            }
            done += 1;
        }
        done
    }

    /// Tells what is due of some groups, in the order of their names: those that there are, and those that firing alerts
    /// ask for. Gives the last of them, `None` if there was none left.
    fn tell_groups(
        &mut self,
        mut last: Option<GroupId>,
        announcing: &mut Announcing,
        round: &mut Round,
    ) -> Option<GroupId> {
        let Announcing { at, members, by_group, .. } = announcing;
        let told = |round: &Round| round.announcements.len() + round.suppressed.len();
        let most = told(round) + TOLD;
        let mut any = false;
        for _ in 0..GROUPS {
            let from = last.as_ref().map_or(Unbounded, Excluded);
            let known = self.groups.range((from, Unbounded)).next().map(|(id, _)| id);
            let asked = by_group.keys().next();
            let Some(id) = known.into_iter().chain(asked).min().cloned() else { break };
            let places = by_group.remove(&id).unwrap_or_default();
            let inside: Vec<&Member> = places.iter().filter_map(|place| members.get(*place)).collect();
            self.tell_group(&id, &inside, *at, round);
            last = Some(id);
            any = true;
            if told(round) >= most {
                break;
            }
        }
        last.filter(|_| any)
    }
}
