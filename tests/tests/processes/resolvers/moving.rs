//! Lookups by `getent` through resolvers, while the region that they find is lost.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::lookups::{Found, look_up, union};
use super::{SERVICE, WITH_SUBNET, WITHOUT_SUBNET, Zone};
use crate::support::{execute_soon, kill_region};

/// Number of lookups through each resolver.
const LOOKUPS: usize = 1_000;
/// Number of lookups between two checks for the move.
const BATCH: usize = 10;
/// Maximum time from the end of a region to the last lookup that finds it: a new leader, the agreement
/// on the loss and the time to live, of which the resolver of Knot makes 5 s, on a busy machine.
const MOVE: Duration = Duration::from_secs(20);

/// A resolver, and the region that its clients find.
struct Lookups<'a> {
    name: &'a str,
    resolver: Ipv4Addr,
    region: &'a str,
}

impl Lookups<'_> {
    async fn run(&self, zone: &Zone, count: usize) -> Vec<Found> {
        let found = look_up(zone.sandbox.path(), self.resolver, SERVICE, count).await;
        found.unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }

    /// Looks the service up while its region serves.
    async fn stay(&self, zone: &Zone) {
        let started = Instant::now();
        let lookups = self.run(zone, LOOKUPS).await;
        let expected = zone.gateways(self.region);
        assert!(union(&lookups).iter().eq(&expected), "{}: {:?}", self.name, union(&lookups));
        let mut first = [0; 2];
        for found in &lookups {
            assert_eq!(found.len(), expected.len(), "{}: {found:?}", self.name);
            first[usize::from(found[0] == expected[1])] += 1;
        }
        let Self { name, region, .. } = self;
        println!("{name}: {LOOKUPS} lookups in {:?}: {region}, first {first:?}", started.elapsed());
        // The resolver rotates them, so that clients use both.
        assert!(first.iter().all(|times| *times > LOOKUPS / 10), "{name}: {first:?}");
    }

    /// Looks the service up until all lookups of a batch find the other region, and returns the time
    /// since `killed`. No lookup finds addresses of both.
    async fn leave(&self, zone: &Zone, other: &str, killed: Instant) -> Duration {
        let [from, to] = [self.region, other].map(|region| zone.gateways(region));
        let is = |found: &Found, region: &[IpAddr]| {
            let mut sorted = found.clone();
            sorted.sort();
            sorted == region
        };
        let mut has_moved = false;
        loop {
            let lookups = self.run(zone, BATCH).await;
            for found in &lookups {
                assert!(
                    is(found, &to) || is(found, &from) && !has_moved,
                    "{}: {found:?}",
                    self.name
                );
                has_moved |= is(found, &to);
            }
            let elapsed = killed.elapsed();
            if lookups.iter().all(|found| is(found, &to)) {
                return elapsed;
            }
            assert!(elapsed < MOVE, "{}: {lookups:?} after {elapsed:?}", self.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lookups_find_the_first_region_only_and_the_next_one_once_it_is_lost() {
    let Some(zone) = Zone::start().await else { return };
    // Clients of this machine ask from 127.0.0.1.
    execute_soon(&zone.agents[0], "network set 127.0.0.0/24=eastus").await;
    let plain = zone.unbound(1, WITHOUT_SUBNET).await;
    let subnet = zone.unbound(2, WITH_SUBNET).await;
    let knot = zone.knot(3).await;
    let lookups = |name, resolver, region| Lookups { name, resolver, region };
    let unbound = lookups("unbound", plain.address, "westeurope");
    let with_subnet = lookups("unbound with client subnet", subnet.address, "eastus");
    let knot = knot.as_ref().map(|it| lookups("knot-resolver", it.address, "westeurope"));
    for resolver in [Some(&unbound), Some(&with_subnet), knot.as_ref()].into_iter().flatten() {
        resolver.stay(&zone).await;
    }

    let killed = Instant::now();
    zone.agents[..2].iter().for_each(kill_region);
    let leave = async |resolver: &Lookups<'_>| {
        let elapsed = resolver.leave(&zone, "eastus", killed).await;
        println!("{}: eastus only, {elapsed:?} after westeurope was killed", resolver.name);
    };
    let leave_knot = async {
        if let Some(knot) = &knot {
            leave(knot).await;
        }
    };
    tokio::join!(leave(&unbound), leave_knot, with_subnet.stay(&zone));
}
