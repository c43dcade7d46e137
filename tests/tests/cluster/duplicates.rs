//! Two nodes on copies of one data directory.

use std::time::Duration;

use meridian_testkit::cluster::Options;
use meridian_testkit::wait::until;
use tokio::time::Instant;

use crate::support::{accepted, add, change, contoso};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_a_copied_directory_stops_and_the_original_continues() {
    let mut cluster = contoso(Options::default()).await;
    cluster.voters(3).await;
    let original = (cluster.leader().await + 1) % 3;
    cluster.stop(original).await.expect("the node stops");
    let node = {
        cluster.restart(original).await.expect("the node starts");
        cluster.converged().await;
        cluster.nodes[original].ports().cluster.node()
    };

    let mut copy = cluster.start_copy(original).await.expect("the copy starts");
    let error = copy.stopped().await.to_string();
    assert!(error.contains("an older process runs as this node at"), "{error}");
    assert!(error.contains(cluster.nodes[original].peer_address().as_str()), "{error}");

    let other = &cluster.nodes[(original + 1) % 3];
    until("status to show the second process", || async {
        let deadline = Instant::now() + Duration::from_secs(5);
        let agents = other.ports().cluster.agents(deadline).await;
        let shown = agents
            .iter()
            .any(|agent| agent.duplicated && agent.agent == *cluster.nodes[original].name());
        shown.then_some(())
    })
    .await;
    // The copy may have announced its address.
    until("the log to have the address of the original", || async {
        let state = other.ports().read.state();
        let agent = state.agents.get(cluster.nodes[original].name())?;
        let logged = &agent.description.peer_address;
        (logged == cluster.nodes[original].peer_address()).then_some(())
    })
    .await;
    let receipt = cluster.propose(original, change("contoso", vec![add("eastus", 1)])).await;
    assert!(accepted(&receipt.expect("the original is a member")));
    cluster.converged().await;
    assert_eq!(cluster.nodes[original].ports().cluster.node(), node);
}
