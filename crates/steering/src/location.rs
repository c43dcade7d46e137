//! Location of clients: configured networks first, then the location database, else the region of
//! the agent.
//!
//! The scope of a location is the prefix of the network or database node that decided, also if the
//! database has no coordinates for it. It is raised until the prefix contains no longer configured
//! network, for whose clients the location may be another one (RFC 7871, section 7.2.1).

pub(crate) mod database;
pub(crate) mod networks;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use meridian_domain::RegionName;
use meridian_ports::{Located, LocationSource, Read};

use crate::view::{Current, View};
use database::Database;

/// Locates clients by their address.
pub(crate) struct Locator {
    pub(crate) current: Arc<Current>,
    pub(crate) read: Arc<dyn Read>,
    pub(crate) own_region: RegionName,
    pub(crate) database: ArcSwapOption<Database>,
}

impl Locator {
    /// Returns the location of a client by the newest view of the state.
    pub(crate) fn locate(&self, address: IpAddr) -> Located {
        self.locate_in(&self.current.view(), address)
    }

    pub(crate) fn locate_in(&self, view: &View, address: IpAddr) -> Located {
        let address = address.to_canonical();
        let range = view.networks.find(address);
        if let Some((network, region)) = range.decided() {
            let scope = range.scope(network.prefix_length());
            return Located {
                region: region.clone(),
                source: LocationSource::Network(*network),
                scope,
            };
        }
        let database = self.database.load();
        let Some(found) = database.as_ref().map(|database| database.find(address)) else {
            return self.own_region(range.scope(0));
        };
        let scope = range.scope(found.prefix);
        let Some(record) = found.record else { return self.own_region(scope) };
        let region = view.closest(record).or_else(|| {
            let coordinates = database.as_ref()?.coordinates(address)?;
            Some(view.locate(&self.read.state(), record, coordinates))
        });
        match region {
            Some(region) => Located { region, source: LocationSource::Database, scope },
            None => self.own_region(scope),
        }
    }

    fn own_region(&self, scope: u8) -> Located {
        Located { region: self.own_region.clone(), source: LocationSource::OwnRegion, scope }
    }
}
