//! Each kind of bad input gets a sensible binning and a note, or one clear error.

use std::fmt::Write as _;

use super::{Baseline, column, remark};
use crate::reference::{ColumnKind, Role};
use crate::registry::BuildError;

fn csv(header: &str, rows: impl Iterator<Item = String>) -> Baseline {
    let mut text = format!("{header}\n");
    rows.for_each(|row| writeln!(text, "{row}").unwrap());
    Baseline::new("rows.csv", &text)
}

#[test]
fn a_column_without_values_is_left_out_with_a_remark() {
    let built = csv("a,b", (0..9).map(|i| format!("{i},"))).built();
    assert_eq!(built.columns.len(), 1);
    assert!(remark(&built, "`b` is left out: no value in any of 9 rows"), "{:?}", built.provenance.remarks);
}

#[test]
fn a_constant_column_is_kept_and_noted() {
    let built = csv("a", (0..9).map(|_| "7".to_owned())).built();
    let (a, counts) = column(&built, "a");
    assert_eq!((counts.cells, a.required), (&[0, 9, 0][..], true));
    assert!(a.notes[0].contains("one value only"), "{:?}", a.notes);
}

#[test]
fn values_of_a_minor_type_count_as_wrong_type_and_the_first_is_named() {
    let rows =
        (0..100).map(|i| format!(r#"{{"a":{}}}"#, if i == 16 { "\"n/a\"".into() } else { i.to_string() }));
    let built = Baseline::new("rows.jsonl", &rows.collect::<Vec<_>>().join("\n")).built();
    let (a, counts) = column(&built, "a");
    assert_eq!((a.kind, counts.wrong_type, counts.present()), (ColumnKind::Numeric, 1, 99));
    assert!(
        a.notes[0].contains("1 values are not numeric") && a.notes[0].contains("row 17, is \"n/a\""),
        "{:?}",
        a.notes
    );
}

#[test]
fn a_csv_column_of_codes_and_numbers_is_text_but_a_rare_word_is_a_wrong_type() {
    let codes =
        csv("a", (0..100).map(|i| if i % 4 == 0 { "A1".into() } else { (i % 5).to_string() })).built();
    assert_eq!(column(&codes, "a").0.kind, ColumnKind::Categorical);
    let rare = csv("a", (0..100).map(|i| if i == 3 { "oops".into() } else { i.to_string() })).built();
    assert_eq!((column(&rare, "a").0.kind, column(&rare, "a").1.wrong_type), (ColumnKind::Numeric, 1));
}

#[test]
fn csv_marks_of_missing_numbers_are_missing_and_no_wrong_types() {
    let built =
        csv("a,b", (0..100).map(|i| format!("{},{}", if i < 5 { "NA".into() } else { i.to_string() }, "NA")))
            .built();
    let (a, counts) = column(&built, "a");
    assert_eq!((counts.missing, counts.wrong_type, a.required), (5, 0, false));
    assert!(remark(&built, "`b` is left out"));
}

#[test]
fn of_fifty_thousand_categories_the_heaviest_are_kept_and_the_rest_is_unseen() {
    let rows = (0..50_000).flat_map(|i| std::iter::repeat_n(format!("c{i}"), if i < 10 { 500 } else { 2 }));
    let baseline = csv("a", rows).with(|options| options.max_categories = 10);
    let built = baseline.built();
    let (a, counts) = column(&built, "a");
    assert_eq!(counts.cells, &[500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 99_980][..]);
    assert!(a.notes[0].contains("heaviest 10 of 50000 categories"), "{:?}", a.notes);
}

#[test]
fn an_identifier_is_left_out_unless_the_schema_gives_it_a_kind() {
    let rows = || (0..1_000).map(|i| format!("user-{i},{}", i % 3));
    let built = csv("user,n", rows()).built();
    assert!(remark(&built, "`user` is left out") && remark(&built, "looks like an identifier"));
    let kept = csv("user,n", rows()).with_schema("- {name: user, kind: categorical}").built();
    assert_eq!(column(&kept, "user").0.kind, ColumnKind::Categorical);
}

#[test]
fn nan_and_infinity_are_counted_but_make_no_cut_point() {
    let rows = (0..50).map(|i| match i {
        7 => "NaN".to_owned(),
        8 => "inf".to_owned(),
        i => i.to_string(),
    });
    let built = csv("a", rows).built();
    let (a, counts) = column(&built, "a");
    assert_eq!((counts.non_finite, counts.present()), (2, 48));
    assert!(a.notes.iter().any(|note| note.contains("2 values are NaN or infinite, the first at row 8")));
}

#[test]
fn a_date_is_not_a_feature() {
    let built = csv("day,n", (1..29).map(|i| format!("2024-01-{i:02},{i}"))).built();
    assert!(remark(&built, "`day` is left out: a date is not a feature"));
}

#[test]
fn files_without_rows_are_refused() {
    for (name, text) in [("a.csv", "a,b\n"), ("a.csv", ""), ("a.jsonl", "\n\n")] {
        let error = Baseline::new(name, text).refused();
        assert!(error.contains("has no rows"), "{error}");
    }
}

#[test]
fn without_a_time_column_there_are_no_windows_and_a_remark_says_so() {
    let built = csv("a", (0..9).map(|i| i.to_string())).built();
    assert_eq!((built.window_ms, built.windows.len()), (None, 0));
    assert!(remark(&built, "there is no time column `ts`"));
}

#[test]
fn times_may_be_seconds_milliseconds_or_text_and_need_no_order() {
    for ts in [|i: i64| (1_700_000_000 + i).to_string(), |i: i64| (1_700_000_000_000 + i * 1_000).to_string()]
    {
        let built = csv("ts,a", (0..300).rev().map(|i| format!("{},{i}", ts(i)))).built();
        assert_eq!(
            (built.window_ms, built.provenance.time_range),
            (Some(60_000), Some((1_700_000_000_000, 1_700_000_299_000)))
        );
        assert!(built.windows.read().unwrap().is_sorted_by_key(|window| window.start));
    }
    let text = csv("ts,a", (0..5).map(|i| format!("2024-01-02T00:0{i}:00+01:00,{i}"))).built();
    assert_eq!(text.provenance.time_range, Some((1_704_150_000_000, 1_704_150_240_000)));
}

#[test]
fn rows_without_a_readable_time_count_in_the_whole_only() {
    let built = csv(
        "ts,a",
        (0..5).map(|i| format!("{},{i}", if i == 2 { "soon".into() } else { format!("2024-01-0{}", i + 1) })),
    )
    .built();
    let in_windows: u64 =
        built.windows.read().unwrap().iter().map(|window| window.counts(built.layout().len())[0]).sum();
    assert_eq!((built.profile[0], in_windows), (5, 4));
    assert!(remark(&built, "1 rows have no readable `ts`, the first is row 3"));
}

#[test]
fn broken_lines_are_named() {
    let error = Baseline::new("a.jsonl", "{\"a\":1}\n{\"a\":NaN}\n").refused();
    assert!(error.contains("line 2") && error.contains("write null"), "{error}");
    let error = Baseline::new("a.csv", "a,b\n1,2\n3\n").refused();
    assert!(error.contains("a.csv cannot be read as CSV") && error.contains("line 3"), "{error}");
    let error = Baseline::new("a.parquet", "not parquet at all").refused();
    assert!(error.contains("cannot be read as Parquet"), "{error}");
    let error = Baseline::new("a.arrow", "ARROW1 but then nothing").refused();
    assert!(error.contains("cannot be read as Arrow IPC"), "{error}");
    let error = Baseline::new("a.bin", "??").refused();
    assert!(error.contains("pass --format"), "{error}");
}

#[test]
fn a_missing_file_and_a_folder_are_refused_with_their_path() {
    let missing = Baseline::new("a.csv", "a\n1\n").with(|options| options.source = "/nowhere/a.csv".into());
    assert!(missing.refused().contains("cannot read /nowhere/a.csv"));
    let folder = Baseline::new("a.csv", "").with(|options| options.source = "/".into());
    assert!(folder.refused().contains("cannot"), "{}", folder.refused());
}

#[test]
fn a_repeated_column_name_is_refused() {
    assert!(csv("a,a", ["1,2".to_owned()].into_iter()).refused().contains("two columns named `a`"));
}

#[test]
fn names_that_the_file_does_not_have_are_refused_with_the_nearest() {
    let rows = || ["1,2".to_owned()].into_iter();
    let error =
        csv("origin,b", rows()).with(|options| options.segment_field = Some("orign".into())).refused();
    assert!(error.contains("no column `orign` (from --segment-by); did you mean `origin`?"), "{error}");
    let error = csv("time,b", rows()).with(|options| options.roles.time = "tme".into()).refused();
    assert!(error.contains("(from --time-column)"), "{error}");
    let error = csv("a,b", rows()).with_schema("- {name: c, kind: numeric}").refused();
    assert!(error.contains("no column `c`") && error.contains("schema.yaml"), "{error}");
}

#[test]
fn a_schema_kind_that_no_value_has_is_refused() {
    let error =
        csv("a,b", ["x,1".to_owned()].into_iter()).with_schema("- {name: a, kind: numeric}").refused();
    assert!(error.contains("no value of column `a`") && error.contains("row 1, is \"x\""), "{error}");
}

#[test]
fn coded_categories_come_from_the_schema_only() {
    let rows = || (0..100).map(|i| format!(r#"{{"zip":{}}}"#, 10_000 + i % 4)).collect::<Vec<_>>().join("\n");
    let built = Baseline::new("a.jsonl", &rows()).with_schema("- {name: zip, kind: coded_category}").built();
    let (zip, counts) = column(&built, "zip");
    assert_eq!((zip.kind, counts.cells), (ColumnKind::CodedCategory, &[25, 25, 25, 25, 0][..]));
    assert_eq!(column(&Baseline::new("a.jsonl", &rows()).built(), "zip").0.kind, ColumnKind::Numeric);
}

#[test]
fn a_schema_may_ignore_and_require_columns() {
    let schema = "- {name: b, ignore: true}\n- {name: c, required: true}";
    let built = csv("a,b,c", (0..4).map(|i| format!("{i},{i},{}", if i == 0 { "" } else { "1" })))
        .with_schema(schema)
        .built();
    assert_eq!(built.columns.len(), 2);
    let (c, _) = column(&built, "c");
    assert!(c.required && c.notes.iter().any(|note| note.contains("missing in 1 rows")));
}

#[test]
fn when_nothing_is_left_the_reasons_are_told() {
    let baseline = Baseline::new("a.jsonl", r#"{"a":[1,2]}"#);
    assert!(matches!(baseline.build(), Err(BuildError::NothingToCompare { .. })));
    assert!(baseline.refused().contains("`a` is left out: it holds lists"));
}

#[test]
fn bad_names_and_options_are_refused() {
    let rows = || csv("a", ["1".to_owned()].into_iter());
    let error = rows().with(|options| options.version = "1.0".into()).refused();
    assert!(error.contains("`1.0` is not a semantic version") && error.contains("1.0.0"), "{error}");
    assert!(rows().with(|options| options.model = "my model".into()).refused().contains("model's name"));
    assert!(rows().with(|options| options.points = 0).refused().contains("--points is 0"));
}

#[test]
fn native_events_and_flat_rows_are_both_read() {
    let native = r#"{"id":"1","model":"m","version":"1.0.0","ts":"2024-01-01T00:00:00Z","features":{"x":1,"score":700,"ok":true},"prediction":{"label":"yes","score":0.9},"latency_ms":3.5,"segment":{"country":"DE"},"odd":1}"#;
    let built = Baseline::new("a.jsonl", native)
        .with(|options| options.segment_field = Some("country".into()))
        .built();
    let names: Vec<(&str, Role)> = built.columns.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert!(
        names.contains(&("score", Role::Feature)) && names.contains(&("score", Role::Score)),
        "{names:?}"
    );
    assert!(
        names.contains(&("ok", Role::Feature)) && names.contains(&("prediction", Role::Prediction)),
        "{names:?}"
    );
    assert!(built.has_latency && built.segments.contains_key("DE"));
    assert!(remark(&built, "`odd` is left out"));
}

#[test]
fn bools_semicolons_and_byte_order_marks_are_understood() {
    let built = Baseline::new("a.csv", "\u{feff}a;b\ntrue;1\nFALSE;2\n").built();
    let (a, counts) = column(&built, "a");
    assert_eq!((a.kind, counts.cells), (ColumnKind::Boolean, &[1, 1, 0][..]));
}

#[test]
fn segments_beyond_the_limit_are_counted_in_the_whole_only() {
    let built = csv("s,a", (0..600).map(|i| format!("s{},1", i % 60)))
        .with(|o| o.segment_field = Some("s".into()))
        .built();
    assert_eq!(built.segments.len(), 50);
    assert!(remark(&built, "more than 50 values"));
}

#[test]
fn a_cut_or_damaged_file_is_an_error_and_never_a_panic() {
    use std::fs::File;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};

    let folder = tempfile::tempdir().unwrap();
    let numbers: ArrayRef = Arc::new(Float64Array::from_iter_values((0..40).map(f64::from)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..40).map(|i| format!("c{}", i % 3))));
    let batch = RecordBatch::try_from_iter([("a", numbers), ("b", texts)]).unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut parquet =
        parquet::arrow::ArrowWriter::try_new(File::create(path("a.parquet")).unwrap(), batch.schema(), None)
            .unwrap();
    parquet.write(&batch).unwrap();
    parquet.close().unwrap();
    let file = File::create(path("a.arrow")).unwrap();
    let mut ipc = arrow::ipc::writer::FileWriter::try_new(file, &batch.schema()).unwrap();
    ipc.write(&batch).unwrap();
    ipc.finish().unwrap();
    for name in ["a.parquet", "a.arrow"] {
        let whole = std::fs::read(path(name)).unwrap();
        let options = crate::registry::BaselineOptions::new("m", "1.0.0", path(name));
        assert!(crate::registry::build(&options).is_ok());
        for at in (0..whole.len()).step_by(7) {
            std::fs::write(path(name), &whole[..at]).unwrap();
            assert!(crate::registry::build(&options).is_err(), "{name} cut at {at}");
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            std::fs::write(path(name), &damaged).unwrap();
            let _either = crate::registry::build(&options);
        }
    }
}
