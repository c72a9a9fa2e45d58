//! An error with its causes as one line.
//!
//! Errors of this program say their cause themselves, since many are shown alone; those that `anyhow` wraps in a context do not.

/// The error and each of its causes that was not said before.
#[must_use]
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line.push_str(": ");
            line.push_str(&cause);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use rdkafka::error::{KafkaError, RDKafkaErrorCode};

    use super::*;
    use crate::source::RangeError;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {place}: {source}; check the path")]
    struct Unreadable {
        place: &'static str,
        source: std::io::Error,
    }

    fn missing() -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")
    }

    #[test]
    fn a_cause_that_an_error_says_itself_is_said_once() {
        let error = anyhow::Error::from(Unreadable { place: "a.csv", source: missing() });
        assert_eq!(in_one_line(&error), "cannot read a.csv: no such file; check the path");
        let wrapped = error.context("the events");
        assert_eq!(in_one_line(&wrapped), "the events: cannot read a.csv: no such file; check the path");
    }

    #[test]
    fn a_broker_that_does_not_answer_is_told_of_once() {
        let error = RangeError::Broker {
            bootstrap: "h:1".to_owned(),
            topic: "t".to_owned(),
            source: Box::new(KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure)),
        };
        let line = in_one_line(&error.into());
        assert!(line.starts_with("cannot read topic `t` from h:1: ") && line.contains("transport"), "{line}");
        assert_eq!(line.matches("Meta data fetch error").count(), 1, "{line}");
    }

    #[test]
    fn a_cause_that_nothing_said_follows() {
        let error = Err::<(), _>(missing()).context("the token").context("alerts list");
        assert_eq!(in_one_line(&error.expect_err("an error")), "alerts list: the token: no such file");
    }
}
