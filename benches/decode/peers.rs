//! The same fields by sonic-rs and serde_json: into a struct that knows every name, into a tree, and into places by
//! names that are known at run time only, each name compared first with the one that is expected.

use std::fmt;

use anyhow::Context as _;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

#[derive(Deserialize)]
#[expect(dead_code, reason = "every field is decoded, few are summed")]
struct Event<'a> {
    id: &'a str,
    model: &'a str,
    version: &'a str,
    ts: i64,
    #[serde(borrow)]
    features: Features<'a>,
    #[serde(borrow)]
    prediction: Prediction<'a>,
    latency_ms: f64,
    #[serde(borrow)]
    segment: Segment<'a>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "every field is decoded, few are summed")]
struct Features<'a> {
    amount: f64,
    income: f64,
    balance: f64,
    age: f64,
    tenure_days: f64,
    utilisation: f64,
    logins_7d: f64,
    basket: f64,
    velocity: f64,
    distance_km: f64,
    hour: f64,
    residual: f64,
    risk_index: f64,
    pressure_hpa: f64,
    is_new: &'a str,
    channel: &'a str,
    device: &'a str,
    plan: &'a str,
    country: &'a str,
    merchant: &'a str,
}

/// Fields of [`Features`].
const FEATURES: f64 = 20.0;

#[derive(Deserialize)]
#[expect(dead_code, reason = "every field is decoded, few are summed")]
struct Prediction<'a> {
    label: &'a str,
    score: f64,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "every field is decoded, few are summed")]
struct Segment<'a> {
    environment: &'a str,
    region: &'a str,
    tenant: &'a str,
}

fn sum(event: &Event<'_>) -> f64 {
    event.prediction.score + FEATURES + event.ts as f64
}

pub(crate) fn sonic_struct(payload: &[u8]) -> anyhow::Result<f64> {
    Ok(sum(std::hint::black_box(&sonic_rs::from_slice(payload)?)))
}

pub(crate) fn serde_struct(payload: &[u8]) -> anyhow::Result<f64> {
    Ok(sum(std::hint::black_box(&serde_json::from_slice(payload)?)))
}

pub(crate) fn serde_tree(payload: &[u8]) -> anyhow::Result<f64> {
    let event: serde_json::Value = serde_json::from_slice(payload)?;
    let features = event["features"].as_object().context("no features")?.len();
    let score = event["prediction"]["score"].as_f64().context("no score")?;
    Ok(score + features as f64 + event["ts"].as_f64().context("no time")?)
}

pub(crate) fn avro_tree(reader: &GenericDatumReader<'_>, mut payload: &[u8]) -> anyhow::Result<f64> {
    fn field<'f>(fields: &'f [(String, Value)], name: &str) -> Option<&'f Value> {
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
    let Value::Record(fields) = std::hint::black_box(reader.read_value(&mut payload)?) else {
        anyhow::bail!("no record")
    };
    let Some(Value::Record(features)) = field(&fields, "features") else { anyhow::bail!("no features") };
    let Some(Value::Record(prediction)) = field(&fields, "prediction") else {
        anyhow::bail!("no prediction")
    };
    let Some(Value::Double(score)) = field(prediction, "score") else { anyhow::bail!("no score") };
    let Some(Value::TimestampMillis(ts)) = field(&fields, "ts") else { anyhow::bail!("no time") };
    Ok(score + features.len() as f64 + *ts as f64)
}

/// One value in its place; texts are only measured, as they are borrowed.
#[derive(Clone, Copy, Default)]
enum Slot {
    #[default]
    Absent,
    Number(f64),
    Text(usize),
}

/// Names that were met, with the values of the last event.
#[derive(Default)]
pub(crate) struct Names {
    event: Places,
    features: Places,
    prediction: Places,
    segment: Places,
}

#[derive(Default)]
struct Places {
    names: Vec<String>,
    values: Vec<Slot>,
}

pub(crate) fn sonic_names(names: &mut Names, payload: &[u8]) -> anyhow::Result<f64> {
    let mut deserializer = sonic_rs::Deserializer::from_slice(payload);
    names.deserialize(&mut deserializer)?;
    let Names { event, features, prediction, segment } = std::hint::black_box(&*names);
    let named = |places: &Places, name: &str| {
        let place = places.names.iter().position(|known| known == name)?;
        if let Slot::Number(number) = places.values[place] { Some(number) } else { None }
    };
    let texts = segment.values.iter().filter(|slot| matches!(slot, Slot::Text(1..))).count();
    anyhow::ensure!(texts == segment.names.len(), "a segment field is lost");
    let score = named(prediction, "score").context("no score")?;
    Ok(score + features.values.len() as f64 + named(event, "ts").context("no time")?)
}

impl<'de> DeserializeSeed<'de> for &mut Names {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Names {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut guess = 0;
        while let Some(place) = entries.next_key_seed(Key { names: &mut self.event.names, guess })? {
            guess = place + 1;
            match self.event.names[place].as_str() {
                "features" => entries.next_value_seed(&mut self.features)?,
                "prediction" => entries.next_value_seed(&mut self.prediction)?,
                "segment" => entries.next_value_seed(&mut self.segment)?,
                _ => {
                    let value = entries.next_value_seed(Scalar)?;
                    put(&mut self.event.values, place, value);
                }
            }
        }
        Ok(())
    }
}

fn put(values: &mut Vec<Slot>, place: usize, value: Slot) {
    if values.len() <= place {
        values.resize(place + 1, Slot::Absent);
    }
    values[place] = value;
}

impl<'de> DeserializeSeed<'de> for &mut Places {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Places {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        self.values.fill(Slot::Absent);
        let mut guess = 0;
        while let Some(place) = entries.next_key_seed(Key { names: &mut self.names, guess })? {
            guess = place + 1;
            let value = entries.next_value_seed(Scalar)?;
            put(&mut self.values, place, value);
        }
        Ok(())
    }
}

/// A key as its place among the names.
struct Key<'n> {
    names: &'n mut Vec<String>,
    guess: usize,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        if self.names.get(self.guess).is_some_and(|known| known == name) {
            return Ok(self.guess);
        }
        let known = self.names.iter().position(|known| known == name);
        Ok(known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        }))
    }
}

/// A number or a text.
struct Scalar;

impl<'de> DeserializeSeed<'de> for Scalar {
    type Value = Slot;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Slot, E> {
        Ok(Slot::Number(number as f64))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Slot, E> {
        Ok(Slot::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Slot, E> {
        Ok(Slot::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Slot, E> {
        Ok(Slot::Text(text.len()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Slot, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Absent)
    }
}
