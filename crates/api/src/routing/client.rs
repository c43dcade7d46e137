//! Location of the client of a request.

use std::net::IpAddr;

use meridian_domain::routing::{Client, client_network, closest_region};
use meridian_domain::status::agent_of;
use meridian_domain::{RegionName, unknown};
use meridian_ports::{LocationSource, ReadError};
use meridian_proto::convert::{Checks, Violations, field};
use meridian_proto::v1;
use meridian_proto::v1::client_location::Location as Given;

use super::RoutingApi;
use crate::error::Error;

/// Maximum latitude and longitude in degrees.
const MAX_LATITUDE: i32 = 90;
const MAX_LONGITUDE: i32 = 180;

/// Valid location of a client.
pub(super) enum Location {
    /// The region of the contacted agent.
    Agent,
    /// This region.
    Region(RegionName),
    /// Latitude and longitude in degrees.
    Coordinates(f64, f64),
    /// An address.
    Address(IpAddr),
}

/// A client, and the source of its region.
pub(super) struct Located {
    pub(super) client: Client,
    pub(super) source: &'static str,
}

/// Validates the location of a client.
pub(super) fn checked(given: Option<&v1::ClientLocation>) -> Result<Location, Violations> {
    let mut checks = Checks::default();
    let location = match given.and_then(|given| given.location.as_ref()) {
        None => Some(Location::Agent),
        Some(Given::Region(region)) => {
            field::region(&mut checks, "client.region", region).map(Location::Region)
        }
        Some(Given::Coordinates(v1::Coordinates { latitude, longitude })) => {
            let path = "client.coordinates.latitude";
            let north = field::microdegrees(&mut checks, path, MAX_LATITUDE, *latitude);
            let path = "client.coordinates.longitude";
            let east = field::microdegrees(&mut checks, path, MAX_LONGITUDE, *longitude);
            north.zip(east).map(|_| Location::Coordinates(*latitude, *longitude))
        }
        Some(Given::Address(address)) => {
            let problem = |_| "must be an IPv4 or IPv6 address";
            let address = address.parse().map_err(problem);
            checks.take("client.address", address).map(Location::Address)
        }
    };
    checks.finish(location)
}

/// Returns the region closest to a client.
///
/// # Errors
/// If the region does not exist.
pub(super) fn locate(api: &RoutingApi, location: Location) -> Result<Located, Error> {
    // Not while the state is locked: the locator may lock it, too.
    if let Location::Address(address) = location {
        return Ok(by_address(address, api.name_server.locate(address)));
    }
    let state = api.ports.read.state();
    let (region, source) = match location {
        Location::Agent | Location::Address(_) => {
            let agent = agent_of(&state, api.ports.cluster.node()).ok_or(ReadError::Removed)?;
            (&agent.description.region, "AGENT")
        }
        Location::Region(region) => {
            let known = state.region(&region).map(|region| &region.name);
            let unknown = || Error::rejected(vec![unknown::region(&state, &region)]);
            (known.ok_or_else(unknown)?, "REGION")
        }
        Location::Coordinates(latitude, longitude) => {
            (&closest_region(&state, latitude, longitude).name, "COORDINATES")
        }
    };
    Ok(Located { client: Client { region: region.clone(), network: None }, source })
}

fn by_address(address: IpAddr, found: meridian_ports::Located) -> Located {
    let source = match found.source {
        LocationSource::Network(_) => "NETWORK",
        LocationSource::Database => "DATABASE",
        LocationSource::OwnRegion => "AGENT",
    };
    let network = Some(client_network(address));
    Located { client: Client { region: found.region, network }, source }
}
