//! Keeping references and moving versions between stages.

use super::Baseline;
use crate::reference::{Reference, ReferenceId};
use crate::registry::{Registry, RegistryError};
use crate::view::Stage;

fn reference(version: &str, rows: u32) -> Reference {
    let text = (0..rows).map(|i| format!("{i}\n")).collect::<String>();
    Baseline::new("a.csv", &format!("a\n{text}"))
        .with(|options| {
            options.version = version.to_owned();
        })
        .built()
}

fn registry(versions: &[&str]) -> (tempfile::TempDir, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let mut registry = Registry::open(folder.path()).unwrap();
    versions.iter().for_each(|version| drop(registry.add_reference(&reference(version, 5)).unwrap()));
    (folder, registry)
}

fn stage(registry: &Registry, version: &str) -> Stage {
    let models = registry.models().unwrap();
    models[0].versions.iter().find(|view| view.version == version).unwrap().stage
}

#[test]
fn a_reopened_registry_knows_everything() {
    let (folder, mut registry) = registry(&[]);
    let reference = reference("1.0.0", 5);
    let id = registry.add_reference(&reference).unwrap();
    registry.set_stage("m", "1.0.0", Stage::Production, false).unwrap();
    drop(registry);
    let registry = Registry::open(folder.path()).unwrap();
    assert_eq!(registry.load_reference(id.short()).unwrap(), reference);
    let active = registry.active().unwrap();
    assert_eq!((active.len(), &active[0].reference_id, active[0].stage), (1, &id, Stage::Production));
}

#[test]
fn the_same_bytes_twice_are_one_reference() {
    let (_folder, mut registry) = registry(&[]);
    let reference = reference("1.0.0", 5);
    assert_eq!(registry.add_reference(&reference).unwrap(), registry.add_reference(&reference).unwrap());
    assert_eq!(registry.list_references(None).unwrap().len(), 1);
}

#[test]
fn the_first_reference_of_a_version_is_active_until_another_is_activated() {
    let (_folder, mut registry) = registry(&[]);
    let first = registry.add_reference(&reference("1.0.0", 5)).unwrap();
    let second = registry.add_reference(&reference("1.0.0", 6)).unwrap();
    let active = |registry: &Registry| registry.active().unwrap()[0].reference_id.clone();
    assert_eq!(active(&registry), first);
    let before = registry.change_token().unwrap();
    registry.activate(second.short()).unwrap();
    assert_eq!(active(&registry), second);
    assert_ne!(registry.change_token().unwrap(), before);
}

#[test]
fn a_change_by_another_process_changes_the_token() {
    let (folder, registry) = registry(&["1.0.0"]);
    let before = registry.change_token().unwrap();
    assert_eq!(registry.change_token().unwrap(), before);
    let mut other = Registry::open(folder.path()).unwrap();
    other.set_stage("m", "1.0.0", Stage::Staging, false).unwrap();
    assert!(registry.change_token().unwrap() > before);
}

#[test]
fn damage_and_loss_of_an_artifact_are_noticed_and_healed_by_creating_it_again() {
    let (folder, mut registry) = registry(&[]);
    let original = reference("1.0.0", 5);
    let id = registry.add_reference(&original).unwrap();
    let path = folder.path().join("references").join(format!("{id}.awref"));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(registry.load_reference(id.as_str()), Err(RegistryError::Damaged { .. })));
    assert!(matches!(registry.activate(id.as_str()), Err(RegistryError::Damaged { .. })));
    registry.add_reference(&original).unwrap();
    assert_eq!(registry.load_reference(id.as_str()).unwrap(), original);
    std::fs::remove_file(&path).unwrap();
    let error = registry.load_reference(id.as_str()).unwrap_err();
    assert!(
        matches!(error, RegistryError::Missing { .. }) && error.to_string().contains("backup"),
        "{error}"
    );
}

/// A reference of ten days of hours.
fn timed() -> Reference {
    let text: String =
        (0..240).map(|hour| format!("{},{}\n", 1_704_067_200_000_i64 + hour * 3_600_000, hour % 7)).collect();
    Baseline::new("a.csv", &format!("ts,a\n{text}")).built()
}

#[test]
fn a_start_reads_the_head_and_windows_are_read_when_they_are_asked_for() {
    let (folder, mut registry) = registry(&[]);
    let original = timed();
    let id = registry.add_reference(&original).unwrap();
    let read = || registry.load_heads(vec![id.clone()]).pop().unwrap().1.unwrap();
    let head = read();
    assert!(!head.windows.is_empty() && head.windows.len() == original.windows.len());
    assert_eq!(head.windows.read().unwrap(), original.windows.read().unwrap());
    assert_eq!(Reference { windows: original.windows.clone(), ..head.clone() }, original);

    let path = folder.path().join("references").join(format!("{id}.awref"));
    let sound = std::fs::read(&path).unwrap();
    let mut bytes = sound.clone();
    *bytes.last_mut().unwrap() ^= 1;
    for damaged in [bytes.clone(), sound[..sound.len() - 1].to_vec(), [&sound[..], b"x"].concat()] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(read().columns, original.columns, "the head is what it was");
        let error = head.windows.read().unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("backup"), "{error}");
        assert!(matches!(registry.load_reference(id.as_str()), Err(RegistryError::Damaged { .. })));
    }
    assert!(matches!(registry.activate(id.as_str()), Err(RegistryError::Damaged { .. })));
    registry.add_reference(&original).unwrap();
    assert!(head.windows.read().is_ok(), "it was put back");
    bytes = sound;
    bytes[60] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let read = registry.load_heads(vec![id]).pop().unwrap().1;
    assert!(matches!(read, Err(RegistryError::Damaged { .. })));
}

#[test]
fn a_file_of_format_1_keeps_its_address() {
    let (folder, mut registry) = registry(&[]);
    let bytes =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/references/format-1.awref")).unwrap();
    let id = ReferenceId::of(&bytes);
    let path = folder.path().join("references").join(format!("{id}.awref"));
    std::fs::write(&path, &bytes).unwrap();
    registry.adopt(&id).unwrap();
    registry.adopt(&id).unwrap();
    assert_eq!(registry.list_references(None).unwrap().len(), 1);
    registry.activate(id.short()).unwrap();
    let head = registry.load_head(&id).unwrap();
    assert_eq!(head.windows.read().unwrap().len(), 400);
    assert_eq!(registry.load_reference(id.short()).unwrap().windows.len(), 400);
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(registry.load_head(&id), Err(RegistryError::Damaged { .. })));
    assert!(matches!(registry.adopt(&id), Err(RegistryError::Damaged { .. })));
}

#[test]
fn unknown_and_ambiguous_addresses_are_refused() {
    let (_folder, mut registry) = registry(&[]);
    assert!(matches!(registry.load_reference("abc"), Err(RegistryError::UnknownReference { .. })));
    assert!(matches!(registry.load_reference("%"), Err(RegistryError::UnknownReference { .. })));
    let ids: Vec<ReferenceId> =
        (5..40).map(|rows| registry.add_reference(&reference("1.0.0", rows)).unwrap()).collect();
    let first = |id: &ReferenceId| id.as_str()[..1].to_owned();
    let shared =
        ids.iter().map(first).find(|digit| ids.iter().filter(|id| first(id) == *digit).count() > 1).unwrap();
    let error = registry.load_reference(&shared).unwrap_err();
    assert!(error.to_string().contains("give more digits"), "{error}");
}

#[test]
fn promoting_to_production_archives_the_former_one_and_writes_history() {
    let (_folder, mut registry) = registry(&["1.0.0", "1.1.0"]);
    registry.set_stage("m", "1.0.0", Stage::Production, false).unwrap();
    registry.set_stage("m", "1.1.0", Stage::Production, false).unwrap();
    assert_eq!((stage(&registry, "1.0.0"), stage(&registry, "1.1.0")), (Stage::Archived, Stage::Production));
    let reasons: Vec<String> = registry.stage_changes("m").unwrap().into_iter().map(|c| c.reason).collect();
    assert_eq!(reasons, ["promoted", "superseded", "promoted"]);
}

#[test]
fn an_archived_version_is_promoted_only_by_force() {
    let (_folder, mut registry) = registry(&["1.0.0"]);
    registry.set_stage("m", "1.0.0", Stage::Archived, false).unwrap();
    let error = registry.set_stage("m", "1.0.0", Stage::Production, false).unwrap_err();
    assert!(error.to_string().contains("--force"), "{error}");
    registry.set_stage("m", "1.0.0", Stage::Production, true).unwrap();
    assert_eq!(stage(&registry, "1.0.0"), Stage::Production);
}

#[test]
fn the_last_good_version_is_the_one_that_served_before() {
    let (_folder, mut registry) = registry(&["1.0.0", "1.1.0", "1.2.0"]);
    for version in ["1.1.0", "1.0.0", "1.2.0"] {
        registry.set_stage("m", version, Stage::Production, true).unwrap();
    }
    assert_eq!(registry.last_good("m", "1.2.0").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn a_version_that_was_rolled_back_is_not_good() {
    let (_folder, mut registry) = registry(&["1.0.0", "1.1.0", "1.2.0"]);
    registry.set_stage("m", "1.0.0", Stage::Production, false).unwrap();
    registry.set_stage("m", "1.1.0", Stage::Production, false).unwrap();
    registry.roll_back("m", "1.0.0").unwrap();
    registry.set_stage("m", "1.2.0", Stage::Production, false).unwrap();
    assert_eq!(registry.last_good("m", "1.2.0").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn without_history_the_highest_lower_version_in_use_is_good() {
    let (_folder, mut registry) = registry(&["1.9.0", "1.10.0", "2.0.0", "2.1.0"]);
    assert_eq!(registry.last_good("m", "2.0.0").unwrap(), None);
    registry.set_stage("m", "1.9.0", Stage::Staging, false).unwrap();
    registry.set_stage("m", "1.10.0", Stage::Archived, false).unwrap();
    registry.set_stage("m", "2.1.0", Stage::Staging, false).unwrap();
    assert_eq!(registry.last_good("m", "2.0.0").unwrap().as_deref(), Some("1.10.0"));
}

#[test]
fn unknown_names_are_refused_with_what_is_known() {
    let (_folder, mut registry) = registry(&["1.0.0"]);
    let error = registry.set_stage("m", "9.0.0", Stage::Staging, false).unwrap_err();
    assert!(error.to_string().contains("(versions: 1.0.0)"), "{error}");
    assert!(
        registry.set_stage("m", "one", Stage::Staging, false).unwrap_err().to_string().contains("semantic")
    );
    assert!(registry.last_good("x", "1.0.0").unwrap_err().to_string().contains("`x` is not registered"));
}

#[test]
fn versions_are_listed_by_semantic_order_highest_first() {
    let (_folder, registry) = registry(&["1.9.0", "1.10.0", "1.10.0-rc.1"]);
    let models = registry.models().unwrap();
    let order: Vec<&str> = models[0].versions.iter().map(|view| view.version.as_str()).collect();
    assert_eq!(order, ["1.10.0", "1.10.0-rc.1", "1.9.0"]);
}

#[test]
fn the_registry_works_inside_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (_folder, mut registry) = registry(&[]);
        let id = registry.add_reference(&reference("1.0.0", 5)).unwrap();
        registry.load_reference(id.as_str()).unwrap();
        let dropped = registry;
        drop(dropped);
    });
}
