//! Models that nobody registered, for display: the most frequent of any number of names, in bounded space.
//!
//! Space-saving (Metwally, Agrawal and El Abbadi 2005): a new name takes the place of the rarest and inherits its count,
//! so that every name that makes up more than a hundredth of the events is in the list, and no count is too small.

use crate::view::UnknownView;

/// Names that are kept.
const MOST: usize = 100;

/// The most frequent unknown models.
#[derive(Debug, Default)]
pub(super) struct Unknown(Vec<UnknownView>);

impl Unknown {
    /// Counts an event of a model or version that is not registered.
    pub(super) fn saw(&mut self, model: &str, version: Option<&str>) {
        let is = |view: &UnknownView| view.model == model && view.version.as_deref() == version;
        if let Some(view) = self.0.iter_mut().find(|view| is(view)) {
            view.events += 1;
            return;
        }
        let new = |over| UnknownView {
            model: model.to_owned(),
            version: version.map(str::to_owned),
            events: over + 1,
            over,
        };
        if self.0.len() < MOST {
            self.0.push(new(0));
        } else if let Some(rarest) = self.0.iter_mut().min_by_key(|view| view.events) {
            *rarest = new(rarest.events);
        }
    }

    /// The names, the most frequent first.
    pub(super) fn views(&self) -> Vec<UnknownView> {
        let mut views = self.0.clone();
        views.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.model.cmp(&b.model)));
        views
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frequent_name_is_found_among_any_number_of_others() {
        let mut unknown = Unknown::default();
        for i in 0..20_000 {
            unknown.saw(&format!("noise-{i}"), Some("1.0.0"));
            if i % 20 == 0 {
                unknown.saw("typo", None);
            }
        }
        let views = unknown.views();
        assert_eq!(views.len(), MOST);
        assert!(
            views[0].model == "typo" && views[0].events >= 1_000 && views[0].events - views[0].over <= 1_000
        );
    }
}
