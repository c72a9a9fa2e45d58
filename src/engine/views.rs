//! What the engine shows of itself, as plain data. Not here: what a part of it shows of its own, such as its joins or its
//! actions.

use super::Engine;
use crate::alert::AlertList;
use crate::event::scan::Learned;
use crate::view::{
    AlarmRateView, AlertView, EventCount, EventShapesView, MemoryView, NotAdmittedView, PositionView,
    SilenceView, StatusView, UnknownView,
};
use crate::window::{Arrivals, NotAdmitted, Partition};

/// Alerts that a thread lists in one go, and as many versions; one version's are listed together.
const LISTED_TOGETHER: usize = 64;

impl Engine {
    /// How it stands; the queues around it and the time of the last checkpoint are added by whoever knows them.
    #[must_use]
    pub fn status(&self) -> StatusView {
        StatusView {
            law: self.law.clone(),
            events: self.event_counts(),
            positions: self.positions(),
            watermark: self.watermark,
            edges_due: self.edges_due(),
            memory: self.memory(),
            event_shapes: self.event_shapes(),
            unknown: self.unknown_models(),
            not_admitted: self.not_admitted(),
            joins: self.joins(),
            labels: self.labels(),
            estimates: self.estimates(),
            alarm_rates: self.alarm_rates(),
            latencies: self.windows.latencies().cloned().collect(),
            ..StatusView::default()
        }
    }

    /// The memory of windows: what may be spoken for and what is, and the versions in it.
    #[must_use]
    pub fn memory(&self) -> MemoryView {
        let (budget, charged) = self.windows.budget();
        let (versions, forgotten) = self.windows.known_and_forgotten();
        MemoryView { budget, charged, versions, forgotten }
    }

    /// What was learned of the events' forms since the start.
    #[must_use]
    pub fn event_shapes(&self) -> EventShapesView {
        let Learned { shapes: learned, widened, forgotten, declined } = self.decoder.learned();
        EventShapesView { learned, widened, forgotten, declined }
    }

    /// Models that nobody registered, the most frequent first, since the start.
    #[must_use]
    pub fn unknown_models(&self) -> Vec<UnknownView> {
        self.unknown.views()
    }

    /// Versions that are not counted, or not in their segments, and why, since the start.
    #[must_use]
    pub fn not_admitted(&self) -> Vec<NotAdmittedView> {
        let view = |(model, version, reason, events): (&str, &str, NotAdmitted, u64)| NotAdmittedView {
            model: model.to_owned(),
            version: version.to_owned(),
            reason: reason.as_str().to_owned(),
            events,
        };
        self.windows.not_admitted().map(view).collect()
    }

    /// Alerts for display.
    #[must_use]
    pub fn alert_views(&self) -> Vec<AlertView> {
        let mut views = self.alerts.views(self.threads);
        self.show_troubles(&mut views);
        views
    }

    /// A list of what [`Self::alert_views`] gives, for [`Self::extend_alert_list`].
    pub fn begin_alert_list(&mut self) -> AlertList {
        self.alerts_changed = false;
        self.alerts.begin_list()
    }

    /// Goes on with a few alerts of the list. Gives whether it is complete.
    pub fn extend_alert_list(&self, list: &mut AlertList) -> bool {
        let complete = self.alerts.extend_list(list, self.threads * LISTED_TOGETHER, self.threads);
        if complete {
            self.show_troubles(list.views_mut());
        }
        complete
    }

    /// Whether alerts may look otherwise than when the last list of them was begun: an edge was finished, an order carried
    /// out, or a trouble came or went.
    #[must_use]
    pub fn alerts_changed(&self) -> bool {
        self.alerts_changed
    }

    /// Silences for display.
    #[must_use]
    pub fn silences(&self) -> Vec<SilenceView> {
        self.alerts.silences()
    }

    /// Events per version, for display.
    #[must_use]
    pub fn event_counts(&self) -> Vec<EventCount> {
        let count = |(model, version, arrivals): (&str, &str, Arrivals)| EventCount {
            model: model.to_owned(),
            version: version.to_owned(),
            events: arrivals.events,
            out_of_order: arrivals.out_of_order,
            newest: arrivals.newest,
        };
        self.windows.arrivals().map(count).collect()
    }

    /// How often each version alarmed under the budget, beside what the budget allows.
    #[must_use]
    pub fn alarm_rates(&self) -> Vec<AlarmRateView> {
        let kinds = [&self.watches, &self.versions, &self.labels.watches];
        kinds.into_iter().flat_map(|watches| watches.rates(&self.sharing)).collect()
    }

    /// Positions of all partitions, for display.
    #[must_use]
    pub fn positions(&self) -> Vec<PositionView> {
        let view = |(id, state): (&crate::window::PartitionId, &Partition)| {
            Some(PositionView {
                topic: id.0.clone(),
                partition: id.1,
                next_offset: state.next_offset?,
                // At its end nothing is behind, whatever the last statistics said.
                end_offset: if state.at_end.is_some() { state.next_offset } else { state.end_offset },
                max_event_time: state.max_event_time,
            })
        };
        self.partitions.iter().filter_map(view).collect()
    }
}
