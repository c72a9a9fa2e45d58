//! The false-alarm budget beside the alarms that came, as metrics.

use super::families::Families;
use crate::view::AlarmRateView;

/// Shows the rates of every version in place of the last look.
pub(super) fn show(families: &Families, rates: &[AlarmRateView]) {
    families.false_alarms_allowed_per_30d.reset();
    families.alarm_episodes_per_30d.reset();
    for rate in rates {
        let (model, version, severity) = (rate.model.as_str(), rate.version.as_str(), rate.severity);
        let allowed = families.false_alarms_allowed_per_30d.with_label_values(&[model, version, severity]);
        allowed.set(rate.allowed_per_30d);
        if let Some(observed) = rate.observed_per_30d {
            let labels = [model, version, rate.horizon, severity];
            families.alarm_episodes_per_30d.with_label_values(&labels).set(observed);
        }
    }
}
