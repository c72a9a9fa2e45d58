//! Text that fits: bounded copies of notifications, numbers and times for people.

use chrono::{DateTime, SecondsFormat};

use crate::alert::{
    AlertKind, Consequence, DriftShare, Explained, Finding, MAX_EXPLAINED, MAX_FINDINGS, Moved, Notification,
    SliceShift, WindowRef,
};
use crate::subject::Millis;

/// Longest name of a model or version.
pub(super) const MAX_NAME: usize = 256;
/// Most moved bins shown of a finding.
const MAX_MOVED: usize = 5;
const MAX_SUMMARY: usize = 1_024;
const MAX_KEY: usize = 512;
const MAX_WORD: usize = 128;
/// Longest text of an explanation, and its command.
const MAX_TERM: usize = 64;
const MAX_COMMAND: usize = 400;
/// Most of what follows from a finding that a body has room for: the summary says how many more there are.
const MAX_FOLLOWING: usize = 1;
const MAX_LINK: usize = 2_048;
/// Most labels shown.
const MAX_LABELS: usize = 20;

/// At most `limit` bytes of a text without control characters; `…` stands for what was cut.
pub(super) fn clip(text: &str, limit: usize) -> String {
    let mut kept = String::with_capacity(text.len().min(limit));
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if kept.len() + c.len_utf8() > limit {
            return with_ellipsis(kept, limit);
        }
        kept.push(c);
    }
    kept
}

fn with_ellipsis(mut kept: String, limit: usize) -> String {
    while kept.len() + '…'.len_utf8() > limit && kept.pop().is_some() {}
    kept.push('…');
    kept
}

/// A copy whose every text is bounded, so that no payload grows without end.
pub(super) fn bounded(notification: &Notification) -> Notification {
    let left_out = notification.findings.len().saturating_sub(MAX_FINDINGS);
    Notification {
        key: clip(&notification.key, MAX_KEY),
        group: clip(&notification.group, MAX_KEY),
        transition: notification.transition,
        model: clip(&notification.model, MAX_NAME),
        version: clip(&notification.version, MAX_NAME),
        kind: notification.kind,
        severity: notification.severity,
        summary: clip(&notification.summary, MAX_SUMMARY),
        at: notification.at,
        since: notification.since,
        reference: clip(&notification.reference, MAX_WORD),
        coverage: notification.coverage,
        findings: notification.findings.iter().take(MAX_FINDINGS).map(bounded_finding).collect(),
        more_findings: notification.more_findings.saturating_add(left_out),
        link: notification.link.as_deref().filter(is_link).map(str::to_owned),
        runbook: notification.runbook.as_deref().filter(is_link).map(str::to_owned),
        labels: notification.labels.iter().take(MAX_LABELS).map(bounded_label).collect(),
        evidence: notification.evidence,
        repeat: notification.repeat,
    }
}

fn bounded_label((name, value): (&String, &String)) -> (String, String) {
    (clip(name, MAX_WORD), clip(value, MAX_WORD))
}

fn bounded_finding(finding: &Finding) -> Finding {
    let moved = |moved: &Moved| Moved { bin: clip(&moved.bin, MAX_WORD), ..moved.clone() };
    Finding {
        segment: finding.segment.as_deref().map(|segment| clip(segment, MAX_WORD)),
        column: clip(&finding.column, MAX_NAME),
        detector: clip(&finding.detector, MAX_WORD),
        statistic: finding.statistic,
        threshold: finding.threshold,
        p_value: finding.p_value,
        window: WindowRef { horizon: clip(&finding.window.horizon, MAX_WORD), ..finding.window.clone() },
        since: finding.since,
        moved: finding.moved.iter().take(MAX_MOVED).map(moved).collect(),
        explained: finding.explained.as_deref().map(|one| Box::new(bounded_explained(one))),
        subject: finding.subject.as_deref().map(|subject| clip(subject, MAX_NAME)),
    }
}

fn bounded_explained(explained: &Explained) -> Explained {
    let share = |one: &DriftShare| DriftShare {
        column: clip(&one.column, MAX_TERM),
        slice: one.slice.as_deref().map(|slice| clip(slice, MAX_TERM)),
        share: one.share,
    };
    let slice = |one: &SliceShift| SliceShift {
        slice: clip(&one.slice, MAX_TERM),
        kind: clip(&one.kind, MAX_TERM),
        ..one.clone()
    };
    let follows = |one: &Consequence| Consequence {
        column: clip(&one.column, MAX_TERM),
        kind: clip(&one.kind, MAX_TERM),
        slice: one.slice.as_deref().map(|slice| clip(slice, MAX_TERM)),
        ..one.clone()
    };
    Explained {
        kind: clip(&explained.kind, MAX_TERM),
        mean: explained.mean,
        expected: explained.expected,
        run_windows: explained.run_windows,
        change_since: explained.change_since,
        quantiles: explained.quantiles.iter().take(MAX_EXPLAINED).cloned().collect(),
        shares: explained.shares.iter().take(MAX_EXPLAINED).map(share).collect(),
        slices: explained.slices.iter().take(MAX_EXPLAINED).map(slice).collect(),
        follows: explained.follows.iter().take(MAX_FOLLOWING).map(follows).collect(),
        assumed: explained.assumed,
        // Cut short it would be another command.
        command: explained.command.clone().filter(|command| clip(command, MAX_COMMAND) == *command),
    }
}

/// Whether an address is one that every target accepts.
fn is_link(link: &&str) -> bool {
    (link.starts_with("https://") || link.starts_with("http://"))
        && link.len() <= MAX_LINK
        && link.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\`|".contains(&byte))
}

/// An instant as people and RFC 3339 write it, `2026-11-22T18:05:00Z`.
pub(super) fn instant(at: Millis) -> String {
    DateTime::from_timestamp_millis(at)
        .map_or_else(|| format!("{at} ms"), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// What is wrong, as a title.
pub(super) const fn kind_title(kind: AlertKind) -> &'static str {
    match kind {
        AlertKind::DataFault => "Data fault",
        AlertKind::Drift => "Drift",
        AlertKind::Latency => "Latency",
        AlertKind::Volume => "Volume",
        AlertKind::Operation => "Operation",
    }
}

/// A number with three significant digits, `0.312`, `12.3`, `3.1e-9`.
pub(super) fn number(x: f64) -> String {
    match x.abs() {
        size if !size.is_finite() || size >= 1e300 => "beyond measure".to_owned(),
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{x:.1e}"),
        size if size < 1.0 => trim_zeros(format!("{x:.3}")),
        size if size < 100.0 => trim_zeros(format!("{x:.2}")),
        _ => trim_zeros(format!("{x:.1}")),
    }
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A moved value: shares as percentages, latencies and volumes as they are.
pub(super) fn level(kind: AlertKind, x: f64) -> String {
    match kind {
        AlertKind::DataFault | AlertKind::Drift if x.is_finite() => format!("{:.1} %", x * 100.0),
        _ => number(x),
    }
}

/// A count with thousands apart, `12,031`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clipped_text_fits_and_ends_at_a_character() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("a\nb\u{7}", 10), "a b ");
        assert_eq!(clip("abcdefgh", 6), "abc…");
        assert!((3..40).all(|limit| clip("zürich 東京 🚀🚀🚀🚀🚀🚀", limit).len() <= limit));
    }

    #[test]
    fn numbers_are_short_and_counts_are_grouped() {
        let shown: Vec<_> = [0.0, 0.31234, 12.304, 612.25, 3.14e-9, 2.5e7, f64::NAN].map(number).into();
        assert_eq!(shown, ["0", "0.312", "12.3", "612.2", "3.1e-9", "2.5e7", "beyond measure"]);
        assert_eq!([0, 999, 12_031, 1_000_000].map(count), ["0", "999", "12,031", "1,000,000"]);
    }

    #[test]
    fn instants_read_as_rfc_3339_however_odd() {
        assert_eq!(instant(1_367_366_400_000), "2013-05-01T00:00:00Z");
        assert_eq!(instant(i64::MAX), "9223372036854775807 ms");
    }
}
