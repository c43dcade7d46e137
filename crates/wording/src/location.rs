//! Sentences about locations.

use meridian_domain::reachability::Evidence;
use meridian_domain::status::{Blocked, LocationCondition, LocationStatus};
use meridian_domain::{AgentName, RefusedConfiguration, RegionName, ServiceName, limits};

use super::for_duration;

/// Describes what keeps a location from converging; empty if nothing is known to.
#[must_use]
pub fn blocked(status: &LocationStatus) -> String {
    let each = status.blocked.iter().map(|blocked| match blocked {
        Blocked::ZoneWithoutAgent { zone } => format!("no agent in zone {zone} takes units"),
        Blocked::AgentUnreachable { agent, silence } => {
            format!("agent {agent} unreachable{}", for_duration(*silence))
        }
        Blocked::GatewaysLost { agent, evidence } => lost(agent, evidence),
        Blocked::AgentFull { agent } => {
            format!("agent {agent} has the maximum of {} units", limits::UNITS_PER_AGENT)
        }
        Blocked::UnitFailed { unit, agent, cause } => format!("{unit} on {agent}: {cause}"),
        Blocked::ConfigurationRefused { unit, agent, refusal } => {
            format!("{unit} on {agent}: {}", refused(refusal))
        }
    });
    each.collect::<Vec<_>>().join("; ")
}

fn lost(agent: &AgentName, evidence: &Evidence) -> String {
    let groups = evidence.unreachable_from.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (from, votes, all) = (groups.join(", "), groups.len(), evidence.groups);
    format!("clients cannot reach {agent}: unreachable from {from} ({votes} of {all})")
}

/// Describes a configuration that a unit does not accept.
#[must_use]
pub fn refused(refusal: &RefusedConfiguration) -> String {
    format!("refuses configuration {}: {}", refusal.configuration, refusal.cause)
}

/// Reason, message and next step of a location that is not as declared.
pub(super) fn warning(
    service: &ServiceName,
    region: &RegionName,
    units: u16,
    status: &LocationStatus,
) -> (&'static str, String, String) {
    let place = format!("{service} in {region}");
    let ready = format!("{} of {units} units ready", status.ready_units);
    let why = match blocked(status).as_str() {
        "" => String::new(),
        blocked => format!("; {blocked}"),
    };
    let (reason, message) = match status.condition {
        LocationCondition::NoAgent => ("NO_AGENT", format!("{place}: no agent takes its units")),
        LocationCondition::Offline { .. } => ("OFFLINE", format!("{place}: offline{why}")),
        LocationCondition::Unmanaged => {
            ("UNMANAGED", format!("{place}: serves clients, unmanaged{why}"))
        }
        LocationCondition::Degraded => {
            ("DEGRADED", format!("{place}: {ready}{}{why}", unknown(status)))
        }
        LocationCondition::AgentUnreachable => {
            ("AGENT_UNREACHABLE", format!("{place}: {ready}{}{why}", unknown(status)))
        }
        LocationCondition::UnitsMissing => ("UNITS_MISSING", format!("{place}: {ready}{why}")),
        LocationCondition::RollingOut => {
            let message = format!("{place}: units are being replaced or reconfigured{why}");
            ("ROLLING_OUT", message)
        }
        LocationCondition::DrainingClients => {
            ("DRAINING_CLIENTS", format!("{place}: disabled; its clients are moving"))
        }
        LocationCondition::Disabled => ("DISABLED", format!("{place}: gateway disabled")),
        LocationCondition::Ready => ("READY", format!("{place}: {ready}")),
    };
    (reason, message, next_step(service, region, status))
}

fn unknown(status: &LocationStatus) -> String {
    match status.unknown_units {
        0 => String::new(),
        unknown => format!(", {unknown} unknown"),
    }
}

fn next_step(service: &ServiceName, region: &RegionName, status: &LocationStatus) -> String {
    let units = format!("`meridian unit list --service {service}`");
    match status.condition {
        LocationCondition::NoAgent => {
            format!("join an agent in {region}, or add the units in another region")
        }
        LocationCondition::Offline { .. } => match unreachable_agent(status) {
            Some(agent) => format!("start the agent {agent} or fix its network"),
            None => format!(
                "fix the network between {region} and its clients, or wait: they return once it was \
                 reachable for 10 s, longer after each loss"
            ),
        },
        LocationCondition::Unmanaged
        | LocationCondition::AgentUnreachable
        | LocationCondition::Degraded => match unreachable_agent(status) {
            Some(agent) => format!("start the agent {agent} or fix its network"),
            None => format!("fix the cause, see {units}"),
        },
        LocationCondition::UnitsMissing if status.blocked.is_empty() => {
            format!("wait for its units to start, see {units}")
        }
        LocationCondition::RollingOut if status.blocked.is_empty() => {
            format!("see {units} for its progress")
        }
        LocationCondition::UnitsMissing | LocationCondition::RollingOut => {
            match status.blocked.iter().any(|blocked| matches!(blocked, Blocked::AgentFull { .. }))
            {
                true => format!("join another agent in {region}, or declare fewer units"),
                false => format!("fix the cause, see {units}"),
            }
        }
        LocationCondition::DrainingClients
        | LocationCondition::Disabled
        | LocationCondition::Ready => String::new(),
    }
}

fn unreachable_agent(status: &LocationStatus) -> Option<&AgentName> {
    status.blocked.iter().find_map(|blocked| match blocked {
        Blocked::AgentUnreachable { agent, silence: _ } => Some(agent),
        Blocked::ZoneWithoutAgent { .. }
        | Blocked::GatewaysLost { .. }
        | Blocked::AgentFull { .. }
        | Blocked::UnitFailed { .. }
        | Blocked::ConfigurationRefused { .. } => None,
    })
}

/// Returns the words for a condition.
#[must_use]
pub fn location_word(condition: LocationCondition) -> &'static str {
    match condition {
        LocationCondition::Ready => "ready",
        LocationCondition::UnitsMissing | LocationCondition::RollingOut => "converging",
        LocationCondition::NoAgent => "no agent",
        LocationCondition::Offline { .. } => "offline",
        LocationCondition::Unmanaged => "unmanaged",
        LocationCondition::Degraded => "degraded",
        LocationCondition::AgentUnreachable => "agent unreachable",
        LocationCondition::DrainingClients => "draining clients",
        LocationCondition::Disabled => "disabled",
    }
}
