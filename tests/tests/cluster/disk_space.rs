//! Nodes on nearly full disks.

use meridian_ports::ProposeError;
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;

use crate::support::{accepted, change, contoso, set};

/// Restarts all nodes with the given disk floor.
async fn restart_with_floor(cluster: &mut Cluster, bytes: u64) {
    for node in 0..3 {
        cluster.stop(node).await.expect("the node stops");
    }
    cluster.set_disk_floor(bytes);
    for node in 0..3 {
        cluster.restart(node).await.expect("the node starts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_below_its_disk_floor_rejects_changes_and_serves_reads() {
    let mut cluster = contoso(Options::default()).await;
    let before = cluster.converged().await;
    // No disk has that much free space.
    restart_with_floor(&mut cluster, u64::MAX).await;
    // Until its first disk check, a node accepts changes; these have no effect.
    let error = until("a rejected change", || async {
        let no_op = change("contoso", vec![set("westeurope", 1)]);
        cluster.propose(0, no_op).await.err()
    });
    let error = error.await;
    assert!(
        matches!(error, ProposeError::LowDisk { free, floor: u64::MAX } if free > 0),
        "{error}"
    );
    assert_eq!(cluster.converged().await, before, "linearizable reads succeed");

    restart_with_floor(&mut cluster, 0).await;
    let change = change("contoso", vec![set("westeurope", 2)]);
    assert!(accepted(&cluster.propose(0, change).await.expect("the change is decided")));
    assert!(cluster.converged().await > before);
}
