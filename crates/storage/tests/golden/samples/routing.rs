//! Samples of what routing depends on.

use super::*;

pub fn other_region_name() -> RegionName {
    RegionName::new("eastus").expect("is a name")
}

pub fn preference() -> Preference {
    Preference { priority: 100, weight: 101 }
}

pub fn dns() -> DnsSettings {
    DnsSettings {
        zone: Some("gateways.example.net".parse().expect("is a zone")),
        ttl_seconds: 17,
        fallback_regions: 2,
        name_servers: vec![agent_name()],
    }
}

pub fn network() -> Network {
    "10.1.0.0/16".parse().expect("is a network")
}

/// All kinds of groups, which no loss has at the same time.
pub fn evidence() -> Evidence {
    let zone = Zone::try_from(2).expect("is a zone");
    let groups = [
        ProberGroup::Region(other_region_name()),
        ProberGroup::Zone(Some(zone)),
        ProberGroup::Agent(agent_name()),
    ];
    Evidence { unreachable_from: groups.into(), groups: 102 }
}

pub fn losses() -> StoredLosses {
    let loss = |found| Loss {
        evidence: evidence(),
        revision: Revision(103),
        since: Timestamp(1_700_000_000_104),
        found,
        relapses: 105,
    };
    let found = Some(Timestamp(1_700_000_000_106));
    let losses = [(Gateways::All, loss(None)), (Gateways::Of(service_name()), loss(found))].into();
    StoredLosses { agent: agent_name(), losses }
}

pub fn stored_network() -> StoredNetwork {
    StoredNetwork { network: network(), region: region_name() }
}

pub fn stored_round_trip() -> StoredRoundTrip {
    let measured = MeasuredRoundTrip { micros: 107_000, recorded: Timestamp(1_700_000_000_108) };
    StoredRoundTrip { regions: (other_region_name(), region_name()), measured }
}
