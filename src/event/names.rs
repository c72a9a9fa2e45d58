//! Model and version of an event, from the place the configuration names.

use std::borrow::Cow;

use super::{Event, MAX_NAME_BYTES, Record, Refusal};
use crate::config::NameSource;

/// Where model and version stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameRules {
    /// Place of the model's name.
    pub model: NameSource,
    /// Place of the version.
    pub version: NameSource,
}

/// Model and version of one event; feedback may lack the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// Model name.
    pub model: Cow<'a, str>,
    /// Model version.
    pub version: Option<Cow<'a, str>>,
}

impl NameRules {
    /// Whether both stand in the event and nowhere else.
    #[must_use]
    pub fn stand_in_event(&self) -> bool {
        (&self.model, &self.version) == (&NameSource::Event, &NameSource::Event)
    }

    /// Resolves model and version. The configured place wins; the event's own field is the fallback.
    ///
    /// # Errors
    /// [`Refusal::NoModel`], [`Refusal::NoVersion`] for anything but feedback, or [`Refusal::NameTooLong`].
    pub fn resolve<'a>(&'a self, record: &Record<'a>, event: &Event<'a>) -> Result<Named<'a>, Refusal> {
        let model = place(&self.model, record).or_else(|| event.model.clone()).ok_or(Refusal::NoModel)?;
        let version = place(&self.version, record).or_else(|| event.version.clone());
        // Keys and headers are as long as the producer likes.
        if [Some(&model), version.as_ref()].into_iter().flatten().any(|name| name.len() > MAX_NAME_BYTES) {
            return Err(Refusal::NameTooLong { limit: MAX_NAME_BYTES });
        }
        if version.is_none() && !event.is_feedback() {
            return Err(Refusal::NoVersion);
        }
        Ok(Named { model, version })
    }
}

fn place<'a>(source: &'a NameSource, record: &Record<'a>) -> Option<Cow<'a, str>> {
    let text =
        |bytes: &'a [u8]| std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty()).map(Cow::Borrowed);
    match source {
        NameSource::Event => None,
        NameSource::Topic => Some(Cow::Borrowed(record.topic)),
        NameSource::Key => record.key.and_then(text),
        NameSource::Header(name) => record
            .headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| text(value)),
        NameSource::Fixed(name) => Some(Cow::Borrowed(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &[(&str, &[u8])] = &[("Model-Version", b"2.1.0")];
    const RECORD: Record<'_> = Record {
        topic: "fraud",
        partition: 0,
        offset: 0,
        timestamp: None,
        appended_at: None,
        key: Some(b"churn"),
        headers: HEADERS,
        payload: None,
    };

    #[test]
    fn names_may_come_from_topic_key_and_headers() {
        let event = Event { model: Some("inner".into()), ..Event::default() };
        let rules = |model, version| NameRules { model, version };
        let header = || NameSource::Header("model-version".to_owned());
        let resolved = |rules: &NameRules| {
            rules
                .resolve(&RECORD, &event)
                .map(|named| (named.model.into_owned(), named.version.map(Cow::into_owned)))
        };
        assert_eq!(resolved(&rules(NameSource::Topic, header())), Ok(("fraud".into(), Some("2.1.0".into()))));
        assert_eq!(resolved(&rules(NameSource::Key, header())), Ok(("churn".into(), Some("2.1.0".into()))));
        assert_eq!(resolved(&rules(NameSource::Event, header())), Ok(("inner".into(), Some("2.1.0".into()))));
        assert_eq!(resolved(&rules(NameSource::Event, NameSource::Event)), Err(Refusal::NoVersion));
    }

    #[test]
    fn feedback_needs_no_version() {
        let event = Event {
            model: Some("m".into()),
            label: Some(super::super::Scalar::Bool(true)),
            ..Event::default()
        };
        assert!(NameRules::default().resolve(&RECORD, &event).is_ok());
    }
}
