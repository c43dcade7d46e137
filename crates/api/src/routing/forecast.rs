//! Effect of losing regions.

use std::collections::BTreeSet;

use meridian_domain::routing::{self, Move};
use meridian_domain::status::{Observations, Role, agent_of};
use meridian_domain::{RegionName, Rejection, Service, State, Unit, reachability};
use meridian_proto::convert::{Checks, Violations, field, time};
use meridian_proto::v1;

use crate::error::Error;

/// Validates the regions of a request.
pub(super) fn regions(given: &[String]) -> Result<BTreeSet<RegionName>, Violations> {
    let mut checks = Checks::default();
    if given.is_empty() {
        checks.refuse("regions", "must have at least one region");
    }
    let regions = given.iter().enumerate();
    let regions =
        regions.map(|(at, text)| field::region(&mut checks, &format!("regions[{at}]"), text));
    let regions: Vec<_> = regions.collect();
    checks.finish(regions.into_iter().collect())
}

/// Returns the forecast, without the read point.
///
/// # Errors
/// If the service has no location in one of the regions.
pub(super) fn response(
    state: &State,
    observations: &Observations,
    service: &Service,
    lost: &BTreeSet<RegionName>,
) -> Result<v1::ForecastLossResponse, Error> {
    let absent = lost.iter().filter(|region| !service.locations.contains_key(*region));
    let absent = absent.map(|region| Rejection::RegionAbsent {
        service: service.name.clone(),
        region: region.clone(),
    });
    let absent: Vec<_> = absent.collect();
    if !absent.is_empty() {
        return Err(Error::rejected(absent));
    }
    let ready: Vec<_> =
        state.units_of_service(&service.name).filter(|it| serves(state, it)).collect();
    let remaining = ready.iter().filter(|unit| !lost.contains(&unit.id.region)).count();
    let load = |unit: &&Unit| {
        let load = observations.loads.get(&unit.incarnation)?;
        Some(u64::from(load.utilization_permille))
    };
    let (voters, remaining_voters) = voters(state, observations, lost);
    let moves = routing::forecast(state, service, lost);
    Ok(v1::ForecastLossResponse {
        read_point: None,
        service: service.name.to_string(),
        moves: moves.into_iter().map(moved).collect(),
        remaining_units: u32::try_from(remaining).unwrap_or(u32::MAX),
        load_permille: ready.iter().map(load).sum(),
        voters,
        remaining_voters,
    })
}

/// True if the unit serves clients now.
fn serves(state: &State, unit: &Unit) -> bool {
    let service = state.services.get(&unit.id.service);
    let location = service.and_then(|service| service.locations.get(&unit.id.region));
    let is_enabled = location.is_some_and(|location| location.gateway_enabled);
    is_enabled && unit.is_ready() && reachability::loss_of(state, unit).is_none()
}

/// Returns the number of voters, and of those in other regions.
fn voters(state: &State, observations: &Observations, lost: &BTreeSet<RegionName>) -> (u32, u32) {
    let voters = observations.members.values().filter(|member| member.role != Role::Learner);
    let remains =
        |node| agent_of(state, node).is_some_and(|agent| !lost.contains(&agent.description.region));
    let remain: Vec<bool> = voters.map(|member| remains(member.node)).collect();
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    (count(remain.len()), count(remain.iter().filter(|remains| **remains).count()))
}

fn moved(it: Move) -> v1::Move {
    v1::Move {
        from: it.from.to_string(),
        to: it.to.map(|to| to.to_string()).unwrap_or_default(),
        client_regions: it.client_regions.iter().map(ToString::to_string).collect(),
        min_added: it.added.map(|(min, _)| time::duration(min)),
        max_added: it.added.map(|(_, max)| time::duration(max)),
    }
}
