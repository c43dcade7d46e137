//! Votes on gateways, as the probers of three regions report them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use meridian_domain::reachability::votes::{Observations, Observed, Reach, VoteCount};
use meridian_domain::reachability::{Gateways, Loss};
use meridian_domain::report::{Report, ReportedUnit, UnitStatus};
use meridian_domain::{AgentName, Command, Generation, Incarnation, Revision, Sequence, Unit};
use meridian_ports::{Ports, ProbeReport, Proposal, Requester};
use meridian_testkit::cluster::{Cluster, Options};
use meridian_testkit::wait::until;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{accepted, contoso, region};

/// Window of the profile that the nodes have.
const WINDOW: Duration = Duration::from_secs(2);
/// Interval between the reports of a prober.
const INTERVAL: Duration = Duration::from_millis(250);

/// A prober, without probes. Aborted when dropped.
struct Prober(JoinHandle<()>);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reports the same about all gateways of an agent until the prober is dropped.
fn report(ports: &Ports, agent: &AgentName, reach: Reach) -> Prober {
    let (reachability, agent) = (ports.reachability.clone(), agent.clone());
    Prober(tokio::spawn(async move {
        for number in 1.. {
            let gateways = BTreeMap::from([(Gateways::All, reach)]);
            let observed = Observed { generation: Generation(0), gateways };
            let observations = Observations::from([(agent.clone(), observed)]);
            let deadline = tokio::time::Instant::now() + INTERVAL * 4;
            // A leader is being elected, for example.
            let _ = reachability.report(ProbeReport { number, observations }, deadline).await;
            sleep(INTERVAL).await;
        }
    }))
}

fn is_lost(ports: &Ports, agent: &AgentName) -> bool {
    let state = ports.read.state();
    state.losses.get(agent).is_some_and(|losses| losses.values().any(Loss::is_current))
}

async fn until_lost(ports: &Ports, agent: &AgentName) {
    until("the gateways to be lost", async || is_lost(ports, agent).then_some(())).await;
}

async fn votes(ports: &Ports) -> Option<Vec<VoteCount>> {
    let deadline = tokio::time::Instant::now() + WINDOW;
    ports.reachability.votes(deadline).await.ok()
}

/// Bootstraps three nodes, and a service with a ready unit on the first one: without it, there is
/// nothing to lose.
async fn bootstrap() -> Cluster {
    let cluster = contoso(Options::default()).await;
    let first = &cluster.nodes[0];
    let ready = |unit: &Unit| ReportedUnit {
        unit: unit.id.clone(),
        incarnation: unit.incarnation,
        status: UnitStatus::Ready { pid: None, configuration: Revision(1), refused: None },
        replace: false,
    };
    let (units, observed) = {
        let state = first.ports().read.state();
        (state.units_on(first.name()).map(ready).collect(), state.header.revision)
    };
    let report = Report {
        units,
        agent: first.name().clone(),
        generation: Generation(0),
        sequence: Sequence(1),
        after: Incarnation(0),
        observed,
    };
    let proposal = Proposal {
        command: Command::Report(report),
        requester: Requester::Agent,
        deadline: tokio::time::Instant::now() + WINDOW * 5,
    };
    let receipt = first.ports().propose.propose(proposal).await.expect("it is decided");
    assert!(accepted(&receipt), "{receipt:?}");
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_loses_gateways_after_a_window_and_finds_them_after_a_stable_one() {
    let cluster = bootstrap().await;
    let [probed, second, third] = [0, 1, 2].map(|index| &cluster.nodes[index]);
    let started = Instant::now();
    let probers = [second, third].map(|it| report(it.ports(), probed.name(), Reach::Unreachable));
    until_lost(second.ports(), probed.name()).await;
    assert!(started.elapsed() >= WINDOW, "{:?}", started.elapsed());
    let revision = cluster.converged().await;
    drop(probers);

    let started = Instant::now();
    let probers = [second, third].map(|it| report(it.ports(), probed.name(), Reach::Reached));
    until("the gateways to be found", async || {
        (!is_lost(second.ports(), probed.name())).then_some(())
    })
    .await;
    assert!(started.elapsed() >= Duration::from_secs(10), "{:?}", started.elapsed());
    drop(probers);
    assert_eq!(cluster.converged().await.0, revision.0 + 1, "one event each");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_votes_of_a_minority_are_shown_on_every_agent_and_lose_nothing() {
    let cluster = bootstrap().await;
    let [probed, second, third] = [0, 1, 2].map(|index| &cluster.nodes[index]);
    let _failing = report(second.ports(), probed.name(), Reach::Unreachable);
    let _reaching = report(third.ports(), probed.name(), Reach::Reached);
    for node in [probed, second, third] {
        let counted = until("the vote to be counted", async || {
            let votes = votes(node.ports()).await?.into_iter();
            votes.into_iter().find(|count| !count.unreachable_from.is_empty())
        })
        .await;
        let from: Vec<_> = counted.unreachable_from.iter().map(ToString::to_string).collect();
        assert_eq!((from, counted.groups), (vec![region("eastus").to_string()], 2));
        assert!(!counted.is_loss() && counted.agent == *probed.name());
    }
    assert!(!is_lost(second.ports(), probed.name()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_leader_starts_the_window_over() {
    let cluster = bootstrap().await;
    cluster.voters(3).await;
    let [probed, second, third] = [0, 1, 2].map(|index| &cluster.nodes[index]);
    let _failing = report(second.ports(), probed.name(), Reach::Unreachable);
    until("the first reports to be counted", async || {
        let votes = votes(second.ports()).await?;
        (!votes.is_empty()).then_some(())
    })
    .await;
    // The first prober has voted throughout a window. A second vote completes the majority only
    // once it has lasted as long under the leader that counts it.
    let _also_failing = report(third.ports(), probed.name(), Reach::Unreachable);
    let leader = cluster.leader().await;
    let to = if leader == 1 { third } else { second }.ports().cluster.node();
    let started = Instant::now();
    let deadline = tokio::time::Instant::now() + WINDOW * 5;
    let moved = cluster.nodes[leader].ports().cluster.transfer_leader(Some(to), deadline).await;
    assert_eq!(moved, Ok(to));
    until_lost(second.ports(), probed.name()).await;
    assert!(started.elapsed() >= WINDOW, "{:?}", started.elapsed());
}
