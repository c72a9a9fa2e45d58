//! Records wait for their schema in their order, and for a bounded time.

use super::*;

const CONFIG: &str = "kafka: {bootstrap: 'b:1', topics: [t]}\n\
    events: {format: avro, avro: {registry: {url: 'http://127.0.0.1:1', wait: 1m}}}";
const EVENT: &str = r#"{"type": "record", "name": "E", "fields": [{"name": "model", "type": "string"},
    {"name": "version", "type": "string"}, {"name": "score", "type": "double"}]}"#;

/// The engine's end, and the other one, played by the test.
struct Setting {
    engine: Engine,
    schemas: Schemas,
    asked: mpsc::Receiver<u32>,
    answer: mpsc::Sender<Answer>,
}

impl Setting {
    fn new() -> Self {
        let (ask, asked) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let engine = Engine::new(&crate::config::parse(CONFIG, "test").expect("a configuration"));
        Self { engine, schemas: Schemas::new(Span::from_mins(1), ask, answers), asked, answer }
    }

    fn poll(&mut self, offset: i64, payload: &[u8], now: Millis) {
        let record = Record {
            topic: "t",
            partition: 0,
            offset,
            timestamp: Some(1_364_774_400_000),
            appended_at: None,
            key: None,
            headers: &[("h", b"v")],
            payload: Some(payload),
        };
        self.schemas.take(&mut self.engine, &Incoming::Record(record), at(now));
    }

    fn work(&mut self, now: Millis) -> Option<&'static str> {
        self.schemas.work(&mut self.engine, at(now)).map(|looked_up| looked_up.outcome)
    }

    fn answers(&mut self, id: u32, answer: Result<Schema, SchemaLookupError>) {
        assert_eq!(self.asked.try_recv(), Ok(id));
        self.answer.try_send((id, answer)).expect("room for one");
    }

    fn read(&self) -> u64 {
        self.engine.law().read
    }

    fn refused(&self, reason: &str) -> u64 {
        self.engine.law().refused.get(reason).copied().unwrap_or_default()
    }
}

const fn at(now: Millis) -> Moment {
    Moment { now, wall: 1_364_774_400_000 }
}

fn framed(id: u32) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), b"\x02m\x021", &0.5_f64.to_le_bytes()].concat()
}

fn schema() -> Result<Schema, SchemaLookupError> {
    Schema::parse(EVENT, &[]).map_err(|error| SchemaLookupError::Unusable(error.to_string()))
}

fn unanswered() -> Result<Schema, SchemaLookupError> {
    Err(SchemaLookupError::Unanswered("refused".to_owned()))
}

#[test]
fn what_was_polled_behind_an_unknown_schema_waits_in_its_order() {
    let mut here = Setting::new();
    for (offset, id) in [(0, 7), (1, 8), (2, 7)] {
        here.poll(offset, &framed(id), 0);
    }
    let end = Incoming::AtEnd { topic: "t", partition: 0 };
    here.schemas.take(&mut here.engine, &end, at(0));
    assert_eq!((here.read(), here.schemas.wait(), here.engine.resume("t", 0)), (0, true, None));
    assert_eq!(here.work(0), None);
    here.answers(7, schema());
    assert_eq!(here.work(1), Some("found"));
    assert_eq!((here.read(), here.schemas.wait()), (1, true), "the next schema is looked up");
    here.answers(8, schema());
    assert_eq!(here.work(2), Some("found"));
    assert_eq!((here.read(), here.schemas.wait()), (3, false));
    assert_eq!(here.refused("unknown_model"), 3, "they were decoded");
    assert_eq!(here.engine.resume("t", 0).map(|at| at.next_offset), Some(3));
    here.poll(3, &framed(8), 3);
    assert_eq!(here.read(), 4, "known by now");
}

#[test]
fn a_registry_that_is_away_is_asked_again_and_given_up_in_time() {
    let mut here = Setting::new();
    here.poll(0, &framed(7), 0);
    let (mut now, mut outcomes) = (0, Vec::new());
    while here.schemas.wait() {
        if let Some(outcome) = here.work(now) {
            outcomes.push(outcome);
        }
        if let Ok(id) = here.asked.try_recv() {
            here.answer.try_send((id, unanswered())).expect("room for one");
        }
        now += 100;
        assert!(now < 100_000, "it ends");
    }
    assert!(now > 60_000 && (8..20).contains(&outcomes.len()), "{now} {outcomes:?}");
    assert_eq!(outcomes.last(), Some(&"given_up"));
    assert_eq!((here.read(), here.refused("unknown_schema")), (1, 1));
    // Until it answers again, one attempt is enough.
    here.poll(1, &framed(9), now);
    here.work(now);
    here.answers(9, unanswered());
    assert_eq!(here.work(now + 1), Some("given_up"));
    assert_eq!(here.refused("unknown_schema"), 2);
    // The number is looked up anew after a while.
    here.work(now + FORGET_MISSING_AFTER);
    here.poll(2, &framed(7), now + FORGET_MISSING_AFTER);
    here.work(now + FORGET_MISSING_AFTER);
    here.answers(7, schema());
    assert_eq!(here.work(now + FORGET_MISSING_AFTER), Some("found"));
    assert_eq!(here.refused("unknown_schema"), 2);
}

#[test]
fn a_number_without_a_usable_schema_is_not_asked_for_at_every_record() {
    let mut here = Setting::new();
    here.poll(0, &framed(7), 0);
    here.work(0);
    here.answers(7, Err(SchemaLookupError::Unusable("it is protobuf".to_owned())));
    assert_eq!(here.work(1), Some("unusable"));
    for offset in 1..100 {
        here.poll(offset, &framed(7), offset);
    }
    assert!(!here.schemas.wait() && here.asked.try_recv().is_err());
    assert_eq!((here.read(), here.refused("unknown_schema")), (100, 100));
}
