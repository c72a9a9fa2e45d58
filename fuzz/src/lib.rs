//! What the targets share: a core that watches one small model.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anchorwatch::action::VersionFacts;
use anchorwatch::config::{self, Config};
use anchorwatch::engine::{CatalogEntry, Engine};
use anchorwatch::event::Record;
use anchorwatch::reference::{Column, ColumnKind, Provenance, Reference, Role};
use anchorwatch::window::WatchedVersion;
use anchorwatch_detectors::binning::{Binning, CategoricalBinning, NumericBinning};

/// Content address of the model's reference.
pub const REFERENCE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A configuration with everything that works on events.
pub fn configuration() -> &'static Config {
    static CONFIGURATION: OnceLock<Config> = OnceLock::new();
    CONFIGURATION.get_or_init(parsed)
}

fn parsed() -> Config {
    let text = "kafka: {bootstrap: 'localhost:9092', topics: [events]}
windows: {pane: 1m, horizons: [{length: 3m}, {length: 10m}], min_rows: 5}
segments: {field: region}
";
    config::parse(text, "fuzz.yaml").expect("a configuration")
}

/// The model's reference.
pub fn reference() -> Arc<Reference> {
    static REFERENCE: OnceLock<Arc<Reference>> = OnceLock::new();
    Arc::clone(REFERENCE.get_or_init(|| Arc::new(made())))
}

fn made() -> Reference {
    let column = |name: &str, role, kind, binning| Column {
        name: name.to_owned(),
        role,
        kind,
        required: true,
        single_precision: name == "y",
        binning,
        usual: None,
        unseen_beyond: 0.0,
        notes: Vec::new(),
    };
    let numeric = || Binning::Numeric(NumericBinning::new(vec![0.0, 1.0, 2.5]).expect("knots"));
    let categories = || {
        let names = ["a", "true", "3"].map(str::to_owned).to_vec();
        Binning::Categorical(CategoricalBinning::new(names).expect("categories"))
    };
    let columns = vec![
        column("x", Role::Feature, ColumnKind::Numeric, numeric()),
        column("y", Role::Feature, ColumnKind::Numeric, numeric()),
        column("c", Role::Feature, ColumnKind::Categorical, categories()),
        column("b", Role::Feature, ColumnKind::Boolean, categories()),
        column("k", Role::Feature, ColumnKind::CodedCategory, categories()),
        column("score", Role::Score, ColumnKind::Numeric, numeric()),
        column("prediction", Role::Prediction, ColumnKind::Categorical, categories()),
        column("label", Role::Label, ColumnKind::Categorical, categories()),
    ];
    let length = anchorwatch::reference::Layout::new(&columns).len();
    Reference {
        model: "m".to_owned(),
        version: "1.0.0".to_owned(),
        columns,
        has_latency: true,
        profile: vec![3; length],
        window_ms: None,
        windows: Default::default(),
        segment_field: None,
        segments: BTreeMap::new(),
        joint: Default::default(),
        calibration: None,
        provenance: Provenance::default(),
    }
}

/// A core that watches the model.
pub fn engine() -> Engine {
    let mut engine = Engine::new(configuration());
    watch(&mut engine);
    engine
}

/// Makes a core watch the model.
pub fn watch(engine: &mut Engine) {
    engine.set_catalog(&[CatalogEntry {
        watched: WatchedVersion {
            model: "m".to_owned(),
            version: "1.0.0".to_owned(),
            reference_id: REFERENCE.to_owned(),
            reference: reference(),
            takes_feedback: true,
        },
        facts: VersionFacts::default(),
    }]);
}

/// A record of the topic.
pub fn record(offset: i64, payload: Option<&[u8]>) -> Record<'_> {
    Record {
        topic: "events",
        partition: 0,
        offset,
        timestamp: Some(1_767_571_200_000),
        appended_at: None,
        key: None,
        headers: &[],
        payload,
    }
}
