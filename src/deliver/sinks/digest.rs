//! Digests in each target's words: what happened in an interval, one line per entry.

use serde_json::{Value, json};

use super::slack::{escape, section};
use super::text::{MAX_NAME, clip, count, instant, kind_title};
use crate::alert::{Digest, DigestEntry, MAX_DIGEST};

const MAX_LINE: usize = 300;
/// Bytes of lines in one section of Slack, which takes 3,000 characters.
const SECTION: usize = 2_800;
/// Bytes of lines after which the rest is only counted.
const BUDGET: usize = 8_000;
/// Bytes of all entries in a webhook's body after which the rest is only counted; JSON may double them.
const ENTRIES: usize = 24_000;

/// A copy whose every text is bounded.
pub(super) fn bounded(digest: &Digest) -> Digest {
    let entry = |entry: &DigestEntry| DigestEntry {
        group: clip(&entry.group, 512),
        model: clip(&entry.model, MAX_NAME),
        version: clip(&entry.version, MAX_NAME),
        summary: clip(&entry.summary, MAX_LINE),
        ..entry.clone()
    };
    let mut bytes = 0;
    let fits = |entry: &DigestEntry| {
        bytes += entry.group.len() + entry.model.len() + entry.version.len() + entry.summary.len();
        bytes <= ENTRIES
    };
    let entries: Vec<DigestEntry> =
        digest.entries.iter().take(MAX_DIGEST).map(entry).take_while(fits).collect();
    let left_out = (digest.entries.len() - entries.len()) as u64;
    Digest {
        key: clip(&digest.key, 512),
        route: clip(&digest.route, MAX_NAME),
        entries,
        more: digest.more.saturating_add(left_out),
        ..*digest
    }
}

fn title(digest: &Digest) -> String {
    let all = (digest.entries.len() as u64).saturating_add(digest.more);
    format!("{} warnings from {} to {}", count(all), instant(digest.from), instant(digest.to))
}

fn line(entry: &DigestEntry) -> String {
    let kind = kind_title(entry.kind);
    format!("{} {kind} {}: {}", instant(entry.at), entry.transition.as_str(), clip(&entry.summary, MAX_LINE))
}

/// The lines that fit, and how many entries are left out.
fn lines(digest: &Digest) -> (Vec<String>, u64) {
    let (mut shown, mut bytes) = (Vec::new(), 0);
    for entry in &digest.entries {
        let line = line(entry);
        bytes += line.len();
        if bytes > BUDGET {
            break;
        }
        shown.push(line);
    }
    let left_out = (digest.entries.len() - shown.len()) as u64;
    (shown, left_out.saturating_add(digest.more))
}

/// A Block Kit message.
pub(super) fn slack(digest: &Digest) -> Value {
    let title = title(digest);
    let header = json!({"type": "header", "text": {"type": "plain_text", "text": clip(&title, 150)}});
    let mut blocks = vec![header];
    let (lines, left_out) = lines(digest);
    let mut text = String::new();
    for line in &lines {
        let line = format!("• {}\n", escape(line));
        if text.len() + line.len() > SECTION {
            blocks.push(section(text.trim_end()));
            text.clear();
        }
        text.push_str(&line);
    }
    if !text.is_empty() {
        blocks.push(section(text.trim_end()));
    }
    if left_out > 0 {
        let text = format!("and {} more", count(left_out));
        blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}));
    }
    json!({"text": escape(&title), "blocks": blocks})
}

/// The payload of an event of the lowest severity.
pub(super) fn pagerduty(digest: &Digest) -> Value {
    let (lines, more) = lines(digest);
    json!({
        "summary": title(digest),
        "source": "anchorwatch",
        "severity": "info",
        "timestamp": instant(digest.to),
        "class": "digest",
        "custom_details": {"entries": lines, "more": more},
    })
}
