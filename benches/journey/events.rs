//! The stream that is measured: native JSON events of about 603 bytes with 14 numeric and 6 categorical features, the
//! same for the same seed.

use std::f64::consts::TAU;
use std::fmt::Write as _;

use crate::model;

/// Event time wobbles around its place by up to this many milliseconds.
const DISORDER_MS: i64 = 3_000;

/// Categorical features with the number of their values.
const CATEGORIES: [(&str, u64); 6] =
    [("is_new", 2), ("channel", 4), ("device", 5), ("plan", 8), ("country", 40), ("merchant", 200)];

/// SplitMix64: good enough for shapes, and the same on every machine.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Within 0 (excluded) to 1 (included), so that its logarithm is finite.
    fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Gamma with a whole shape.
    fn gamma(&mut self, shape: u32) -> f64 {
        (0..shape).map(|_| self.exponential()).sum()
    }

    fn beta(&mut self, a: u32, b: u32) -> f64 {
        let (a, b) = (self.gamma(a), self.gamma(b));
        a / (a + b)
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (mut time, mut count) = (self.exponential(), 0);
        while time < mean {
            time += self.exponential();
            count += 1;
        }
        count
    }

    /// A value of `0..of`, small ones more often.
    fn skewed(&mut self, of: u64) -> u64 {
        ((self.unit() * self.unit() * of as f64) as u64).min(of - 1)
    }
}

/// An endless stream of events.
pub(crate) struct Stream {
    random: Random,
    start_ms: i64,
    spacing_ms: f64,
    /// Models whose events take turns.
    models: u64,
    made: u64,
}

impl Stream {
    /// A stream of so many models that begins at `start_ms` with an event every `spacing_ms`.
    pub(crate) fn new(seed: u64, start_ms: i64, spacing_ms: f64, models: u64) -> Self {
        Self { random: Random(seed), start_ms, spacing_ms, models, made: 0 }
    }

    /// Writes the next event into `json`, which is cleared first.
    pub(crate) fn next_into(&mut self, json: &mut String) {
        json.clear();
        // Writing into a string cannot fail.
        let _ = self.write(json);
        self.made += 1;
    }

    fn write(&mut self, json: &mut String) -> std::fmt::Result {
        let wobble = self.random.below(2 * DISORDER_MS.unsigned_abs() + 1).cast_signed() - DISORDER_MS;
        let ts = self.start_ms + (self.made as f64 * self.spacing_ms) as i64 + wobble;
        let (high, low) = (self.random.bits(), self.random.bits());
        let model = model(self.made % self.models);
        write!(json, r#"{{"id":"{high:016x}-{low:016x}","model":"{model}","version":"1.0.0","#)?;
        write!(json, r#""ts":{ts},"features":{{"#)?;
        self.numbers(json)?;
        for (name, of) in CATEGORIES {
            let value = self.random.skewed(of);
            write!(json, r#","{name}":"{}{value}""#, &name[..3])?;
        }
        let score = self.random.beta(2, 9);
        let label = if score > 0.35 { "deny" } else { "pass" };
        let latency = (2.0 + 0.4 * self.random.normal()).exp();
        let tenant = self.random.skewed(30);
        write!(
            json,
            r#"}},"prediction":{{"label":"{label}","score":{score:.4}}},"latency_ms":{latency:.3},"#
        )?;
        write!(
            json,
            r#""segment":{{"environment":"production","region":"eu-central-1","tenant":"tenant-{tenant:03}"}}}}"#
        )
    }

    fn numbers(&mut self, json: &mut String) -> std::fmt::Result {
        let random = &mut self.random;
        let sign = if random.below(2) == 0 { -1.0 } else { 1.0 };
        write!(json, r#""amount":{:.2}"#, (3.5 + 1.1 * random.normal()).exp())?;
        write!(json, r#","income":{:.2}"#, (10.4 + 0.6 * random.normal()).exp())?;
        write!(json, r#","balance":{:.2}"#, 1_500.0 + 900.0 * random.normal())?;
        write!(json, r#","age":{}"#, 18 + random.below(70))?;
        write!(json, r#","tenure_days":{:.1}"#, 120.0 * random.gamma(2))?;
        write!(json, r#","utilisation":{:.5}"#, random.beta(2, 5))?;
        write!(json, r#","logins_7d":{}"#, random.poisson(4.0))?;
        write!(json, r#","basket":{}"#, 1 + random.poisson(1.5))?;
        write!(json, r#","velocity":{:.4}"#, random.unit().powf(-1.0 / 2.5))?;
        write!(json, r#","distance_km":{:.3}"#, 25.0 * random.exponential())?;
        write!(json, r#","hour":{}"#, random.below(24))?;
        write!(json, r#","residual":{:.5}"#, sign * random.exponential())?;
        write!(json, r#","risk_index":{:.6}"#, random.unit())?;
        write!(json, r#","pressure_hpa":{:.4}"#, 1_013.0 + 7.0 * random.normal())
    }
}
