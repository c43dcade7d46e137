use meridian_domain::{RegionName, ServiceName};

use super::*;

fn intent() -> Intent {
    Intent {
        version: 1,
        cluster: ClusterId(uuid::Uuid::nil()),
        unit: UnitId {
            service: ServiceName::new("contoso").unwrap(),
            region: RegionName::new("westeurope").unwrap(),
            slot: 2,
        },
        incarnation: Incarnation(7),
        generation: Generation(3),
        address: "127.0.1.1:8080".parse().unwrap(),
        driver: DriverKind::Builtin,
    }
}

#[test]
fn the_stored_format_of_version_1_does_not_change() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::open(root.path()).unwrap();
    run.record(&intent()).unwrap();
    let stored = fs::read_to_string(root.path().join("u7.json")).unwrap();
    assert_eq!(
        stored.split_once(' ').unwrap().1,
        concat!(
            r#"{"version":1,"cluster":"00000000-0000-0000-0000-000000000000","#,
            r#""unit":{"service":"contoso","region":"westeurope","slot":2},"incarnation":7,"#,
            r#""generation":3,"address":"127.0.1.1:8080"}"#,
            "\n"
        )
    );
    assert_eq!(run.intent(Incarnation(7)).unwrap(), intent());
}

#[test]
fn a_run_directory_that_others_can_write_to_is_made_private() {
    let root = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    RunDirectory::open(root.path()).unwrap().log(Incarnation(7)).unwrap();
    assert_eq!(mode(&root.path().join("u7.log")), 0o600);
    fs::set_permissions(root.path(), Permissions::from_mode(0o777)).unwrap();
    RunDirectory::open(root.path()).unwrap();
    assert_eq!(mode(root.path()), 0o700);
}

#[test]
fn a_running_unit_of_another_driver_is_an_error_and_an_exited_one_is_cleared() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::open(root.path()).unwrap();
    run.record(&Intent { driver: DriverKind::Command, ..intent() }).unwrap();
    fs::create_dir(run.unit_directory(Incarnation(7))).unwrap();
    let held = run.take_lock(Incarnation(7)).unwrap();
    assert_eq!(run.clear_exited(DriverKind::Command).unwrap(), [Incarnation(7)]);
    let error = run.clear_exited(DriverKind::Builtin).unwrap_err();
    assert!(error.to_string().contains("started by driver command"), "{error}");
    drop(held);
    assert_eq!(run.clear_exited(DriverKind::Builtin).unwrap(), []);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn files_of_a_running_process_are_not_deleted() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::open(root.path()).unwrap();
    run.record(&intent()).unwrap();
    let held = File::open(root.path().join("u7.json")).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    assert_eq!(run.clear(Incarnation(7), true).unwrap(), Lock::Held);
    assert!(run.intent(Incarnation(7)).is_ok());
    drop(held);
    assert_eq!(run.clear(Incarnation(7), true).unwrap(), Lock::Free);
    assert!(run.incarnations().unwrap().is_empty());
}

#[test]
fn only_names_of_unit_files_are_incarnations() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDirectory::open(root.path()).unwrap();
    for name in ["u1.json", "u2.log", "u3.sock", "u4.json.new", "u5.txt", "ux.json", "notes"] {
        File::create(root.path().join(name)).unwrap();
    }
    let found: Vec<u64> = run.incarnations().unwrap().iter().map(|i| i.0).collect();
    assert_eq!(found, [1, 2, 3, 4]);
}
