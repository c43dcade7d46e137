use super::*;
use crate::cli::LayoutArgs;
use crate::config::{AgentConfig, Start, layers};

fn directory() -> (tempfile::TempDir, DevDirectory) {
    let parent = tempfile::tempdir().expect("temporary directory");
    let directory = DevDirectory::open(&parent.path().join("dev")).expect("new directory");
    (parent, directory)
}

fn layout(directory: &DevDirectory) -> (Layout, Vec<Plan>) {
    let layout = Layout::resolve(None, &LayoutArgs::default()).expect("valid layout");
    let plans = layout.plans(directory.path()).expect("valid names");
    (layout, plans)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("readable")
}

#[test]
fn a_second_dev_in_the_same_directory_names_the_first() {
    let (_parent, directory) = directory();
    let error = DevDirectory::open(directory.path()).expect_err("locked").to_string();
    let pid = format!("as process {}", std::process::id());
    assert!(error.contains("another `meridian dev` runs in") && error.ends_with(&pid), "{error}");
}

#[test]
fn a_stored_layout_is_read_back_and_edits_of_configurations_survive() {
    let (_parent, directory) = directory();
    assert_eq!(stored_layout(directory.path()).expect("readable"), None);
    let (layout, plans) = layout(&directory);
    directory.store(&layout, &plans).expect("writable");
    assert_eq!(stored_layout(directory.path()).expect("readable"), Some(layout.clone()));
    std::fs::write(config_path(&plans[1]), "# edited").expect("writable");
    directory.store(&layout, &plans).expect("writable");
    assert_eq!(read(&config_path(&plans[1])), "# edited");
}

/// A file that is truncated and written in place is empty for a moment, and permanently after a
/// power cut. A hard link distinguishes a replacement from a write in place.
#[test]
fn files_are_replaced_and_never_written_in_place() {
    let (_parent, directory) = directory();
    let (layout, plans) = layout(&directory);
    directory.store(&layout, &plans).expect("writable");
    let (path, old) = (directory.path().join(LAYOUT), directory.path().join("old"));
    std::fs::hard_link(&path, &old).expect("same file system");
    let before = read(&old);
    let other = Layout { echo_port: 7999, ..layout };
    directory.store(&other, &plans).expect("writable");
    assert_eq!(read(&old), before, "the old file was written in place");
    assert!(read(&path).contains("7999"));
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").file_name())
        .filter(|name| name.to_string_lossy().ends_with(".new"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_layout_is_stored_before_the_configurations_that_are_derived_from_it() {
    let (_parent, directory) = directory();
    let (layout, plans) = layout(&directory);
    // Blocks the configuration of the first agent.
    std::fs::write(&plans[0].directory, "in the way").expect("writable");
    directory.store(&layout, &plans).expect_err("blocked");
    assert_eq!(stored_layout(directory.path()).expect("readable"), Some(layout));
}

#[test]
fn a_torn_file_of_an_older_version_is_named_with_the_next_step() {
    let (_parent, directory) = directory();
    let (layout, plans) = layout(&directory);
    let path = directory.path().join(LAYOUT);
    for (torn, message) in [
        ("", "dev.toml is empty: an earlier run was interrupted while writing it"),
        ("\0\0\0\0", "dev.toml is empty: an earlier run was interrupted while writing it"),
        ("regions = [\"eastus\"]\n", "dev.toml is incomplete or invalid: missing field"),
        ("regions = [\"eas", "dev.toml is incomplete or invalid: "),
    ] {
        std::fs::write(&path, torn).expect("writable");
        let error = stored_layout(directory.path()).expect_err("torn");
        assert!(error.to_string().contains(message), "{error}");
        let next = error.next_step();
        assert!(next.starts_with(&format!("remove {}", path.display())), "{next}");
        assert!(next.contains("with the same flags as before"), "{next}");
    }
    std::fs::remove_file(&path).expect("removable");
    directory.store(&layout, &plans).expect("writable");
    std::fs::write(config_path(&plans[2]), "").expect("writable");
    let error = directory.store(&layout, &plans).expect_err("torn");
    assert!(error.to_string().contains("southeastasia/agent.toml is empty"), "{error}");
}

#[tokio::test]
async fn a_removed_or_replaced_directory_is_noticed() {
    for replaced in [false, true] {
        let (_parent, directory) = directory();
        assert!(directory.is_present());
        std::fs::remove_dir_all(directory.path()).expect("removable");
        if replaced {
            std::fs::create_dir(directory.path()).expect("creatable");
            std::fs::write(directory.path().join(LOCK), "").expect("writable");
        }
        directory.removed().await;
    }
}

#[test]
fn a_moved_directory_is_found_at_its_new_path() {
    let (parent, directory) = directory();
    let parent = parent.path().canonicalize().expect("exists");
    let (_, plans) = layout(&directory);
    let run = |moved: &str, agent: &str| parent.join(moved).join(agent).join("data/run");
    assert_eq!(directory.run_paths(&plans[..1]), [run("dev", "westeurope")]);
    std::fs::rename(directory.path(), parent.join("moved")).expect("movable");
    assert!(!directory.is_present());
    let both = [run("dev", "westeurope"), run("moved", "westeurope")];
    assert_eq!(directory.run_paths(&plans[..1]), both);
}

#[test]
fn the_configurations_are_valid_and_one_agent_bootstraps() {
    let (_parent, directory) = directory();
    let (layout, plans) = layout(&directory);
    directory.store(&layout, &plans).expect("writable");
    let config = |plan: &Plan| {
        let values = layers(Values::default(), Some(&config_path(plan))).expect("valid file");
        AgentConfig::resolve(&values).expect("valid configuration")
    };
    let peers = |start: &Start| match start {
        Start::Bootstrap(peers) | Start::Wait(peers) => peers.len(),
        Start::Join(_) => 0,
    };
    let (first, second) = (config(&plans[0]), config(&plans[1]));
    assert!(matches!(first.start, Start::Bootstrap(_)) && matches!(second.start, Start::Wait(_)));
    assert_eq!((peers(&first.start), peers(&second.start)), (3, 3));
    assert_eq!(second.data_dir, data_path(&plans[1]));
    assert_eq!(second.client.listen, ([127, 0, 1, 2], 7400).into());
    assert_eq!(second.gateway_advertise, "127.0.1.2");
}
