//! Many services in all regions of the catalog: memory of a name server, and the time from an event to
//! its answers.
//!
//! ```text
//! MERIDIAN_SCALE_SERVICES=1000 \
//!     cargo test --release -p meridian-steering --test steering scale -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use meridian_domain::reachability::{Gateways, LossVotes, ProberGroup};
use meridian_domain::{Command, Edit, Generation, catalog, limits};

use crate::client::Ask;
use crate::cluster::{Cluster, agent, service};
use crate::server::TestServer;

/// Number of services; this variable overrides it.
const SERVICES: (&str, usize) = ("MERIDIAN_SCALE_SERVICES", 10);
/// Region that is lost.
const LOST: &str = "westeurope";
/// Maximum time from an event to an answer.
const MAX_DELAY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn answers_follow_the_loss_of_a_region_at_scale() {
    let services = std::env::var(SERVICES.0).map_or(SERVICES.1, |count| count.parse().unwrap());
    let before = resident_mib();
    let cluster = cluster(services);
    let with_state = resident_mib();
    let server = TestServer::start(cluster.clone()).await;
    let regions = catalog::regions();
    for number in 0..services {
        for index in 0..regions.len() {
            assert_eq!(address(&server, number, index).await, host(index));
        }
    }
    let with_answers = resident_mib();

    let lost = regions.iter().position(|region| region.name.as_str() == LOST).unwrap();
    let voting = regions.iter().filter(|region| region.name.as_str() != LOST);
    let groups = voting.map(|region| ProberGroup::Region(region.name.clone()));
    let votes = LossVotes {
        agent: agent(LOST),
        generation: Generation(1),
        gateways: Gateways::All,
        unreachable_from: groups
            .collect::<BTreeSet<_>>()
            .into_iter()
            .take(limits::PROBER_GROUPS)
            .collect(),
        relapses: 0,
    };
    cluster.apply(Command::LoseGateways(votes));
    let began = Instant::now();
    while address(&server, 0, lost).await == host(lost) {
        assert!(began.elapsed() < MAX_DELAY, "no answer follows the event");
    }
    let first = began.elapsed();
    for number in 0..services {
        assert_ne!(address(&server, number, lost).await, host(lost), "service {number}");
    }
    println!(
        "{services} services in {} regions: the state has {} MiB, {} answers {} MiB; from the event \
         {first:.1?} to an answer without the region, {:.1?} to those for all services",
        regions.len(),
        with_state - before,
        services * regions.len(),
        with_answers - with_state,
        began.elapsed(),
    );
    assert!(first < MAX_DELAY, "{first:?}");
}

/// Returns a cluster with an agent in every region, and services in all of them. The clients of each
/// region are a network.
fn cluster(services: usize) -> Arc<Cluster> {
    let cluster = Cluster::empty();
    for (index, region) in catalog::regions().iter().enumerate() {
        let name = region.name.as_str();
        cluster.register(name, name, &host(index));
        cluster.assign(&format!("10.{index}.0.0/16"), name);
    }
    let others = catalog::regions().iter().filter(|it| it.name.as_str() != LOST);
    let edits: Vec<_> =
        others.map(|other| Edit::Set { region: other.name.clone(), units: 1 }).collect();
    for number in 0..services {
        let name = format!("service-{number}");
        cluster.create(&name);
        let edits = edits.clone();
        cluster.apply(Command::ChangeService { service: service(&name), expected: None, edits });
    }
    cluster.all_ready();
    cluster.set_dns(|_| ());
    cluster
}

/// Returns the address of the gateway in a region.
fn host(index: usize) -> String {
    format!("203.0.113.{}", index + 1)
}

/// Returns the address that clients in a region are sent to.
async fn address(server: &TestServer, service: usize, index: usize) -> String {
    let ask = Ask::new(&format!("service-{service}"), "A").subnet(&format!("10.{index}.1.0/24"));
    let answers = ask.udp(server).await.answers();
    let [answer] = answers.as_slice() else { panic!("{answers:?}") };
    answer.rsplit(' ').next().unwrap().to_owned()
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}
