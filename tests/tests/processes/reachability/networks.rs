//! Networks between the regions that are cut, slow and lossy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use meridian_testkit::process::network::{Namespaces, Network as _, Rule};
use meridian_testkit::process::{Agent, Sandbox};
use meridian_testkit::wait::until_ok;

use super::{found, losses, lost, probes, wait_for, wait_for_probes};
use crate::support::{
    GATEWAY, STATUS, execute, execute_soon, leader, log_of, same_log, start_cluster,
};

/// Duration of the tests on lossy and slow networks, in seconds; this variable overrides it.
const LOSSY: (&str, u64) = ("MERIDIAN_LOSSY_SECONDS", 30);

/// Agents in network namespaces, with a unit of a service in each region. Dropped in this order.
struct Apart {
    agents: Vec<Agent>,
    _sandbox: Sandbox,
    network: Namespaces,
}

const THREE: [&str; 3] = ["westeurope", "eastus", "southeastasia"];

impl Apart {
    /// Starts an agent in each of the regions, which may repeat. Returns `None` without root, which
    /// the namespaces need. The first agent leads.
    async fn start(profile: &str, regions: &[&str]) -> Option<Self> {
        let sandbox = Sandbox::new().await.expect("a sandbox");
        let count = u8::try_from(regions.len()).expect("there are few agents");
        let network = match Namespaces::create(count, 1) {
            Ok(network) => network,
            Err(error) => {
                eprintln!("skipped: {error:#}");
                return None;
            }
        };
        let agent = |number| network.agent(&sandbox, number, &format!("agent-{number}"));
        let agents: Vec<_> = (1..=count).map(agent).collect();
        start_cluster(&agents, regions, |_| format!("network = \"{profile}\""));
        let first = &agents[0];
        execute_soon(first, "service create contoso --primary westeurope --tier premium").await;
        // Enough for a unit on each agent.
        let units = |region| regions.iter().filter(|it| *it == region).count();
        let edits: BTreeSet<_> = regions.iter().map(|it| format!("{it}={}", units(it))).collect();
        let edits: Vec<_> = edits.into_iter().collect();
        execute(first, &format!("region set {}", edits.join(" "))).await;
        for agent in &agents {
            until_ok("the unit to serve", async || agent.gateway(GATEWAY, STATUS).await).await;
        }
        until_ok("the first agent to lead", async || {
            first.json(&["cluster", "transfer-leader", &first.name]).await?;
            ensure!(leader(first).await == first.name);
            Ok(())
        })
        .await;
        for agent in &agents {
            wait_for_probes(&[agent], &["reached"]).await;
        }
        Some(Self { agents, _sandbox: sandbox, network })
    }

    /// Sets the rule for the traffic in both directions.
    fn set(&self, pairs: &[(u8, u8)], rule: Rule) {
        for (one, other) in pairs {
            self.set_one_way(*one, *other, rule);
            self.set_one_way(*other, *one, rule);
        }
    }

    fn set_one_way(&self, from: u8, to: u8, rule: Rule) {
        self.network.set(from, to, rule).expect("the agents exist");
    }

    /// Waits until the first agent has recorded that these agents are lost, in any order, and that
    /// they are found again once the network heals.
    async fn lose_and_find(&self, cut_off: &[&Agent]) {
        let contacted = &self.agents[0];
        let recorded = async |expected: Vec<(String, String)>| {
            until_ok("the reachability to be recorded", async || {
                let mut recorded = losses(&log_of(contacted).await?);
                recorded.sort();
                ensure!(recorded == expected, "{recorded:?}");
                Ok(())
            })
            .await;
        };
        recorded(cut_off.iter().map(|it| lost(it)).collect()).await;
        self.network.heal();
        let found = cut_off.iter().map(|it| found(it));
        let both: Vec<_> = found.chain(cut_off.iter().map(|it| lost(it))).collect();
        recorded(both.clone()).await;
        for agent in &self.agents {
            wait_for_probes(&[agent], &["reached"]).await;
        }
        let mut at_last = losses(&same_log(&self.agents).await);
        at_last.sort();
        assert_eq!(at_last, both, "nothing flaps");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_isolated_agent_loses_nobody_and_is_found_once_when_the_network_heals() {
    let Some(apart) = Apart::start("lan", &THREE).await else { return };
    let [first, second, isolated] = [0, 1, 2].map(|index| &apart.agents[index]);
    apart.set(&[(1, 3), (2, 3)], Rule::CUT);
    wait_for(first, &[lost(isolated)]).await;
    wait_for_probes(&[isolated], &["timed_out", "failed"]).await;
    let log = log_of(isolated).await.expect("the agent responds");
    assert_eq!(losses(&log), [], "it has no quorum");

    apart.network.heal();
    wait_for(first, &[lost(isolated), found(isolated)]).await;
    wait_for_probes(&[first, second, isolated], &["reached"]).await;
    let log = same_log(&apart.agents).await;
    assert_eq!(losses(&log), [lost(isolated), found(isolated)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_only_a_minority_fails_to_reach_are_not_lost() {
    let Some(apart) = Apart::start("lan", &THREE).await else { return };
    let [first, second, third] = [0, 1, 2].map(|index| &apart.agents[index]);
    apart.set(&[(2, 3)], Rule::CUT);
    wait_for_probes(&[second, third], &["timed_out", "failed"]).await;
    wait_for_probes(&[first], &["reached"]).await;
    assert_eq!(losses(&log_of(first).await.expect("the agent responds")), []);
    apart.network.heal();
    wait_for_probes(&[second, third], &["reached"]).await;
    assert_eq!(losses(&same_log(&apart.agents).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_five_regions_that_are_cut_off_together_are_lost_and_found_once() {
    let regions = ["westeurope", "eastus", "southeastasia", "japaneast", "brazilsouth"];
    let Some(apart) = Apart::start("lan", &regions).await else { return };
    let between = [(1, 4), (2, 4), (3, 4), (1, 5), (2, 5), (3, 5)];
    apart.set(&between, Rule::CUT);
    apart.lose_and_find(&[&apart.agents[3], &apart.agents[4]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_of_two_agents_whose_uplink_is_cut_is_lost_with_both() {
    let regions = ["westeurope", "westeurope", "southeastasia", "eastus", "eastus"];
    let Some(apart) = Apart::start("lan", &regions).await else { return };
    apart.set(&[(1, 4), (2, 4), (3, 4), (1, 5), (2, 5), (3, 5)], Rule::CUT);
    apart.lose_and_find(&[&apart.agents[3], &apart.agents[4]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_packets_leave_no_more_is_lost() {
    let Some(apart) = Apart::start("lan", &THREE).await else { return };
    apart.set_one_way(3, 1, Rule::CUT);
    apart.set_one_way(3, 2, Rule::CUT);
    apart.lose_and_find(&[&apart.agents[2]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_loss_of_30_percent_between_near_regions_loses_no_gateways() {
    survive("lan", Rule { loss: 0.3, ..Rule::NONE }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_loss_of_30_percent_between_continents_loses_no_gateways() {
    survive("wan", Rule { loss: 0.3, ..Rule::NONE }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_trip_of_150_ms_with_jitter_loses_no_gateways() {
    let (delay, jitter) = (Duration::from_millis(60), Duration::from_millis(30));
    survive("wan", Rule { delay, jitter, ..Rule::NONE }).await;
}

/// Applies the rule to all traffic between agents, which must lose no gateways.
async fn survive(profile: &str, rule: Rule) {
    let Some(apart) = Apart::start(profile, &THREE).await else { return };
    apart.set(&[(1, 2), (1, 3), (2, 3)], rule);
    let seconds = std::env::var(LOSSY.0).map_or(LOSSY.1, |text| text.parse().expect("seconds"));
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let counters = apart.network.counters();
    assert!(counters.lost.max(counters.delayed) > seconds, "packets are lost or delayed");
    apart.network.heal();
    let log = same_log(&apart.agents).await;
    assert_eq!(losses(&log), []);
    for agent in &apart.agents {
        let count = async |result| probes(agent, &[result]).await.expect("the agent responds");
        let (reached, failed) = (count("reached").await, count("timed_out").await);
        let votes = agent.log().matches("gateways unreachable from this agent").count();
        println!(
            "{profile}, {}: of {} probes, {failed} failed; {votes} votes",
            agent.name,
            reached + failed
        );
    }
}
