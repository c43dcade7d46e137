//! All agents are killed at the same time, as in a power failure, but their units survive.

use std::time::Duration;

use anyhow::ensure;
use meridian_testkit::process::Sandbox;
use meridian_testkit::wait::until_ok;
use tokio::time::timeout;

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

/// Regression test: the agent on the copy started its units, and stopped only once others had found out.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_on_a_copy_of_a_data_directory_starts_no_unit() {
    let three = Three::start().await;
    let original = three.agent("westeurope");
    original.kill().expect("the agent is killed");
    let copy = original.copy().expect("the data directory is copied");
    // Where no unit of the original is in the way.
    let text = std::fs::read_to_string(copy.config()).expect("the configuration is readable");
    let listen = |host: &str| format!("gateway_listen = \"{host}\"");
    let elsewhere = text.replace(&listen(&original.address().to_string()), &listen("127.0.9.1"));
    assert_ne!(elsewhere, text);
    std::fs::write(copy.config(), elsewhere).expect("the configuration is written");
    original.start().expect("the agent starts");
    wait_until_converged(&three.agents).await;

    let mut process = copy.start().expect("the copy starts");
    let stopped = timeout(Duration::from_secs(10), process.wait()).await;
    assert!(!stopped.expect("the process ends").expect("it has a status").success());
    let log = copy.log();
    assert!(log.contains("an older process runs as this node"), "{log}");
    assert!(!log.contains("starting unit"), "{log}");
    let events = log_of(original).await.expect("the agent responds");
    assert!(!events.contains("AgentUpdated"), "the copy has registered itself: {events}");
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
