//! Changes of the state: visible soon, and without effect on the answers of other services.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use meridian_domain::reachability::Gateways;
use meridian_domain::{Edit, RoutingPolicy};

use crate::client::Ask;
use crate::cluster::{Cluster, agent, region};
use crate::server::{TestServer, eventually};

/// Returns the number of reads of the state that a query causes.
async fn reads(server: &TestServer, ask: &Ask) -> usize {
    let reads = || server.cluster.reads.load(Ordering::SeqCst);
    let before = reads();
    let _ = ask.udp(server).await;
    reads() - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_one_service_keeps_the_answers_of_the_others() {
    let cluster = Cluster::contoso();
    cluster.create("fabrikam");
    cluster.all_ready();
    let server = TestServer::start(cluster.clone()).await;
    let (contoso, fabrikam) = (Ask::new("contoso", "A"), Ask::new("fabrikam", "A"));
    for ask in [&contoso, &fabrikam] {
        let _ = ask.udp(&server).await;
        assert_eq!(reads(&server, ask).await, 0, "built once");
    }
    cluster.edit("contoso", Edit::Scale { region: region("eastus"), units: Some(2), zones: None });
    eventually(async || reads(&server, &contoso).await == 1).await;
    assert_eq!(reads(&server, &fabrikam).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_serial_is_the_revision_within_100_ms() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let ask = Ask::new("", "SOA");
    for units in 2..12 {
        let region = region("eastus");
        cluster.edit("contoso", Edit::Scale { region, units: Some(units), zones: None });
        let (started, revision) = (Instant::now(), cluster.revision());
        let serial = format!(" {revision} 86400");
        eventually(async || ask.udp(&server).await.answers()[0].contains(&serial)).await;
        assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_services_and_settings_are_visible_within_100_ms() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let visible = async |name: &str, expected: &str| {
        let started = Instant::now();
        let ask = Ask::new(name, "A");
        eventually(async || {
            ask.udp(&server).await.answers().first().is_some_and(|it| it.contains(expected))
        })
        .await;
        assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    };
    cluster.create("fabrikam");
    cluster.all_ready();
    visible("fabrikam", " 5 IN A 203.0.113.").await;
    cluster.set_dns(|settings| settings.ttl_seconds = 20);
    visible("fabrikam", " 20 IN A 203.0.113.").await;
    cluster.set_dns(|settings| settings.zone = Some("example.com".parse().unwrap()));
    visible("fabrikam.example.com.", " 5 IN A 203.0.113.").await;
    cluster.assign("127.0.0.0/8", "eastus");
    visible("contoso.example.com.", " 3 IN A 198.51.100.7").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_events_drop_all_answers() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let ask = Ask::new("contoso", "A");
    assert_eq!(ask.udp(&server).await.answers().len(), 2);
    cluster.trimmed.store(true, Ordering::SeqCst);
    cluster.fail("eu-1");
    eventually(async || ask.udp(&server).await.answers().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_a_weighted_service_are_not_kept() {
    let cluster = Cluster::contoso();
    cluster.edit("contoso", Edit::Routing(RoutingPolicy::Weighted));
    let server = TestServer::start(cluster).await;
    let ask = Ask::new("contoso", "A");
    let _ = ask.udp(&server).await;
    assert_eq!(reads(&server, &ask).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_gateways_that_the_agent_reaches_itself_come_first() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let given = async |expected: &[&str]| {
        eventually(async || {
            let response = Ask::new("contoso", "A").udp(&server).await;
            let mut addresses: Vec<_> = response.answers().to_vec();
            addresses.sort();
            addresses.len() == expected.len()
                && addresses.iter().zip(expected).all(|(record, end)| record.ends_with(end))
        })
        .await;
    };
    let unreachable = |agents: &[&str]| {
        let gateways = agents.iter().map(|name| (agent(name), Gateways::All));
        cluster.local_view.send_replace(Some(gateways.collect()));
    };
    let both = ["203.0.113.1", "203.0.113.2"];
    given(&both).await;
    unreachable(&["eu-1"]);
    given(&both[1..]).await;
    unreachable(&["eu-1", "eu-2"]);
    given(&["198.51.100.7"]).await;
    // The last entries of a leader may still arrive.
    cluster.edit("contoso", Edit::Scale { region: region("eastus"), units: Some(2), zones: None });
    let serial = format!(" {} 86400", cluster.revision());
    let soa = Ask::new("", "SOA");
    eventually(async || soa.udp(&server).await.answers()[0].contains(&serial)).await;
    given(&["198.51.100.7"]).await;
    unreachable(&["eu-1", "eu-2", "us-1", "asia-1"]);
    given(&both).await;
    unreachable(&["eu-1"]);
    given(&both[1..]).await;
    cluster.local_view.send_replace(None);
    given(&both).await;
}
