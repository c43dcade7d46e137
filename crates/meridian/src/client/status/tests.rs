//! Golden texts of `meridian status`.

use meridian_proto::v1;

use super::*;
use crate::cli::Format;

const ID: &str = "01932f5e-8b1a-4c3d-9e4f-0123456789ab";

fn agent(name: &str) -> v1::AgentStatus {
    v1::AgentStatus {
        name: format!("{name}-1"),
        region: name.to_owned(),
        revision: Some(42),
        state_hash: "ab".repeat(32),
        lag: Some(prost_types::Duration { seconds: 0, nanos: 30_000_000 }),
        reachable: true,
        ..Default::default()
    }
}

fn lost(name: &str) -> v1::AgentStatus {
    let duration = Some(prost_types::Duration { seconds: 12, nanos: 0 });
    v1::AgentStatus {
        revision: None,
        state_hash: String::new(),
        lag: None,
        reachable: false,
        silence: Some(v1::Silence { duration, at_least: false }),
        ..agent(name)
    }
}

fn response(agents: Vec<v1::AgentStatus>, warnings: Vec<v1::Warning>) -> v1::GetStatusResponse {
    v1::GetStatusResponse {
        cluster_id: ID.to_owned(),
        contacted: "eastus-1".to_owned(),
        leader: "westeurope-1".to_owned(),
        observer: Some(v1::Observer { agent: "westeurope-1".to_owned(), leader: true }),
        health: v1::Health::Healthy.into(),
        data_version: 1,
        epoch: 0,
        agents,
        warnings,
    }
}

fn printed(response: v1::GetStatusResponse, format: Format) -> String {
    text(Output::new(format), &StatusView::from(response))
}

#[test]
fn a_healthy_cluster_begins_with_its_health() {
    let response = response(vec![agent("westeurope"), agent("eastus")], vec![]);
    assert_eq!(
        printed(response, Format::Table),
        "\
healthy: 2 agents reachable

cluster    01932f5e-8b1a-4c3d-9e4f-0123456789ab
leader     westeurope-1
contacted  eastus-1

AGENT         REGION      STATUS     REVISION  LAG
westeurope-1  westeurope  reachable  42        30 ms
eastus-1      eastus      reachable  42        30 ms
"
    );
}

#[test]
fn a_degraded_cluster_begins_with_its_worst_warning_and_the_next_step() {
    let warning = |severity: v1::Severity, message: &str, next_step: &str| v1::Warning {
        reason: "AGENT_UNREACHABLE".to_owned(),
        severity: severity.into(),
        message: message.to_owned(),
        next_step: next_step.to_owned(),
        subject: "agents/eastus-1".to_owned(),
    };
    let mut response = response(
        vec![agent("westeurope"), lost("eastus")],
        vec![
            warning(
                v1::Severity::Degraded,
                "agent eastus-1 in eastus unreachable for 12 s",
                "start it",
            ),
            warning(v1::Severity::Notice, "2 voters", ""),
        ],
    );
    response.health = v1::Health::Degraded.into();
    assert_eq!(
        printed(response, Format::Table),
        "\
degraded: agent eastus-1 in eastus unreachable for 12 s
next: start it

cluster    01932f5e-8b1a-4c3d-9e4f-0123456789ab
leader     westeurope-1
contacted  eastus-1

AGENT         REGION      STATUS            REVISION  LAG
westeurope-1  westeurope  reachable         42        30 ms
eastus-1      eastus      unreachable 12 s  -         -

notice: 2 voters
"
    );
}

#[test]
fn the_contacted_agents_own_view_is_marked() {
    let mut response = response(vec![agent("eastus")], vec![]);
    response.leader.clear();
    response.observer = Some(v1::Observer { agent: "eastus-1".to_owned(), leader: false });
    let printed = printed(response, Format::Wide);
    assert!(printed.contains("leader     none\n"), "{printed}");
    assert!(printed.contains("observer   eastus-1, because no leader responds\n"), "{printed}");
    assert!(printed.contains(&"ab".repeat(32)), "{printed}");
}
