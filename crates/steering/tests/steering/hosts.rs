//! Host names of gateways.

use crate::client::Ask;
use crate::cluster::{Cluster, add};
use crate::server::{TestServer, eventually};

fn one_gateway(host: &str) -> std::sync::Arc<Cluster> {
    let cluster = Cluster::empty();
    cluster.register("eu-1", "westeurope", host);
    cluster.create("contoso");
    cluster.all_ready();
    cluster.set_dns(|_| ());
    cluster
}

async fn addresses(server: &TestServer) -> Vec<String> {
    let mut addresses = Vec::new();
    for record_type in ["A", "AAAA"] {
        let response = Ask::new("contoso", record_type).udp(server).await;
        addresses.extend(response.0.answers.iter().map(|record| record.data.to_string()));
    }
    addresses
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_no_client_can_use_are_left_out() {
    let unusable = [
        "0.0.0.0",
        "[::]",
        "0.0.0.1",
        "169.254.1.1",
        "[fe80::1]",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "224.0.0.1",
        "255.255.255.255",
        "[ff02::1]",
    ];
    for host in unusable {
        let server = TestServer::start(one_gateway(host)).await;
        assert!(addresses(&server).await.is_empty(), "{host}");
    }
    for host in ["10.0.0.1", "192.168.1.1", "100.64.0.1", "[fd00::1]", "203.0.113.1"] {
        let server = TestServer::start(one_gateway(host)).await;
        assert_eq!(addresses(&server).await, [host.trim_matches(['[', ']'])]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_addresses_are_used_only_if_allowed() {
    let allow = |config: &mut meridian_steering::Config| config.allow_loopback = true;
    let server = TestServer::start_with(one_gateway("127.0.1.1"), allow).await;
    assert_eq!(addresses(&server).await, ["127.0.1.1"]);
    let server = TestServer::start_with(one_gateway("169.254.1.1"), allow).await;
    assert!(addresses(&server).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_addresses_of_a_name_are_kept_while_it_is_not_resolved() {
    let server = TestServer::start(one_gateway("gw.example.org")).await;
    server.names.set("gw.example.org", 1, &["203.0.113.5", "127.0.0.1"]);
    eventually(async || addresses(&server).await == ["203.0.113.5"]).await;
    // All further lookups fail, or find nothing that clients can use.
    server.names.remove("gw.example.org");
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(addresses(&server).await, ["203.0.113.5"]);
    server.names.set("gw.example.org", 1, &["0.0.0.0"]);
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(addresses(&server).await, ["203.0.113.5"]);
    server.names.set("gw.example.org", 1, &["203.0.113.6"]);
    eventually(async || addresses(&server).await == ["203.0.113.6"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_another_host_is_found_there() {
    let cluster = one_gateway("203.0.113.1");
    let server = TestServer::start(cluster.clone()).await;
    assert_eq!(addresses(&server).await, ["203.0.113.1"]);
    server.names.set("new.example.org", 60, &["203.0.113.9"]);
    cluster.register("us-1", "eastus", "new.example.org");
    cluster.edit("contoso", add("eastus"));
    cluster.all_ready();
    cluster.fail("eu-1");
    eventually(async || addresses(&server).await == ["203.0.113.9"]).await;
}

#[tokio::test]
async fn the_lookup_of_the_system_knows_its_hosts_file() {
    let found = meridian_steering::hosts::lookup::system()("localhost".to_owned()).await;
    let resolved = found.expect("every machine has this name");
    assert!(resolved.addresses.iter().all(std::net::IpAddr::is_loopback), "{resolved:?}");
    assert!(!resolved.addresses.is_empty() && resolved.ttl > 0, "{resolved:?}");
}
