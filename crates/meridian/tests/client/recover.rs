//! `meridian recover` on directories that have nothing to recover. Recoveries are tested with real
//! agents, in `tests/tests/processes/recovery.rs`.

use meridian_domain::{ClusterId, NodeId};
use meridian_storage::disk::directory::{DataDirectory, Identity};
use uuid::Uuid;

use crate::run::{Run, run};

async fn recover(path: &std::path::Path, arguments: &[&str]) -> Run {
    let path = path.to_str().expect("is text");
    run(&[], &[&["recover", "--data-dir", path][..], arguments].concat()).await
}

#[tokio::test]
async fn a_directory_without_data_is_refused_and_a_missing_one_is_not_created() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let empty = recover(parent.path(), &[]).await;
    assert!(empty.exits(1).err.contains("belongs to no cluster"), "{empty:?}");
    let missing = parent.path().join("missing");
    let refused = recover(&missing, &[]).await;
    assert!(refused.exits(1).err.contains("there is no data directory at"), "{refused:?}");
    assert!(!missing.exists());
}

#[tokio::test]
async fn another_user_than_that_of_the_agent_is_refused() {
    let parent = tempfile::tempdir().expect("can create a directory");
    // Only root can give the directory away; for any other user, root owns one.
    let given_away = std::os::unix::fs::chown(parent.path(), Some(65_534), None).is_ok();
    let path = if given_away { parent.path() } else { std::path::Path::new("/") };
    let refused = recover(path, &[]).await;
    assert!(refused.exits(1).err.contains("belongs to user"), "{refused:?}");
    assert!(!path.join("lock").exists());
}

#[tokio::test]
async fn an_agent_that_never_received_an_entry_is_shown_and_not_recovered() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let mut directory = DataDirectory::open(parent.path()).expect("is new");
    let cluster = ClusterId(Uuid::from_u128(0x0193_2f5e_8b1a_4c3d_9e4f_0123_4567_89ab));
    directory.establish(Identity { cluster, node: NodeId(255) }).expect("has none");
    let held = recover(parent.path(), &[]).await;
    let pid = format!("in use by pid {}", std::process::id());
    assert!(held.exits(1).err.contains(&pid), "{held:?}");
    drop(directory);

    let shown = recover(parent.path(), &[]).await;
    shown.exits(0);
    for line in [
        "cluster     01932f5e-8b1a-4c3d-9e4f-0123456789ab\n",
        "node        00000000000000ff\n",
        "agent       unknown\n",
        "last entry  none\n",
    ] {
        assert!(shown.out.contains(line), "{line}: {shown:?}");
    }
    let force = ["--force-new-cluster", "--reason", "x", "--yes"];
    let refused = recover(parent.path(), &force).await;
    assert!(refused.exits(1).err.contains("is not a member of the cluster"), "{refused:?}");
    assert_eq!(recover(parent.path(), &[]).await.out, shown.out);
}
