//! Every agent dies at once, as in a power cut that spares the units.

use anyhow::ensure;
use meridian_testkit::process::Sandbox;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, done, log_of, same_log, same_state, settled};

#[tokio::test(flavor = "multi_thread")]
async fn all_agents_killed_at_once_come_back_with_the_same_events_state_and_units() {
    let three = Three::start().await;
    let asked = &three.agents[0];
    done(asked, "region set westeurope=2 eastus=3 southeastasia=1 japaneast=4").await;
    settled(&three.agents).await;
    let log = same_log(&three.agents).await;
    let units: Vec<_> = three.agents.iter().map(|agent| agent.units().expect("listed")).collect();

    for agent in &three.agents {
        agent.kill().expect("dies");
    }
    for agent in &three.agents {
        agent.start().expect("starts");
    }
    settled(&three.agents).await;
    for (agent, before) in three.agents.iter().zip(&units) {
        assert_eq!(&agent.units().expect("listed"), before, "{}", agent.name);
        assert_eq!(log_of(agent).await.expect("answers"), log, "{}", agent.name);
    }
    until_ok("one state", async || same_state(asked, &three.agents).await).await;
}

/// A node that was stopped before its first event once did not open its database again.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_stopped_while_it_founds_its_cluster_founds_it_when_it_starts_again() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    for number in 1..=5 {
        let agent = sandbox.agent(number, "alone");
        agent.configure("eastus", "init = true").expect("can be written");
        agent.start().expect("starts");
        // It answers as soon as it is the leader of itself, shortly before the first event.
        until_ok("the agent to answer", async || agent.json(&["service", "list"]).await).await;
        agent.stop().await.expect("stops");
        agent.start().expect("starts");
        until_ok("the cluster to be founded", async || {
            let log = log_of(&agent).await?;
            ensure!(log.matches("ClusterBootstrapped").count() == 1, "{log}");
            agent.json(&["service", "create", "first", "--primary", "eastus"]).await
        })
        .await;
        agent.kill().expect("dies");
        std::fs::remove_dir_all(agent.home()).expect("can be wiped");
    }
}
