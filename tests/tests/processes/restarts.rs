//! All agents are killed at the same time, as in a power failure, but their units survive.

use anyhow::ensure;
use meridian_testkit::process::Sandbox;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, execute, log_of, same_log, same_state, wait_until_converged};

#[tokio::test(flavor = "multi_thread")]
async fn all_agents_killed_at_the_same_time_recover_the_same_events_state_and_units() {
    let three = Three::start().await;
    let contacted = &three.agents[0];
    execute(contacted, "region set westeurope=2 eastus=3 southeastasia=1 japaneast=4").await;
    wait_until_converged(&three.agents).await;
    let log = same_log(&three.agents).await;
    let units: Vec<_> =
        three.agents.iter().map(|agent| agent.units().expect("/proc is readable")).collect();

    for agent in &three.agents {
        agent.kill().expect("the agent is killed");
    }
    for agent in &three.agents {
        agent.start().expect("the agent starts");
    }
    wait_until_converged(&three.agents).await;
    for (agent, before) in three.agents.iter().zip(&units) {
        assert_eq!(&agent.units().expect("/proc is readable"), before, "{}", agent.name);
        assert_eq!(log_of(agent).await.expect("the agent responds"), log, "{}", agent.name);
    }
    until_ok("one state", async || same_state(contacted, &three.agents).await).await;
}

/// Regression test: a node stopped before its first event failed to reopen its database.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_stopped_during_the_bootstrap_completes_it_after_a_restart() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    for number in 1..=5 {
        let agent = sandbox.agent(number, "alone");
        agent.configure("eastus", "bootstrap = true").expect("the configuration is written");
        agent.start().expect("the agent starts");
        // It responds as soon as it has elected itself, shortly before the first event.
        until_ok("the agent to respond", async || agent.json(&["service", "list"]).await).await;
        agent.stop().await.expect("the agent stops");
        agent.start().expect("the agent starts");
        until_ok("the cluster to bootstrap", async || {
            let log = log_of(&agent).await?;
            ensure!(log.matches("ClusterBootstrapped").count() == 1, "{log}");
            agent.json(&["service", "create", "first", "--primary", "eastus"]).await
        })
        .await;
        agent.kill().expect("the agent is killed");
        std::fs::remove_dir_all(agent.home()).expect("the directory is removed");
    }
}
