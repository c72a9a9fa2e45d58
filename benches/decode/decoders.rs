//! The decoders that take turns, and the events that they decode. Each returns a sum over what it read, so that nothing
//! is left out and all of them can be compared.

use anchorwatch::event::avro::{AvroReader, Read};
use anchorwatch::event::scan::{Found, Scanner};
use anchorwatch::event::{Limits, Scalar, decode};
use anyhow::Context as _;
use apache_avro::reader::datum::GenericDatumReader;

use crate::avro::{Features, Writer};
use crate::events::Stream;
use crate::peers;

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_features: 1_024, max_depth: 16 };
const SEED: u64 = 7;
const START_MS: i64 = 1_767_571_200_000;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoder {
    /// The scanner on keys in the order of the event before.
    Expected,
    /// The scanner on features in another order in each event.
    AnyOrder,
    /// The scanner on blanks behind colons and commas, as Python writes them.
    Spaced,
    /// The decoder that says why it refuses.
    Strict,
    /// sonic-rs, the names of features known at run time as the scanner knows them.
    SonicNames,
    /// sonic-rs into a struct.
    SonicStruct,
    /// serde_json into the same struct.
    SerdeStruct,
    /// serde_json into a tree.
    SerdeTree,
    /// The reader of Avro, features in a record.
    AvroRecord,
    /// The same, each feature a union with null.
    AvroNullable,
    /// The reader of Avro, features in a map.
    AvroMap,
    /// apache-avro into a tree, features in a record.
    AvroTree,
}

impl Decoder {
    pub(crate) const ALL: [Self; 12] = [
        Self::Expected,
        Self::AnyOrder,
        Self::Spaced,
        Self::Strict,
        Self::SonicNames,
        Self::SonicStruct,
        Self::SerdeStruct,
        Self::SerdeTree,
        Self::AvroRecord,
        Self::AvroNullable,
        Self::AvroMap,
        Self::AvroTree,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expected => "scanner, keys as expected",
            Self::AnyOrder => "scanner, features in a new order each time",
            Self::Spaced => "scanner, blanks behind colons and commas",
            Self::Strict => "strict decoder",
            Self::SonicNames => "sonic-rs, names known at run time",
            Self::SonicStruct => "sonic-rs, struct",
            Self::SerdeStruct => "serde_json, struct",
            Self::SerdeTree => "serde_json, tree",
            Self::AvroRecord => "Avro reader, features in a record",
            Self::AvroNullable => "Avro reader, in a record of unions with null",
            Self::AvroMap => "Avro reader, in a map",
            Self::AvroTree => "apache-avro, tree, features in a record",
        }
    }

    pub(crate) const fn is_avro(self) -> bool {
        matches!(self, Self::AvroRecord | Self::AvroNullable | Self::AvroMap | Self::AvroTree)
    }

    /// Decodes so many events.
    pub(crate) fn run(self, streams: &Streams, events: usize) -> anyhow::Result<f64> {
        let payloads = match self {
            Self::AnyOrder => &streams.shuffled,
            Self::Spaced => &streams.spaced,
            Self::AvroRecord | Self::AvroTree => &streams.avro[0].1,
            Self::AvroNullable => &streams.avro[1].1,
            Self::AvroMap => &streams.avro[2].1,
            _ => &streams.plain,
        };
        let mut scanner = Scanner::new(LIMITS);
        let mut names = peers::Names::default();
        let [record, nullable, map] = &streams.avro;
        let writer = match self {
            Self::AvroNullable => &nullable.0,
            Self::AvroMap => &map.0,
            _ => &record.0,
        };
        let mut reader = AvroReader::new(LIMITS);
        reader.set_schema(writer.schema()?);
        let library = GenericDatumReader::builder(writer.library_schema()).build()?;
        let mut sum = 0.0;
        for payload in payloads.iter().take(events) {
            sum += match self {
                Self::Expected | Self::AnyOrder | Self::Spaced => scanned(&mut scanner, payload)?,
                Self::Strict => strict(payload)?,
                Self::SonicNames => peers::sonic_names(&mut names, payload)?,
                Self::SonicStruct => peers::sonic_struct(payload)?,
                Self::SerdeStruct => peers::serde_struct(payload)?,
                Self::SerdeTree => peers::serde_tree(payload)?,
                Self::AvroRecord | Self::AvroNullable | Self::AvroMap => avro(&mut reader, payload)?,
                Self::AvroTree => peers::avro_tree(&library, payload)?,
            };
        }
        Ok(sum)
    }
}

/// The score and the time stand for all that was read: a sum over every feature would cost what is to be measured.
fn scanned(scanner: &mut Scanner, payload: &[u8]) -> anyhow::Result<f64> {
    let scanned = scanner.scan(payload).context("unusual")?;
    let Found::Number(score) = scanned.score else { anyhow::bail!("no score") };
    Ok(score + scanned.features.len() as f64 + scanned.ts.unwrap_or_default() as f64)
}

fn avro(reader: &mut AvroReader, payload: &[u8]) -> anyhow::Result<f64> {
    let Read::Placed(scanned, ..) = reader.read(payload)? else { anyhow::bail!("unusual") };
    let Found::Number(score) = scanned.score else { anyhow::bail!("no score") };
    Ok(score + scanned.features.len() as f64 + scanned.ts.unwrap_or_default() as f64)
}

fn strict(payload: &[u8]) -> anyhow::Result<f64> {
    let event = decode(payload, &LIMITS)?;
    let Some(Scalar::Number(score)) = event.score else { anyhow::bail!("no score") };
    Ok(score + event.features.as_ref().map_or(0, Vec::len) as f64 + event.ts.unwrap_or_default() as f64)
}

/// Events one behind the other, as a fetch from Kafka holds them.
#[derive(Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Events {
    fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// The same events, written in different ways.
pub(crate) struct Streams {
    plain: Events,
    shuffled: Events,
    spaced: Events,
    avro: [(Writer, Events); 3],
}

impl Streams {
    pub(crate) fn new(events: usize) -> anyhow::Result<Self> {
        let mut stream = Stream::new(SEED, START_MS, 10.0, 1);
        let mut json = String::new();
        let mut order = SEED;
        stream.next_into(&mut json);
        let first = serde_json::from_str(&json)?;
        let writer = |features| Ok::<_, anyhow::Error>((Writer::new(features, &first)?, Events::default()));
        let mut streams = Self {
            plain: Events::default(),
            shuffled: Events::default(),
            spaced: Events::default(),
            avro: [writer(Features::Record)?, writer(Features::Nullable)?, writer(Features::Map)?],
        };
        for _ in 0..events {
            stream.next_into(&mut json);
            let event = serde_json::from_str(&json)?;
            for (writer, events) in &mut streams.avro {
                events.push(&writer.write(&event)?);
            }
            streams.plain.push(json.as_bytes());
            streams.shuffled.push(shuffled(&json, &mut order).as_bytes());
            streams.spaced.push(json.replace("\":", "\": ").replace(",\"", ", \"").as_bytes());
        }
        Ok(streams)
    }

    /// Mean size of an event in JSON and in Avro, features in a record.
    pub(crate) fn mean_bytes(&self) -> [f64; 2] {
        let mean = |events: &Events| events.bytes.len() as f64 / events.ends.len().max(1) as f64;
        [mean(&self.plain), mean(&self.avro[0].1)]
    }
}

/// The event with its features in another order. No value holds a comma or a bracket.
fn shuffled(json: &str, state: &mut u64) -> String {
    let Some((head, rest)) = json.split_once("\"features\":{") else { return json.to_owned() };
    let Some((features, tail)) = rest.split_once('}') else { return json.to_owned() };
    let mut fields: Vec<&str> = features.split(',').collect();
    for last in (1..fields.len()).rev() {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        fields.swap(last, (*state >> 33) as usize % (last + 1));
    }
    format!("{head}\"features\":{{{}}}{tail}", fields.join(","))
}
