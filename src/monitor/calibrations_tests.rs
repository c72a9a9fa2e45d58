//! Calibrations are computed once, kept in documents to the bit, and made anew where these do not hold.

use std::sync::Mutex;

use super::*;
use crate::reference::{BaselineWindow, BaselineWindows, ReadWindows, Reference, WindowsUnread, decode};

const MINUTE: Millis = 60_000;

/// Windows that can be taken away, and how often they were asked for.
#[derive(Debug)]
struct Shelf {
    windows: Arc<[BaselineWindow]>,
    state: Mutex<(bool, u32)>,
}

impl ReadWindows for Shelf {
    fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread> {
        let mut state = self.state.lock().expect("nobody broke");
        state.1 += 1;
        if state.0 {
            Ok(Arc::clone(&self.windows))
        } else {
            Err(WindowsUnread::because(std::io::Error::other("the shelf is empty")))
        }
    }
}

impl Shelf {
    fn asked(&self) -> u32 {
        self.state.lock().expect("nobody broke").1
    }

    fn put(&self, there: bool) {
        self.state.lock().expect("nobody broke").0 = there;
    }
}

fn plan() -> (Plan, Arc<Shelf>) {
    let bytes = include_bytes!("../../testdata/references/format-1.awref");
    let whole = decode(bytes).expect("a reference");
    let windows = whole.windows.read().expect("at hand");
    let shelf = Arc::new(Shelf { windows, state: Mutex::new((true, 0)) });
    let reader: Arc<dyn ReadWindows> = Arc::<Shelf>::clone(&shelf);
    let kept = BaselineWindows::kept_by(reader, whole.windows.len());
    (Plan::new("0123".to_owned(), Arc::new(Reference { windows: kept, ..whole })), shelf)
}

fn monitor(text: &str) -> Monitor {
    let text = format!("kafka: {{bootstrap: 'h:1', topics: [t]}}\nmonitor: {text}");
    crate::config::parse(&text, "test").expect("settings").monitor
}

fn of(calibrations: &mut Calibrations, plan: &Plan, monitor: &Monitor, length: Millis) -> Arc<Calibration> {
    calibrations.of(plan, length, 0, (monitor, 1))
}

#[test]
fn a_document_gives_the_same_figures_to_the_bit_and_reads_no_windows() {
    let ((plan, shelf), monitor) = (plan(), monitor("{}"));
    let mut first = Calibrations::new(&monitor, 1);
    assert!(first.owes(&plan, MINUTE, 0));
    let made = [1, 5, 15].map(|minutes| of(&mut first, &plan, &monitor, minutes * MINUTE));
    assert!(made.iter().all(|one| one.windows > 0) && made[0] != made[1]);
    assert!(!first.owes(&plan, MINUTE, 0) && shelf.asked() == 3);
    let documents = first.take_documents();
    assert!(first.take_documents().is_empty());
    let (name, text) = documents.into_iter().next().expect("a document");
    assert_eq!(name, "calibration/0123");

    let mut second = Calibrations::new(&monitor, 1);
    let text = text.expect("it is not deleted");
    second.restore(&name, &text);
    assert!(!second.owes(&plan, MINUTE, 0));
    for (made, minutes) in made.iter().zip([1, 5, 15]) {
        let back = of(&mut second, &plan, &monitor, minutes * MINUTE);
        assert_eq!(back, *made);
        assert_eq!(
            rmp_serde::to_vec_named(&back).expect("bytes"),
            rmp_serde::to_vec_named(made).expect("bytes"),
            "to the bit"
        );
    }
    assert_eq!(shelf.asked(), 3, "nothing was read again");
    assert!(second.take_documents().is_empty(), "and nothing changed");
    assert!(second.owes(&plan, 60 * MINUTE, 0), "another length is computed");

    second.retain(|_| false);
    assert_eq!(second.take_documents(), BTreeMap::from([(name, None)]));
}

#[test]
fn a_document_of_other_settings_or_none_at_all_is_computed_anew() {
    let ((plan, _), usual) = (plan(), monitor("{}"));
    let mut first = Calibrations::new(&usual, 1);
    of(&mut first, &plan, &usual, MINUTE);
    let text = first.take_documents().remove("calibration/0123").flatten().expect("a document");
    let others = [
        (monitor("{detectors: {numeric: [psi]}}"), 1),
        (monitor("{latency: {quantiles: [0.5]}}"), 1),
        (monitor("{latency: {objective_ms: 10}}"), 1),
        (usual.clone(), 2),
    ];
    for (monitor, min_rows) in others {
        let mut other = Calibrations::new(&monitor, min_rows);
        other.restore("calibration/0123", &text);
        assert!(other.owes(&plan, MINUTE, 0));
    }
    for damaged in ["", "[]", "[\"\", \"\"]", &text.replace("=\"]", "\"]"), &text[..text.len() / 2]] {
        let mut other = Calibrations::new(&usual, 1);
        other.restore("calibration/0123", damaged);
        _ = other.owes(&plan, MINUTE, 0);
        assert_eq!(of(&mut other, &plan, &usual, MINUTE), of(&mut first, &plan, &usual, MINUTE));
    }
}

#[test]
fn windows_that_cannot_be_read_are_as_none_and_tried_again_later() {
    let ((plan, shelf), monitor) = (plan(), monitor("{}"));
    let mut calibrations = Calibrations::new(&monitor, 1);
    shelf.put(false);
    let mut at = |now: Millis| calibrations.of(&plan, MINUTE, now, (&monitor, 1));
    assert_eq!((at(0).windows, at(1).windows, shelf.asked()), (0, 0, 1), "not at every window");
    shelf.put(true);
    assert_eq!((at(AGAIN - 1).windows, shelf.asked()), (0, 1));
    assert!(at(AGAIN).windows > 0);
    assert!(!calibrations.any_unread() && calibrations.is_known("0123"));
    shelf.put(false);
    calibrations.of(&plan, 5 * MINUTE, AGAIN, (&monitor, 1));
    assert!(calibrations.any_unread() && !calibrations.is_known("0123"));
    assert!(calibrations.unread("0123").expect("a reason").contains("the shelf is empty"));
    assert!(calibrations.of(&plan, MINUTE, AGAIN, (&monitor, 1)).windows > 0, "what is known stays known");
}

#[test]
fn a_reference_without_windows_owes_nothing_and_has_no_document() {
    let ((plan, _), monitor) = (plan(), monitor("{}"));
    let none = Reference { windows: BaselineWindows::default(), ..(*plan.reference).clone() };
    let plan = Plan::new("0123".to_owned(), Arc::new(none));
    let mut calibrations = Calibrations::new(&monitor, 1);
    assert!(!calibrations.owes(&plan, MINUTE, 0));
    assert_eq!(of(&mut calibrations, &plan, &monitor, MINUTE).windows, 0);
    assert!(calibrations.take_documents().is_empty());
}
