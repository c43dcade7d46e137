//! Names of the zone, and the records that they have.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};
use meridian_domain::Edit;
use meridian_ports::NameServer as _;

use crate::client::Ask;
use crate::cluster::{Cluster, add, agent, region};
use crate::server::TestServer;

const NAMES: [(&str, &str, &[&str]); 20] = [
    (
        "contoso",
        "A",
        &[
            "contoso.gateways.example.net. 5 IN A 203.0.113.1",
            "contoso.gateways.example.net. 5 IN A 203.0.113.2",
        ],
    ),
    ("contoso", "AAAA", &[]),
    ("contoso", "TXT", &[]),
    ("contoso", "HTTPS", &[]),
    ("contoso", "ANY", &[r#"contoso.gateways.example.net. 5 IN HINFO RFC8482 "#]),
    ("_tcp.contoso", "SRV", &[]),
    (
        "_http._tcp.contoso",
        "SRV",
        &[
            "_http._tcp.contoso.gateways.example.net. 5 IN SRV 0 0 8080 \
             westeurope.contoso.regional.gateways.example.net.",
            "_http._tcp.contoso.gateways.example.net. 5 IN SRV 1 0 8080 \
             eastus.contoso.regional.gateways.example.net.",
            "_http._tcp.contoso.gateways.example.net. 5 IN SRV 2 0 8080 \
             southeastasia.contoso.regional.gateways.example.net.",
        ],
    ),
    ("_http._tcp.contoso", "A", &[]),
    ("regional", "A", &[]),
    ("contoso.regional", "A", &[]),
    // The shorter time to live, that of the host name.
    (
        "eastus.contoso.regional",
        "A",
        &["eastus.contoso.regional.gateways.example.net. 3 IN A 198.51.100.7"],
    ),
    (
        "eastus.contoso.regional",
        "AAAA",
        &["eastus.contoso.regional.gateways.example.net. 3 IN AAAA 2001:db8::7"],
    ),
    (
        "southeastasia.contoso.regional",
        "AAAA",
        &["southeastasia.contoso.regional.gateways.example.net. 5 IN AAAA 2001:db8::9"],
    ),
    ("ns", "A", &[]),
    ("eu-1.ns", "A", &["eu-1.ns.gateways.example.net. 3600 IN A 203.0.113.1"]),
    ("us-1.ns", "AAAA", &["us-1.ns.gateways.example.net. 3600 IN AAAA 2001:db8::7"]),
    (
        "",
        "NS",
        &[
            "gateways.example.net. 3600 IN NS asia-1.ns.gateways.example.net.",
            "gateways.example.net. 3600 IN NS eu-1.ns.gateways.example.net.",
            "gateways.example.net. 3600 IN NS us-1.ns.gateways.example.net.",
        ],
    ),
    ("", "A", &[]),
    ("", "AAAA", &[]),
    ("", "MX", &[]),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_its_records_over_udp_and_tcp() {
    let server = TestServer::start(Cluster::contoso()).await;
    for (name, record_type, expected) in NAMES {
        let ask = Ask::new(name, record_type).edns(1_232);
        for response in [ask.udp(&server).await, ask.tcp(&server).await] {
            assert_eq!(response.answers(), expected, "{name} {record_type}");
            let message = &response.0;
            assert_eq!(response.code(), ResponseCode::NoError, "{name} {record_type}");
            assert_eq!(message.metadata.id, 0x1234);
            assert_eq!(message.queries, ask.message.queries);
            assert!(message.metadata.authoritative && message.metadata.recursion_desired);
            assert!(!message.metadata.recursion_available && !message.metadata.truncation);
            // No data is told by the start of authority.
            assert_eq!(response.authorities().len(), usize::from(expected.is_empty()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_exist_are_errors_with_the_start_of_authority() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let unknown = [
        "fabrikam",
        "www.contoso",
        "_udp.contoso",
        "_https._tcp.contoso",
        "_tcp.fabrikam",
        "_http._tcp.fabrikam",
        "fabrikam.regional",
        "northeurope.contoso.regional",
        "a.eastus.contoso.regional",
        "eastus.fabrikam.regional",
        "eu-9.ns",
        "a.eu-1.ns",
        "9",
    ];
    for name in unknown {
        let response = Ask::new(name, "A").udp(&server).await;
        assert_eq!(response.code(), ResponseCode::NXDomain, "{name}");
        let serial = cluster.revision();
        let soa = format!(
            "gateways.example.net. 5 IN SOA us-1.ns.gateways.example.net. \
             hostmaster.gateways.example.net. {serial} 86400 7200 3600000 5"
        );
        assert_eq!(response.authorities(), [soa], "{name}");
        assert!(response.0.metadata.authoritative);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_response_repeats_the_case_of_the_query() {
    let server = TestServer::start(Cluster::contoso()).await;
    for name in ["contoso", "CONTOSO", "cOnToSo"] {
        let response = Ask::new(name, "A").udp(&server).await;
        let asked = response.0.queries[0].name();
        assert!(asked.to_string().starts_with(name), "{asked}");
        let owner = &response.0.answers[0].name;
        assert_eq!(owner.to_string(), asked.to_string(), "as a compressed name");
    }
    let reads = server.cluster.reads.load(std::sync::atomic::Ordering::SeqCst);
    let _ = Ask::new("Contoso", "A").udp(&server).await;
    let reads_after = server.cluster.reads.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(reads, reads_after, "one answer serves all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_served_is_refused() {
    let server = TestServer::start(Cluster::contoso()).await;
    let version = Ask::new("version.bind.", "TXT").class(DNSClass::CH);
    let refused = [
        Ask::new("www.example.org.", "A"),
        Ask::new("example.net.", "NS"),
        Ask::new("xgateways.example.net.", "A"),
        Ask::new(".", "NS"),
        Ask::new("", "AXFR"),
        Ask::new("", "IXFR"),
        Ask::new("contoso", "A").class(DNSClass::CH),
        version,
    ];
    for ask in refused {
        for response in [ask.udp(&server).await, ask.tcp(&server).await] {
            assert_eq!(response.code(), ResponseCode::Refused, "{}", ask.message.queries[0]);
            assert!(response.answers().is_empty() && response.authorities().is_empty());
            assert!(!response.0.metadata.authoritative);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_zone_everything_is_refused() {
    let cluster = Cluster::contoso();
    cluster.set_dns(|settings| settings.zone = None);
    let server = TestServer::start_with(cluster, |_| ()).await;
    assert_eq!(Ask::new("contoso", "A").udp(&server).await.code(), ResponseCode::Refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_receive_the_closest_region_that_serves() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let ask = async || Ask::new("contoso", "A").udp(&server).await.answers();
    assert_eq!(ask().await.len(), 2);
    // One of two gateways fails, then the other one.
    cluster.fail("eu-1");
    changed(&server, async || ask().await.len() == 1).await;
    cluster.fail("eu-2");
    let eastus = ["contoso.gateways.example.net. 3 IN A 198.51.100.7"];
    changed(&server, async || ask().await == eastus).await;
    // As a last resort, all gateways of the closest region.
    cluster.fail("us-1");
    cluster.fail("asia-1");
    changed(&server, async || ask().await.len() == 2).await;
    // A disabled gateway is none.
    for place in ["westeurope", "eastus", "southeastasia"] {
        cluster.edit("contoso", Edit::Disable { region: region(place) });
    }
    changed(&server, async || ask().await.is_empty()).await;
    let response = Ask::new("contoso", "A").udp(&server).await;
    assert_eq!((response.code(), response.authorities().len()), (ResponseCode::NoError, 1));
}

/// Waits for a change to be visible, which takes at most 100 ms.
async fn changed(_: &TestServer, condition: impl AsyncFn() -> bool) {
    let started = std::time::Instant::now();
    crate::server::eventually(condition).await;
    let taken = started.elapsed();
    assert!(taken.as_millis() < 100, "visible after {taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fallback_regions_are_added_on_request() {
    let cluster = Cluster::contoso();
    cluster.set_dns(|settings| settings.fallback_regions = 1);
    let server = TestServer::start(cluster).await;
    let response = Ask::new("contoso", "A").udp(&server).await;
    assert_eq!(response.answers().len(), 3, "{:?}", response.answers());
}

#[tokio::test(flavor = "multi_thread")]
async fn name_servers_are_a_list_with_addresses_that_does_not_depend_on_their_units() {
    let cluster = Cluster::contoso();
    cluster.set_dns(|settings| settings.name_servers = vec![agent("eu-2"), agent("us-1")]);
    let server = TestServer::start(cluster.clone()).await;
    let servers = [
        "gateways.example.net. 3600 IN NS eu-2.ns.gateways.example.net.",
        "gateways.example.net. 3600 IN NS us-1.ns.gateways.example.net.",
    ];
    let glue = [
        "eu-2.ns.gateways.example.net. 3600 IN A 203.0.113.2",
        "us-1.ns.gateways.example.net. 3600 IN A 198.51.100.7",
        "us-1.ns.gateways.example.net. 3600 IN AAAA 2001:db8::7",
    ];
    let ask = Ask::new("", "NS");
    for _ in 0..2 {
        let response = ask.udp(&server).await;
        assert_eq!(response.answers(), servers);
        assert_eq!(response.additionals(), glue);
        assert_eq!(server.handle.delegation()[..2], servers);
        assert_eq!(server.handle.delegation()[2..], glue);
        // Its name cannot be resolved any more, and its units fail.
        server.names.remove("gw-us.example.org");
        cluster.fail("us-1");
        cluster.fail("eu-2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_has_all_addresses_of_its_gateways_up_to_a_limit() {
    let cluster = Cluster::empty();
    for number in 1..=20 {
        cluster.register(&format!("eu-{number}"), "westeurope", &format!("203.0.113.{number}"));
    }
    cluster.apply(meridian_domain::Command::SetLimits {
        limits: meridian_domain::limits::Limits {
            premium_units: 20,
            ..meridian_domain::limits::Limits::default()
        },
    });
    cluster.create("contoso");
    cluster.edit("contoso", Edit::Set { region: region("westeurope"), units: 20 });
    cluster.all_ready();
    cluster.set_dns(|_| ());
    let server = TestServer::start(cluster).await;
    let response = Ask::new("contoso", "A").udp(&server).await;
    assert_eq!(response.answers().len(), 16);
    assert!(!response.0.metadata.truncation, "without EDNS, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_a_service_is_that_of_its_newest_ready_units() {
    let cluster = Cluster::contoso();
    let server = TestServer::start(cluster.clone()).await;
    let ask = Ask::new("_http._tcp.contoso", "SRV");
    let ports = async || {
        let response = ask.udp(&server).await;
        let port = |record: &hickory_proto::rr::Record| match &record.data {
            hickory_proto::rr::RData::SRV(srv) => srv.port,
            other => panic!("{other}"),
        };
        assert!(response.0.answers.iter().all(|it| it.record_type() == RecordType::SRV));
        response.0.answers.iter().map(port).collect::<Vec<_>>()
    };
    assert_eq!(ports().await, [8080, 8080, 8080]);
    cluster.edit("contoso", Edit::Port(9090));
    assert_eq!(ports().await, [8080, 8080, 8080], "until units listen there");
    cluster.all_ready();
    cluster.all_ready();
    changed(&server, async || ports().await == [9090, 9090, 9090]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_without_known_addresses_is_passed_over() {
    let cluster = Cluster::empty();
    cluster.register("eu-1", "westeurope", "unknown.example.org");
    cluster.register("us-1", "eastus", "198.51.100.1");
    cluster.create("contoso");
    cluster.edit("contoso", add("eastus"));
    cluster.all_ready();
    cluster.set_dns(|_| ());
    let server = TestServer::start(cluster).await;
    let ask = async || Ask::new("contoso", "A").udp(&server).await.answers();
    assert_eq!(ask().await, ["contoso.gateways.example.net. 5 IN A 198.51.100.1"]);
    server.names.set("unknown.example.org", 60, &["203.0.113.1"]);
    let resolved = ["contoso.gateways.example.net. 5 IN A 203.0.113.1"];
    crate::server::eventually(async || ask().await == resolved).await;
}
