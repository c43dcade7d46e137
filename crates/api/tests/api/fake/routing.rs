//! Ports of the fake that routing uses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use meridian_domain::reachability::votes::VoteCount;
use meridian_domain::routing::network_of;
use meridian_domain::{NodeId, RegionName};
use meridian_ports::{
    Located, LocationSource, NameServer, NoLeaderResponse, ProbeReport, Reachability, Read as _,
};
use tokio::time::Instant;

use super::Fake;

#[async_trait]
impl Reachability for Fake {
    async fn report(
        &self,
        _: ProbeReport,
        _: Instant,
    ) -> Result<BTreeSet<NodeId>, NoLeaderResponse> {
        Ok(BTreeSet::new())
    }

    async fn votes(&self, _: Instant) -> Result<Vec<VoteCount>, NoLeaderResponse> {
        Ok(self.script(|script| script.votes.clone()))
    }
}

/// Locates clients by networks only.
impl NameServer for Fake {
    fn locate(&self, address: IpAddr) -> Located {
        match network_of(&self.state(), address) {
            Some((network, region)) => Located {
                region: region.clone(),
                source: LocationSource::Network(network),
                scope: network.prefix_length(),
            },
            None => Located {
                region: RegionName::new("westeurope").expect("is a name"),
                source: LocationSource::OwnRegion,
                scope: 0,
            },
        }
    }

    fn region(&self) -> &RegionName {
        &self.region
    }

    fn addresses(&self) -> &[SocketAddr] {
        &[]
    }

    fn delegation(&self) -> Vec<String> {
        Vec::new()
    }
}
