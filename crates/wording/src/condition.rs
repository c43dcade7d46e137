//! Sentences about the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use meridian_domain::reachability::{Gateways, ProberGroup};
use meridian_domain::status::{
    ClusterStatus, Condition, DiskSpace, Health, SharedSetting, Silence,
};
use meridian_domain::{AgentName, RegionName, ServiceName, State};

use super::member::pending_wait;
use super::{Statement, Warning, count, for_duration, location, name_of};

/// Maximum number of locations listed; the others are counted.
const LOCATIONS_LISTED: usize = 20;

/// Describes the conditions of the cluster, worst first. Counts locations that are not as declared if
/// there are many.
#[must_use]
pub fn warnings(state: &State, status: &ClusterStatus) -> Vec<Warning> {
    let is_location = |condition: &&Condition| matches!(condition, Condition::Location { .. });
    let locations = status.conditions.iter().filter(is_location).count();
    let mut listed: usize = 0;
    let mut warnings = Vec::new();
    for condition in &status.conditions {
        listed += usize::from(is_location(&condition));
        if !is_location(&condition) || listed <= LOCATIONS_LISTED {
            let statement = statement(state, condition, status.health());
            warnings.push(Warning { severity: condition.severity(), statement });
        } else if listed == LOCATIONS_LISTED + 1 {
            warnings.push(more_locations(locations - LOCATIONS_LISTED, condition));
        }
    }
    warnings
}

/// Counts the locations that are not listed, the worst of which is `first`.
fn more_locations(more: usize, first: &Condition) -> Warning {
    let statement = Statement {
        reason: "MORE_LOCATIONS",
        subject: String::new(),
        message: format!("{} not converged", count(more, "more location")),
        next_step: "see `meridian region list --service NAME`".to_owned(),
    };
    Warning { severity: first.severity(), statement }
}

/// Next step for a disk that is nearly full.
const FREE_SPACE: &str = "free space on it; `meridian cluster trim-history`, `meridian service delete` \
                          and `meridian cluster remove` also work below the minimum";
/// Next step for two processes with one node id.
const STOP_COPY: &str =
    "stop the one that runs on a copy of the data directory, and empty that copy";

#[expect(clippy::too_many_lines, reason = "one arm for each condition, so that none is left out")]
fn statement(state: &State, condition: &Condition, health: Health) -> Statement {
    let (reason, subject, message, next_step) = match condition {
        Condition::NoQuorum { reachable, voters, needed } => (
            "NO_QUORUM",
            String::new(),
            format!("no quorum: {reachable} of {voters} voters reachable, {needed} needed"),
            "start the agents that are unreachable or fix their network".to_owned(),
        ),
        Condition::NoLeader => (
            "NO_LEADER",
            String::new(),
            "no leader: changes wait until one is elected".to_owned(),
            "wait for the election; it takes a few seconds".to_owned(),
        ),
        Condition::LocalView { age } => {
            ("LOCAL_VIEW", String::new(), local_view(*age), String::new())
        }
        Condition::PartlyUnreachable { agent, gateways, unreachable_from, groups } => (
            "PARTLY_UNREACHABLE",
            format!("agents/{agent}"),
            partly_unreachable(agent, gateways, unreachable_from, *groups),
            "fix the network between them: their clients may be sent to it".to_owned(),
        ),
        Condition::StatesDiffer { agents } => (
            "STATES_DIFFER",
            String::new(),
            format!("agents {} hold different states at the same position", names(agents)),
            "compare their disks and replace the one that is wrong".to_owned(),
        ),
        Condition::SettingDiffers { setting, values } => (
            "SETTINGS_DIFFER",
            String::new(),
            format!("{} differs between agents: {}", setting.key(), holders(values)),
            make_equal(*setting),
        ),
        Condition::AgentUnreachable { agent, region, silence, units } => (
            "AGENT_UNREACHABLE",
            format!("agents/{agent}"),
            unreachable(agent, region, *silence, *units),
            start_or_remove(agent, health),
        ),
        Condition::AgentDuplicated { agent } => (
            "AGENT_DUPLICATED",
            format!("agents/{agent}"),
            format!("two processes run as agent {agent}; the younger one is refused"),
            STOP_COPY.to_owned(),
        ),
        Condition::DiskLow { agent, region, disk, leads } => (
            "DISK_LOW",
            format!("agents/{agent}"),
            low_disk(agent, region, *disk, *leads),
            FREE_SPACE.to_owned(),
        ),
        Condition::LongRoundTrip { observer, agent, median, limit } => (
            "LONG_ROUND_TRIP",
            format!("agents/{agent}"),
            long_round_trip(&name_of(state, *observer), agent, *median, *limit),
            format!("set network to wan on all agents, or run `meridian agent drain {agent}`"),
        ),
        Condition::MemberPending(pending) => return pending_wait(state, pending),
        Condition::AgentNotResponding { agent, region } => (
            "AGENT_NOT_RESPONDING",
            format!("agents/{agent}"),
            format!("agent {agent} in {region} did not respond"),
            "retry in a few seconds; if it persists, start the agent or fix its network".to_owned(),
        ),
        Condition::Location { service, region, units, status } => {
            let (reason, message, next_step) = location::warning(service, region, *units, status);
            (reason, format!("services/{service}/regions/{region}"), message, next_step)
        }
        Condition::ServiceUnavailable { service, enabled } => (
            "SERVICE_UNAVAILABLE",
            format!("services/{service}"),
            no_region_serves(service, *enabled),
            format!("see `meridian region list --service {service}`"),
        ),
        Condition::FewVoters { voters } => (
            "FEW_VOTERS",
            String::new(),
            format!("{}: with fewer than 3, losing one stops all changes", count(*voters, "voter")),
            "join agents until there are 3 voters".to_owned(),
        ),
    };
    Statement { reason, subject, message, next_step }
}

fn local_view(age: Option<Duration>) -> String {
    let age = match age {
        Some(age) => format!("state {} s old", age.as_secs()),
        None => "state as it was at the start".to_owned(),
    };
    format!(
        "local view, {age}: the name server of this agent gives gateways last that it does not reach \
         itself"
    )
}

fn partly_unreachable(
    agent: &AgentName,
    gateways: &Gateways,
    unreachable_from: &BTreeSet<ProberGroup>,
    groups: usize,
) -> String {
    let of = match gateways {
        Gateways::All => String::new(),
        Gateways::Of(service) => format!("{service} on "),
    };
    let group = match unreachable_from.first() {
        Some(ProberGroup::Region(_)) | None => "region",
        Some(ProberGroup::Zone(_)) => "zone",
        Some(ProberGroup::Agent(_)) => "agent",
    };
    let from: Vec<_> = unreachable_from.iter().map(ToString::to_string).collect();
    let votes = format!("{} of {}", unreachable_from.len(), count(groups, group));
    format!("gateways of {of}agent {agent} unreachable from {}; {votes}", from.join(", "))
}

fn no_region_serves(service: &ServiceName, enabled: usize) -> String {
    match enabled {
        0 => format!("every region of {service} is disabled"),
        1 => format!("the only enabled region of {service} does not serve clients"),
        _ => format!("none of the {enabled} enabled regions of {service} serves clients"),
    }
}

fn unreachable(agent: &AgentName, region: &RegionName, silence: Silence, units: usize) -> String {
    let effect = match units {
        0 => "it has no units".to_owned(),
        units => format!("the state of its {} is unknown", count(units, "unit")),
    };
    format!("agent {agent} in {region} unreachable{}; {effect}", for_duration(silence))
}

fn long_round_trip(from: &str, to: &AgentName, median: Duration, limit: Duration) -> String {
    let (median, limit) = (median.as_millis(), limit.as_millis());
    format!(
        "median round trip from {from} to {to} is {median} ms, above the {limit} ms of the network \
         profile: elections may not end"
    )
}

/// Returns the next step for an unreachable agent, which cannot be removed while changes are refused.
fn start_or_remove(agent: &AgentName, health: Health) -> String {
    match health {
        Health::ChangesRefused => "start it or fix its network".to_owned(),
        Health::Healthy | Health::Degraded | Health::ServiceUnavailable => format!(
            "start it or fix its network; if it is lost, remove it with `meridian cluster remove \
             {agent}`"
        ),
    }
}

fn low_disk(agent: &AgentName, region: &RegionName, disk: DiskSpace, leads: bool) -> String {
    let effect = match (disk.is_below_minimum(), leads) {
        (true, true) => "; it leads, so changes are refused",
        (true, false) => "; it accepts no changes as leader",
        (false, _) => "",
    };
    let [free, minimum] = [disk.free, disk.minimum].map(|bytes| bytes >> 20);
    format!(
        "the disk of agent {agent} in {region} has {free} MiB free, minimum {minimum} MiB{effect}"
    )
}

fn make_equal(setting: SharedSetting) -> String {
    let key = setting.key();
    match setting {
        SharedSetting::LocationDatabase => format!(
            "use the same file on all agents: each reads a replaced one within a minute, and another \
             value of {key} when it restarts"
        ),
        SharedSetting::Network
        | SharedSetting::SnapshotAfterEntries
        | SharedSetting::KeepEntries => {
            format!("set {key} to the same value on all agents and restart them")
        }
    }
}

/// Returns each value with the agents that have it.
fn holders(values: &BTreeMap<String, Vec<AgentName>>) -> String {
    let holders = values.iter().map(|(value, agents)| format!("{value} on {}", names(agents)));
    holders.collect::<Vec<_>>().join("; ")
}

fn names(agents: &[AgentName]) -> String {
    agents.iter().map(AgentName::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use meridian_domain::status::{LocationCondition, LocationStatus, Severity};
    use meridian_domain::{Revision, ServiceName};

    use super::*;

    fn location(number: usize, condition: LocationCondition) -> Condition {
        Condition::Location {
            service: ServiceName::new(format!("s{number}")).expect("is a name"),
            region: RegionName::new("eastus").expect("is a name"),
            units: 1,
            status: LocationStatus {
                condition,
                ready_units: 0,
                unknown_units: 0,
                configuration: Some(Revision(1)),
                converged: false,
                blocked: Vec::new(),
                gateway: None,
            },
        }
    }

    #[test]
    fn locations_that_are_not_listed_are_counted_with_their_severity() {
        for (condition, severity) in [
            (LocationCondition::RollingOut, Severity::Notice),
            (LocationCondition::UnitsMissing, Severity::Degraded),
        ] {
            let locations = (0..LOCATIONS_LISTED + 5).map(|number| location(number, condition));
            let conditions = locations.chain([Condition::FewVoters { voters: 1 }]).collect();
            let warnings = warnings(&State::default(), &ClusterStatus { conditions });
            let [.., more, last] = warnings.as_slice() else { panic!("{warnings:?}") };
            assert_eq!(more.statement.message, "5 more locations not converged");
            assert_eq!((more.severity, last.severity), (severity, Severity::Notice));
        }
    }
}
