//! Routing: the order in which the regions of a service serve a client.
//!
//! A pure function of the state and the location of the client, so that all name servers of a cluster
//! give the same response, and `meridian route` explains exactly that response.
//!
//! ```text
//! client location ── closest_region ──> region of the client
//! order(state, service, client) ──> regions, each with its round trip and its availability
//! gateways(state, service, region) ──> agents and ports that clients connect to
//! redirect_target(state, service, region) ──> name and port to which disabled gateways redirect
//! ```

mod availability;
mod client;
mod forecast;
mod gateway;
mod great_circle;
mod redirect;
mod rendezvous;
mod round_trip;

use crate::name::RegionName;
use crate::routing_policy::{Preference, RoutingPolicy};
use crate::service::{Location, Service};
use crate::state::State;

pub use crate::round_trip::MeasuredRoundTrip;
pub use availability::{Availability, of as availability};
pub use client::{Client, client_network, closest_region, network_of};
pub use forecast::{Move, forecast};
pub use gateway::{Gateway, gateways};
pub use redirect::{RedirectTarget, redirect_target};
pub use round_trip::{RoundTrip, RoundTripSource, round_trip};

/// The regions of a service in the order in which they serve a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// All locations of the service, the best first. Those that cannot serve are last.
    pub candidates: Vec<Candidate>,
}

/// A region of a service, for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The region.
    pub region: RegionName,
    /// Round trip between the client's region and this one.
    pub round_trip: RoundTrip,
    /// Priority and weight.
    pub preference: Preference,
    /// Availability of its gateways for the client, with the reason if they do not serve.
    pub availability: Availability,
}

impl Order {
    /// Returns the regions that the client is sent to, the best first: those that serve. If none
    /// does, all whose gateway is enabled, as a last resort.
    pub fn routed(&self) -> impl Iterator<Item = &Candidate> {
        let last_resort = self.is_last_resort();
        self.candidates.iter().filter(move |candidate| {
            candidate.availability.serves()
                || (last_resort && candidate.availability != Availability::Disabled)
        })
    }

    /// Returns true if no region serves, and clients are sent to enabled ones nevertheless.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        let mut available = self.candidates.iter().map(|candidate| candidate.availability);
        !available.clone().any(Availability::serves)
            && available.any(|availability| availability != Availability::Disabled)
    }
}

/// Returns the order of a service's regions for a client.
///
/// Regions that serve come first, then enabled ones, then disabled ones. Among these, the policy of
/// the service decides, then the round trip, then the name.
#[must_use]
pub fn order(state: &State, service: &Service, client: &Client) -> Order {
    let mut ranked: Vec<_> = service
        .locations
        .iter()
        .map(|(region, location)| {
            let candidate = Candidate {
                region: region.clone(),
                round_trip: round_trip(state, &client.region, region),
                preference: location.preference,
                availability: availability::of(state, service, region, location),
            };
            (policy_rank(service, region, location, client), candidate)
        })
        .collect();
    ranked.sort_by(|(rank, one), (other_rank, other)| {
        let key = |rank, it: &Candidate| (it.availability.rank(), rank, it.round_trip.time);
        key(*rank, one).cmp(&key(*other_rank, other)).then_with(|| one.region.cmp(&other.region))
    });
    Order { candidates: ranked.into_iter().map(|(_, candidate)| candidate).collect() }
}

/// Returns the rank of a location by the policy of its service, the lowest first.
fn policy_rank(
    service: &Service,
    region: &RegionName,
    location: &Location,
    client: &Client,
) -> u128 {
    let Preference { priority, weight } = location.preference;
    match service.routing {
        RoutingPolicy::Nearest => 0,
        RoutingPolicy::Priority => priority.into(),
        RoutingPolicy::Weighted => rendezvous::rank(client.network, region, weight),
    }
}
