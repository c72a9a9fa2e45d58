//! A model that left the registry leaves no document behind.

use anchorwatch::engine::Restored;

use super::{IN_STEP, Plan, USUAL, apply, run, send, settings};

#[test]
fn nothing_stays_of_a_model_that_left_the_registry() {
    let sent = send(5, Plan { hours: 120, changes_at: 72, lost: 2 });
    let (settings, mut stored) = (settings(USUAL), Restored::default());
    let (_, mut engine) = run(&sent, &settings, &IN_STEP, |mut engine| {
        apply(&mut stored, engine.checkpoint());
        engine
    });
    apply(&mut stored, engine.checkpoint());
    let kept =
        |stored: &Restored, of: &str| stored.documents.keys().filter(|name| name.starts_with(of)).count();
    for of in [
        "alerts/",
        "performance-watch/",
        "performance-watch-windows/",
        "watch/",
        "watch-windows/",
        "labels/delays/",
    ] {
        assert!(kept(&stored, of) > 0, "{of}: {:?}", stored.documents.keys());
    }
    assert_eq!(engine.joins().len(), 1);

    engine.set_catalog(&[]);
    apply(&mut stored, engine.checkpoint());
    for of in [
        "alerts/",
        "performance-watch",
        "watch",
        "labels/pane",
        "labels/prediction",
        "labels/early",
        "labels/delays",
    ] {
        assert_eq!(kept(&stored, of), 0, "{of}: {:?}", stored.documents.keys());
    }
    assert_eq!((engine.joins().len(), engine.labels().len()), (0, 0));
    let state = &stored.documents["labels/state"];
    assert!(!state.contains("\"m\""), "{state}");
}
