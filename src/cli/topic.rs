//! Events of a Kafka range, `kafka://BROKER/TOPIC?from=…&to=…&model=…&version=…`, laid down in a temporary file, so that they are
//! counted as a file of events is.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use crate::config::{Config, Kafka};
use crate::event::Limits;
use crate::source::read_range;
use crate::subject::Millis;

use super::topic_events::{TopicEvents, json_of};

/// Bounds of an event, those of the daemon's defaults and wider.
const LIMITS: Limits = Limits { max_bytes: 16 << 20, max_features: 10_000, max_depth: 64 };

/// What was taken out of a topic; the file goes with it.
#[derive(Debug)]
pub(super) struct TopicRange {
    path: PathBuf,
    notes: Vec<String>,
}

impl Drop for TopicRange {
    fn drop(&mut self) {
        // A file that stays behind in the folder for temporary files does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The parts of an address.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// `None` if the configuration says it.
    bootstrap: Option<String>,
    topic: String,
    from: Option<Millis>,
    to: Option<Millis>,
    model: Option<String>,
    version: Option<String>,
}

impl Asked {
    fn parse(address: &str) -> anyhow::Result<Self> {
        let form = "expected kafka://BROKER:PORT/TOPIC?from=2024-01-01T00:00:00Z&to=…&model=…&version=…";
        let url = Url::parse(address).with_context(|| format!("{address}: {form}"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let topic = url.path().trim_matches('/');
        anyhow::ensure!(!topic.is_empty() && !topic.contains('/'), "{address}: {form}");
        let mut asked = Self {
            bootstrap: host.map(|host| format!("{host}:{}", url.port().unwrap_or(9092))),
            topic: topic.to_owned(),
            from: None,
            to: None,
            model: None,
            version: None,
        };
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "from" => asked.from = Some(super::history::instant("from", &value)?),
                "to" => asked.to = Some(super::history::instant("to", &value)?),
                "model" => asked.model = Some(value.into_owned()),
                "version" => asked.version = Some(value.into_owned()),
                other => anyhow::bail!("{address}: `{other}` has no meaning; {form}"),
            }
        }
        Ok(asked)
    }
}

/// Whether these events are to be read from a topic.
pub(super) fn is_topic(events: &Path) -> bool {
    events.to_str().is_some_and(|text| text.starts_with("kafka://"))
}

impl TopicRange {
    /// Reads the range; encryption and credentials are those of the configuration.
    pub(super) fn read(address: &str, config: Option<&Path>) -> anyhow::Result<Self> {
        let asked = Asked::parse(address)?;
        let config: Option<Config> = config.map(crate::config::load).transpose()?;
        let mut events = TopicEvents::new(config.as_ref(), LIMITS)?;
        let are_json = events.are_json();
        let mut kafka = match config {
            Some(config) => config.kafka,
            None => {
                let bootstrap = asked.bootstrap.as_ref().with_context(|| {
                    format!("{address} names no broker: name one as in kafka://BROKER:PORT/TOPIC, or give --config")
                })?;
                serde_json::from_value::<Kafka>(
                    serde_json::json!({"bootstrap": bootstrap, "topics": [asked.topic]}),
                )?
            }
        };
        if let Some(bootstrap) = &asked.bootstrap {
            kafka.bootstrap.clone_from(bootstrap);
        }
        let name = format!("anchorwatch-range-{}.jsonl", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Events are nobody else's business.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let mut range = Self { path, notes: Vec::new() };
        let mut out = BufWriter::new(file);
        let (mut kept, mut refused, mut feedback, mut others) = (0_u64, 0_u64, 0_u64, 0_u64);
        // How many there are is not known before; it draws nothing unless standard error is a terminal.
        let style = ProgressStyle::with_template("{msg:>9} {spinner} {human_pos} records {per_sec}");
        let bar = ProgressBar::new_spinner()
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_message("fetching");
        read_range(&kafka, &asked.topic, (asked.from, asked.to), |payload, timestamp| {
            bar.inc(1);
            let Ok(event) = events.read(payload)? else {
                refused += 1;
                return Ok(());
            };
            if event.is_feedback() {
                feedback += 1;
            } else if is_other(asked.model.as_deref(), event.model.as_deref())
                || is_other(asked.version.as_deref(), event.version.as_deref())
            {
                others += 1;
            } else {
                kept += 1;
                let timestamp = timestamp.filter(|_| event.ts.is_none());
                if are_json {
                    write_line(&mut out, payload, timestamp)?;
                } else {
                    write_line(&mut out, json_of(&event).to_string().as_bytes(), timestamp)?;
                }
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        out.flush()?;
        let told = [
            (refused, "records are no events and were left out"),
            (feedback, "feedback events were left out: labels are not joined to what was read"),
            (others, "events of other models or versions were left out"),
        ];
        range.notes = told
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        anyhow::ensure!(
            kept > 0,
            "{address} has no events{}",
            range.notes.iter().map(|note| format!("; {note}")).collect::<String>()
        );
        Ok(range)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Whether an event is of another model or version than the one that was asked for.
fn is_other(asked: Option<&str>, named: Option<&str>) -> bool {
    asked.is_some_and(|asked| named != Some(asked))
}

/// Writes an event as one line; one without a time gets that of its record.
fn write_line(
    out: &mut impl std::io::Write,
    payload: &[u8],
    timestamp: Option<Millis>,
) -> std::io::Result<()> {
    // Outside of texts a line break is a blank, and inside of them there is none.
    let mut line: Vec<u8> =
        payload.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
    let open = line.iter().position(|byte| *byte == b'{');
    if let (Some(open), Some(timestamp)) = (open, timestamp) {
        let empty = line[open + 1..].iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
        let comma = if empty { "" } else { "," };
        line.splice(open + 1..open + 1, format!("\"ts\":{timestamp}{comma}").into_bytes());
    }
    line.push(b'\n');
    out.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_broker_topic_and_times() {
        let asked = Asked::parse(
            "kafka://b:19092/predictions?from=2024-01-01T00:00:00Z&to=1704067260000&model=m&version=2",
        );
        let expected = Asked {
            bootstrap: Some("b:19092".to_owned()),
            topic: "predictions".to_owned(),
            from: Some(1_704_067_200_000),
            to: Some(1_704_067_260_000),
            model: Some("m".to_owned()),
            version: Some("2".to_owned()),
        };
        assert_eq!(asked.expect("an address"), expected);
        let broker = |address: &str| Asked::parse(address).expect("an address").bootstrap;
        assert_eq!(broker("kafka://b/t").as_deref(), Some("b:9092"));
        assert_eq!(broker("kafka:///t"), None, "the configuration names it");
        for wrong in ["kafka://b", "kafka://b/t?since=1", "kafka://b/t?from=noon", "kafka://b/a/b"] {
            assert!(Asked::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_becomes_one_line_and_gets_a_time_if_it_has_none() {
        let written = |payload: &str, timestamp| {
            let mut out = Vec::new();
            write_line(&mut out, payload.as_bytes(), timestamp).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written("{\n \"a\": 1\r\n}", None), "{  \"a\": 1  }\n");
        assert_eq!(written(" {\"a\": 1}", Some(5)), " {\"ts\":5,\"a\": 1}\n");
        assert_eq!(written("{ }", Some(5)), "{\"ts\":5 }\n");
    }
}
