//! Disks that are nearly full.

use meridian_ports::ProposeError;
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;

use crate::support::{accepted, change, contoso, set};

/// Stops all nodes, and starts them again with that floor.
async fn restart_with_floor(cluster: &mut Cluster, bytes: u64) {
    for node in 0..3 {
        cluster.stop(node).await.expect("stops");
    }
    cluster.set_disk_floor(bytes);
    for node in 0..3 {
        cluster.restart(node).await.expect("starts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_below_its_floor_takes_no_change_and_still_gives_what_it_has() {
    let mut cluster = contoso(Options::default()).await;
    let before = cluster.agreement().await;
    // No disk has that much room.
    restart_with_floor(&mut cluster, u64::MAX).await;
    // Until a node has looked at its disk, it takes changes; these change nothing.
    let refused = until("a refusal", || async {
        let nothing = change("contoso", vec![set("westeurope", 1)]);
        cluster.propose(0, nothing).await.err()
    });
    let refused = refused.await;
    assert!(
        matches!(refused, ProposeError::LowDisk { free, floor: u64::MAX } if free > 0),
        "{refused}"
    );
    assert_eq!(cluster.agreement().await, before, "linearizable reads are answered");

    restart_with_floor(&mut cluster, 0).await;
    let change = change("contoso", vec![set("westeurope", 2)]);
    assert!(accepted(&cluster.propose(0, change).await.expect("is answered")));
    assert!(cluster.agreement().await > before);
}
