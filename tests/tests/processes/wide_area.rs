//! Agents on different continents: a round trip of 300 ms, with jitter and loss.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use meridian_testkit::process::network::{Namespaces, Network as _, Rule};
use meridian_testkit::process::{Agent, Sandbox, get, port};
use meridian_testkit::wait::until_ok;
use tokio::time::sleep;

use crate::support::{REGIONS, execute, leader, same_state};

/// One direction: 150 ms with a jitter of 25 ms each way, and 1 % loss.
const LINK: Rule = Rule {
    delay: Duration::from_millis(125),
    jitter: Duration::from_millis(50),
    loss: 0.01,
    ..Rule::NONE
};
/// Time in which no leader may be elected, in seconds; this variable overrides it.
const QUIET: (&str, u64) = ("MERIDIAN_WIDE_AREA_SECONDS", 30);
/// Maximum times from a killed leader to the next accepted change, over short and over long links.
/// Over long ones, three round trips elect the leader and two are those of the change.
const FAILOVER: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(5));

/// Three agents with the profile `wan` in network namespaces. Dropped in this order.
struct WideArea {
    agents: Vec<Agent>,
    _sandbox: Sandbox,
    network: Namespaces,
}

impl WideArea {
    /// Returns `None` without root, which the namespaces need.
    async fn start() -> Option<Self> {
        let sandbox = Sandbox::new().await.expect("a sandbox");
        let network = match Namespaces::create(3, 1) {
            Ok(network) => network,
            Err(error) => {
                eprintln!("skipped: {error:#}");
                return None;
            }
        };
        let agents = REGIONS.iter().zip(1..).map(|(name, n)| network.agent(&sandbox, n, name));
        let agents: Vec<_> = agents.collect();
        let peers: Vec<_> = agents.iter().map(|it| format!("\"{}\"", it.peer_endpoint())).collect();
        for (index, agent) in agents.iter().enumerate() {
            let settings = format!(
                "network = \"wan\"\nbootstrap_peers = [{}]\nbootstrap = {}\ninsecure = true",
                peers.join(", "),
                index == 0
            );
            agent.configure(REGIONS[index], &settings).expect("the configuration is written");
            agent.start().expect("the agent starts");
        }
        Some(Self { agents, _sandbox: sandbox, network })
    }

    fn stretch(&self, link: Rule) {
        for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)] {
            self.network.set(from, to, link).expect("the agents exist");
        }
    }

    /// Kills the leader, returns the time to the next accepted change, and restarts it.
    async fn failover(&self) -> Duration {
        let first = leader(&self.agents[0]).await;
        let (killed, survivors): (Vec<_>, Vec<_>) =
            self.agents.iter().partition(|agent| agent.name == first);
        let started = Instant::now();
        killed[0].kill().expect("the leader is killed");
        execute(survivors[0], &scale(3)).await;
        let elapsed = started.elapsed();
        killed[0].start().expect("the agent starts");
        same_state_soon(&self.agents).await;
        elapsed
    }
}

fn scale(units: usize) -> String {
    let region = REGIONS[0];
    format!("region scale {region} --service contoso --units {units} --timeout 20s")
}

async fn same_state_soon(agents: &[Agent]) {
    until_ok("the agents to agree", async || same_state(&agents[0], agents).await).await;
}

/// Returns the Raft term of an agent.
async fn term(agent: &Agent) -> anyhow::Result<u64> {
    let metrics = get((agent.address(), port::HTTP).into(), "/metrics").await?.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("meridian_raft_term "));
    Ok(line.context("no term")?.parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_300_ms_cause_no_election_and_a_failover_takes_less_than_three_seconds() {
    let Some(wide_area) = WideArea::start().await else { return };
    let agents = &wide_area.agents;
    until_ok("the cluster to bootstrap", async || {
        agents[0]
            .run(&["service", "create", "contoso", "--primary", REGIONS[0], "--tier", "premium"])
            .await?
            .success()
    })
    .await;
    wide_area.stretch(LINK);
    // A link that suddenly is longer may cost the leader; from here on, it stays as it is.
    for (agent, units) in agents.iter().zip(1..) {
        execute(agent, &scale(units)).await;
    }
    let before = term(&agents[0]).await.expect("the agent responds");

    let seconds = std::env::var(QUIET.0).map_or(QUIET.1, |text| text.parse().expect("seconds"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut scaled = 0;
    while Instant::now() < end {
        scaled += 1;
        let units = 1 + scaled % 2;
        execute(&agents[scaled % 3], &scale(units)).await;
        for agent in agents {
            assert_eq!(term(agent).await.expect("the agent responds"), before, "an election");
        }
        sleep(Duration::from_secs(1)).await;
    }

    wide_area.network.heal();
    let near = wide_area.failover().await;
    // Without loss: a lost packet costs a second, which is not the election's.
    wide_area.stretch(Rule { loss: 0.0, ..LINK });
    let far = wide_area.failover().await;
    println!("{scaled} changes in term {before}; failover {near:?}, over long links {far:?}");
    assert!(near < FAILOVER.0 && far < FAILOVER.1, "{near:?} {far:?}");
}
