//! Conversion of the reports of probers, and of the votes, to and from messages.

use std::collections::{BTreeMap, BTreeSet};

use meridian_domain::reachability::votes::{Observations, Observed, Reach, VoteCount};
use meridian_domain::reachability::{Gateways, ProberGroup};
use meridian_domain::{AgentName, Generation, NodeId, RegionName, ServiceName, Zone, limits};
use meridian_ports::ProbeReport;
use meridian_proto::v1 as proto;
use meridian_proto::v1::voting_group::Group as WireGroup;
use tonic::Status;

/// Returns the request with a report of `node`.
pub(crate) fn report_request(node: NodeId, report: ProbeReport) -> proto::ReportProbesRequest {
    let agents = report.observations.into_iter().map(|(agent, observed)| proto::ProbedAgent {
        agent: agent.to_string(),
        generation: observed.generation.0,
        gateways: observed.gateways.iter().map(|(it, reach)| probed(it, *reach)).collect(),
    });
    proto::ReportProbesRequest { node: node.0, number: report.number, agents: agents.collect() }
}

/// Returns the report in a request, and its sender.
///
/// # Errors
/// If a name is invalid, or the report is too large.
pub(super) fn parse_report(
    request: proto::ReportProbesRequest,
) -> Result<(NodeId, ProbeReport), Status> {
    let rows: usize = request.agents.iter().map(|agent| agent.gateways.len()).sum();
    if rows.max(request.agents.len()) > limits::PROBE_REPORT_ROWS {
        return Err(Status::invalid_argument(format!("too many gateways: {rows}")));
    }
    let invalid = || Status::invalid_argument("a name in the report is invalid");
    let mut observations = Observations::new();
    for agent in request.agents {
        let name = AgentName::new(agent.agent).map_err(|_| invalid())?;
        let mut gateways = BTreeMap::new();
        for row in agent.gateways {
            let reach = if row.reached { Reach::Reached } else { Reach::Unreachable };
            gateways.insert(parse_gateways(row.service).ok_or_else(invalid)?, reach);
        }
        let generation = Generation(agent.generation);
        observations.insert(name, Observed { generation, gateways });
    }
    Ok((NodeId(request.node), ProbeReport { number: request.number, observations }))
}

/// Returns the response to a report: `None` if this node does not lead.
pub(super) fn report_response(silent: Option<BTreeSet<NodeId>>) -> proto::ReportProbesResponse {
    let leads = silent.is_some();
    let silent = silent.into_iter().flatten().map(|node| node.0);
    proto::ReportProbesResponse { leads, silent: silent.collect() }
}

/// Returns the silent members in a response; `None` if the sender does not lead.
pub(crate) fn parse_report_response(
    response: proto::ReportProbesResponse,
) -> Option<BTreeSet<NodeId>> {
    let silent = || response.silent.into_iter().map(NodeId).collect();
    response.leads.then(silent)
}

/// Returns the response with the votes of a leader, or of a node that does not lead.
pub(super) fn votes_response(votes: Option<Vec<VoteCount>>) -> proto::CountVotesResponse {
    let leads = votes.is_some();
    let votes = votes.into_iter().flatten().map(|count| proto::GatewayVotes {
        agent: count.agent.to_string(),
        generation: count.generation.0,
        service: service(&count.gateways),
        unreachable_from: count.unreachable_from.into_iter().map(group).collect(),
        reached_from: count.reached_from.into_iter().map(group).collect(),
        groups: u32::try_from(count.groups).unwrap_or(u32::MAX),
    });
    proto::CountVotesResponse { leads, votes: votes.collect() }
}

/// Returns the votes in a response; `None` if the sender does not lead.
pub(crate) fn parse_votes_response(response: proto::CountVotesResponse) -> Option<Vec<VoteCount>> {
    // Skips what this version does not know.
    let votes = || response.votes.into_iter().filter_map(parse_votes).collect();
    response.leads.then(votes)
}

fn parse_votes(votes: proto::GatewayVotes) -> Option<VoteCount> {
    let groups = |wire: Vec<proto::VotingGroup>| wire.into_iter().filter_map(parse_group).collect();
    Some(VoteCount {
        agent: AgentName::new(votes.agent).ok()?,
        generation: Generation(votes.generation),
        gateways: parse_gateways(votes.service)?,
        unreachable_from: groups(votes.unreachable_from),
        reached_from: groups(votes.reached_from),
        groups: usize::try_from(votes.groups).ok()?,
    })
}

fn probed(gateways: &Gateways, reach: Reach) -> proto::ProbedGateways {
    proto::ProbedGateways { service: service(gateways), reached: reach == Reach::Reached }
}

fn service(gateways: &Gateways) -> String {
    match gateways {
        Gateways::All => String::new(),
        Gateways::Of(service) => service.to_string(),
    }
}

fn parse_gateways(service: String) -> Option<Gateways> {
    if service.is_empty() {
        return Some(Gateways::All);
    }
    ServiceName::new(service).ok().map(Gateways::Of)
}

fn group(group: ProberGroup) -> proto::VotingGroup {
    let group = match group {
        ProberGroup::Region(region) => WireGroup::Region(region.to_string()),
        ProberGroup::Zone(zone) => WireGroup::Zone(zone.map_or(0, |zone| u8::from(zone).into())),
        ProberGroup::Agent(agent) => WireGroup::Agent(agent.to_string()),
    };
    proto::VotingGroup { group: Some(group) }
}

fn parse_group(wire: proto::VotingGroup) -> Option<ProberGroup> {
    Some(match wire.group? {
        WireGroup::Region(region) => ProberGroup::Region(RegionName::new(region).ok()?),
        WireGroup::Zone(0) => ProberGroup::Zone(None),
        WireGroup::Zone(zone) => {
            ProberGroup::Zone(Some(Zone::try_from(u8::try_from(zone).ok()?).ok()?))
        }
        WireGroup::Agent(agent) => ProberGroup::Agent(AgentName::new(agent).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> AgentName {
        AgentName::new(name).expect("is a name")
    }

    fn contoso() -> Gateways {
        Gateways::Of(ServiceName::new("contoso").expect("is a name"))
    }

    #[test]
    fn a_report_is_the_same_after_conversion_in_both_directions() {
        let gateways =
            BTreeMap::from([(Gateways::All, Reach::Unreachable), (contoso(), Reach::Reached)]);
        let observed = Observed { generation: Generation(3), gateways };
        let observations = Observations::from([(agent("we-1"), observed)]);
        let report = ProbeReport { number: 7, observations };
        let parsed = parse_report(report_request(NodeId(u64::MAX), report.clone()));
        let (node, parsed) = parsed.expect("is valid");
        assert_eq!((node, parsed), (NodeId(u64::MAX), report));
        for silent in [None, Some(BTreeSet::new()), Some(BTreeSet::from([NodeId(1)]))] {
            assert_eq!(parse_report_response(report_response(silent.clone())), silent);
        }
    }

    #[test]
    fn a_report_of_too_many_gateways_or_with_an_invalid_name_is_refused() {
        let row = |agent: String| proto::ProbedAgent { agent, generation: 1, gateways: vec![] };
        let request = |agents| proto::ReportProbesRequest { node: 1, number: 1, agents };
        let most = (0..limits::PROBE_REPORT_ROWS).map(|number| row(format!("a-{number}")));
        let mut agents: Vec<_> = most.collect();
        assert!(parse_report(request(agents.clone())).is_ok());
        agents.push(row("one-more".to_owned()));
        assert!(parse_report(request(agents)).is_err());
        assert!(parse_report(request(vec![row("../x".to_owned())])).is_err());
    }

    #[test]
    fn votes_are_the_same_after_conversion_in_both_directions() {
        let region = RegionName::new("eastus").expect("is a name");
        let zone = Zone::try_from(3).expect("is a zone");
        let groups = [
            ProberGroup::Region(region),
            ProberGroup::Zone(Some(zone)),
            ProberGroup::Zone(None),
            ProberGroup::Agent(agent("eu-1")),
        ];
        let count = |gateways| VoteCount {
            agent: agent("we-1"),
            generation: Generation(3),
            gateways,
            unreachable_from: groups.iter().cloned().collect(),
            reached_from: groups.iter().take(1).cloned().collect(),
            groups: 4,
        };
        for votes in [None, Some(vec![]), Some(vec![count(Gateways::All), count(contoso())])] {
            assert_eq!(parse_votes_response(votes_response(votes.clone())), votes);
        }
    }
}
