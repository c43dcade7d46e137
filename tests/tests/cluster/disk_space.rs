//! Nodes on nearly full disks.

use std::time::Duration;

use meridian_domain::{AgentName, Command, Revision};
use meridian_ports::{DiskSpace, Leadership, ProposeError};
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;

use tokio::time::{Instant, timeout};

use crate::support::{accepted, change, contoso, service, set};

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
    for frees_space in [
        Command::TrimHistory { through: Revision(0) },
        Command::RemoveAgent { agent: AgentName::new("brazilsouth-9").expect("is a name") },
        Command::DeleteService { service: service("fabrikam"), expected: None },
    ] {
        let decided = cluster.propose(0, frees_space.clone()).await;
        decided.unwrap_or_else(|error| panic!("{frees_space:?} is not decided: {error}"));
    }
    let before = cluster.converged().await;

    restart_with_floor(&mut cluster, 0).await;
    let change = change("contoso", vec![set("westeurope", 2)]);
    assert!(accepted(&cluster.propose(0, change).await.expect("the change is decided")));
    assert!(cluster.converged().await > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_leaves_a_node_below_its_disk_floor_for_one_that_can_write() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let low = 1;
    cluster.stop(low).await.expect("the node stops");
    cluster.set_disk_floor(u64::MAX);
    cluster.restart(low).await.expect("the node starts");
    cluster.leader().await;
    let node = cluster.nodes[low].ports().cluster.node();
    let deadline = || Instant::now() + Duration::from_secs(10);
    // The disk is measured once the node runs.
    let responses = until("the low disk to be reported", || async {
        let responses = cluster.nodes[0].ports().cluster.agents(deadline()).await;
        let low = |disk: DiskSpace| disk.is_below_minimum();
        responses.iter().any(|response| response.disk.is_some_and(low)).then_some(responses)
    })
    .await;
    let name = cluster.nodes[low].name();
    for response in responses {
        let low = response.disk.is_some_and(DiskSpace::is_below_minimum);
        assert_eq!(low, response.agent == *name, "{response:?}");
    }

    let mut leadership = cluster.nodes[low].ports().leadership.clone();
    let led = leadership.wait_for(|known| matches!(known, Leadership::Leader { .. }));
    // The node may have handed over leadership before the transfer returns.
    let transfer = cluster.nodes[0].ports().cluster.transfer_leader(Some(node), deadline());
    let (led, _) = tokio::join!(timeout(Duration::from_secs(10), led), transfer);
    assert!(led.expect("the node leads for a while").is_ok());
    until("another leader", || async { (cluster.leader().await != low).then_some(()) }).await;
    let change = change("contoso", vec![set("westeurope", 2)]);
    assert!(accepted(&cluster.propose(0, change).await.expect("the change is decided")));
    assert_ne!(cluster.leader().await, low);
}
