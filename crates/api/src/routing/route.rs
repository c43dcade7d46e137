//! The order of the regions of a service.

use meridian_domain::routing::{Availability, Candidate, RoundTripSource, order};
use meridian_domain::{Service, State};
use meridian_proto::convert::time;
use meridian_proto::v1;

use super::client::Located;

/// Returns the order for a client, without the read point.
pub(super) fn response(
    state: &State,
    service: &Service,
    Located { client, source }: Located,
) -> v1::GetRouteResponse {
    let order = order(state, service, &client);
    let routed: Vec<_> = order.routed().map(|candidate| &candidate.region).collect();
    let row = |candidate: &Candidate| region(candidate, routed.contains(&&candidate.region));
    v1::GetRouteResponse {
        service: service.name.to_string(),
        routing: service.routing.to_string(),
        client_region: client.region.to_string(),
        client_region_source: source.to_owned(),
        client_network: client.network.map(|it| it.to_string()).unwrap_or_default(),
        regions: order.candidates.iter().map(row).collect(),
        last_resort: order.is_last_resort(),
        read_point: None,
    }
}

fn region(candidate: &Candidate, routed: bool) -> v1::RouteRegion {
    let (availability, ready_units, lost_since) = match candidate.availability {
        Availability::Serving { ready_units } => ("SERVING", ready_units, None),
        Availability::Lost { since } => ("LOST", 0, Some(time::timestamp(since))),
        Availability::NoReadyUnit => ("NO_READY_UNIT", 0, None),
        Availability::NoAgent => ("NO_AGENT", 0, None),
        Availability::Disabled => ("DISABLED", 0, None),
    };
    v1::RouteRegion {
        region: candidate.region.to_string(),
        round_trip: Some(time::duration(candidate.round_trip.time)),
        round_trip_source: source(candidate.round_trip.source).to_owned(),
        priority: candidate.preference.priority.into(),
        weight: candidate.preference.weight.into(),
        availability: availability.to_owned(),
        ready_units,
        lost_since,
        routed,
    }
}

fn source(source: RoundTripSource) -> &'static str {
    match source {
        RoundTripSource::SameRegion => "SAME_REGION",
        RoundTripSource::Measured => "MEASURED",
        RoundTripSource::Published => "PUBLISHED",
        RoundTripSource::Distance => "DISTANCE",
    }
}
