//! The data sets that cases name: literal lists, and lists made by a generator that is exact to the bit.

use std::collections::BTreeMap;
use std::path::Path;

use anchorwatch_detectors::NumericBinning;
use anchorwatch_detectors::samples::sorted;
use serde::Deserialize;
use serde_json::Value;

use crate::case::{number, numbers};

/// All data sets of the folder.
#[derive(Deserialize)]
pub(crate) struct Datasets {
    numeric: BTreeMap<String, Sides<Side>>,
    categorical: BTreeMap<String, Sides<Vec<Option<String>>>>,
    binary: BTreeMap<String, Binary>,
    regression: BTreeMap<String, Regression>,
    multivariate: BTreeMap<String, Rows>,
    streams: BTreeMap<String, Stream>,
}

/// A binary classifier's scores and labels.
#[derive(Deserialize)]
pub(crate) struct Binary {
    pub(crate) ref_y: Vec<u8>,
    pub(crate) ref_score: Vec<f64>,
    pub(crate) cur_y: Vec<u8>,
    pub(crate) cur_score: Vec<f64>,
    pub(crate) threshold: f64,
}

/// A regression model's predictions and targets.
#[derive(Deserialize)]
pub(crate) struct Regression {
    pub(crate) y_true: Vec<f64>,
    pub(crate) y_pred: Vec<f64>,
}

/// Rows of several numbers.
#[derive(Deserialize)]
pub(crate) struct Rows {
    pub(crate) reference: Vec<Vec<f64>>,
    pub(crate) current: Vec<Vec<f64>>,
}

/// A stream: numbers, or a text of the digits 0 and 1.
#[derive(Deserialize)]
struct Stream {
    values: Value,
}

#[derive(Deserialize)]
struct Sides<T> {
    reference: T,
    current: T,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Side {
    Literal(Vec<Value>),
    Generated { r#gen: Generator },
}

#[derive(Deserialize)]
struct Generator {
    kind: String,
    n: usize,
    seed: u64,
    loc: Option<f64>,
    scale: Option<f64>,
    round: Option<f64>,
    k: Option<f64>,
    p: Option<f64>,
}

/// SplitMix64, as the README writes it down.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 * 2f64.powi(-53)
    }
}

impl Generator {
    fn values(&self) -> Vec<f64> {
        let mut random = SplitMix64(self.seed);
        (0..self.n).map(|_| self.shaped(self.raw(&mut random))).collect()
    }

    fn raw(&self, random: &mut SplitMix64) -> f64 {
        match self.kind.as_str() {
            "uniform" => random.uniform(),
            "irwin_hall" => (0..12).fold(0.0, |sum, _| sum + random.uniform()) - 6.0,
            "pareto1" => 1.0 / (1.0 - random.uniform()),
            "pareto2" => 1.0 / (1.0 - random.uniform()).sqrt(),
            "sq" => {
                let u = random.uniform();
                u * u * u
            }
            "int" => (random.uniform() * self.k.unwrap_or(f64::NAN)).floor(),
            "bernoulli" => f64::from(u8::from(random.uniform() < self.p.unwrap_or(f64::NAN))),
            other => panic!("unknown generator {other}"),
        }
    }

    fn shaped(&self, x: f64) -> f64 {
        let x = x * self.scale.unwrap_or(1.0) + self.loc.unwrap_or(0.0);
        self.round.map_or(x, |q| (x * q + 0.5).floor() / q)
    }
}

impl Side {
    fn values(&self) -> Vec<f64> {
        match self {
            Self::Literal(values) => values.iter().map(number).collect(),
            Self::Generated { r#gen } => r#gen.values(),
        }
    }
}

/// A numeric pair after its policy for values that are not finite.
pub(crate) struct Pair {
    pub(crate) reference: Vec<f64>,
    pub(crate) current: Vec<f64>,
}

/// The pair as production counts it: each distinct reference value a knot.
pub(crate) struct Cells {
    pub(crate) binning: NumericBinning,
    pub(crate) reference: Vec<u64>,
    pub(crate) current: Vec<u64>,
}

impl Datasets {
    /// The values of a stream.
    pub(crate) fn stream(&self, name: &str) -> Vec<f64> {
        match &self.streams[name].values {
            Value::String(bits) => bits.chars().map(|bit| f64::from(u8::from(bit == '1'))).collect(),
            values => numbers(values),
        }
    }

    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join("datasets.json");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn numeric(&self, name: &str, nan_policy: &str) -> Pair {
        let sides = self.numeric.get(name).unwrap_or_else(|| panic!("no numeric data set {name}"));
        let keep = |x: &f64| {
            if nan_policy == "omit_nan" { !x.is_nan() } else { x.is_finite() }
        };
        let side = |side: &Side| side.values().into_iter().filter(keep).collect();
        Pair { reference: side(&sides.reference), current: side(&sides.current) }
    }

    /// A numeric pair with its missing and infinite values.
    pub(crate) fn numeric_rows(&self, name: &str) -> Pair {
        let sides = self.numeric.get(name).unwrap_or_else(|| panic!("no numeric data set {name}"));
        Pair { reference: sides.reference.values(), current: sides.current.values() }
    }

    pub(crate) fn is_numeric(&self, name: &str) -> bool {
        self.numeric.contains_key(name)
    }

    /// A categorical pair with its missing values.
    pub(crate) fn categorical_rows(&self, name: &str) -> (Vec<Option<&str>>, Vec<Option<&str>>) {
        let sides = self.categorical.get(name).unwrap_or_else(|| panic!("no categorical data set {name}"));
        (rows_of(&sides.reference), rows_of(&sides.current))
    }

    pub(crate) fn binary(&self, name: &str) -> &Binary {
        self.binary.get(name).unwrap_or_else(|| panic!("no binary data set {name}"))
    }

    pub(crate) fn regression(&self, name: &str) -> &Regression {
        self.regression.get(name).unwrap_or_else(|| panic!("no regression data set {name}"))
    }

    pub(crate) fn rows(&self, name: &str) -> &Rows {
        self.multivariate.get(name).unwrap_or_else(|| panic!("no multivariate data set {name}"))
    }

    pub(crate) fn categorical(&self, name: &str) -> (Vec<&str>, Vec<&str>) {
        let sides = self.categorical.get(name).unwrap_or_else(|| panic!("no categorical data set {name}"));
        (known(&sides.reference), known(&sides.current))
    }
}

fn rows_of(values: &[Option<String>]) -> Vec<Option<&str>> {
    values.iter().map(Option::as_deref).collect()
}

fn known(values: &[Option<String>]) -> Vec<&str> {
    values.iter().filter_map(|value| value.as_deref()).collect()
}

impl Pair {
    /// `None` if a value is infinite: such values are counted apart in production and never reach a cell.
    pub(crate) fn cells(&self) -> Option<Cells> {
        Cells::new(&self.reference, &self.current)
    }
}

impl Cells {
    pub(crate) fn new(reference: &[f64], current: &[f64]) -> Option<Self> {
        if !reference.iter().chain(current).all(|x| x.is_finite()) {
            return None;
        }
        let binning = NumericBinning::from_sorted_values(&sorted(reference), 100_000).unwrap();
        let (reference, current) = (binning.count(reference), binning.count(current));
        Some(Self { binning, reference, current })
    }
}
