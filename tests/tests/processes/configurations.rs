//! Agents that must not start, or not there: a clear word, and nothing touched.

use std::net::TcpListener;

use anyhow::ensure;
use meridian_testkit::process::{Agent, Dev, Output, Sandbox, port, run};
use meridian_testkit::wait::until_ok;

use crate::support::{done, log_of, same_state, settled};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let agent = sandbox.agent(1, "solo");
    agent.configure("westeurope", "snapshot_after_entires = 5").expect("can be written");
    let refused = start(&agent, &[]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.said.contains("snapshot_after_entires"), "{refused:?}");
    assert!(refused.said.contains("the nearest is \"snapshot_after_entries\""), "{refused:?}");
    assert!(!agent.home().join("data").exists());
    agent.configure("westeurope", "snapshot_after_entries = 5").expect("can be written");
    let checked = start(&agent, &["--check-config"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.data.contains("snapshot_after_entries = 5"), "{checked:?}");
    assert!(!agent.home().join("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_a_port_in_use_is_named_with_its_holder() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let stranger = TcpListener::bind((sandbox.address(1), port::PEER)).expect("is free");
    let refused = Dev::refused(&sandbox, &["--regions", "westeurope"]).await.expect("runs");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let held = format!(
        "{}:{} is in use by process {}",
        sandbox.address(1),
        port::PEER,
        std::process::id()
    );
    assert!(refused.said.contains(&held), "{refused:?}");
    drop(stranger);

    let dev = Dev::start(&sandbox, &["--regions", "westeurope"]).await.expect("starts");
    let agents = [sandbox.agent(1, "westeurope")];
    settled(&agents).await;
    let before = until_ok("the state", async || same_state(&agents[0], &agents).await).await;
    let pid = agents[0].process().expect("can be found").expect("runs").pid();
    let second = start(&agents[0], &[]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.said.contains(&format!("is in use by pid {pid}")), "{second:?}");
    let second = Dev::refused(&sandbox, &["--regions", "westeurope"]).await.expect("runs");
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.said.contains("another `meridian dev` runs in"), "{second:?}");
    assert_eq!(same_state(&agents[0], &agents).await.expect("answers"), before);
    dev.stop(&sandbox).await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_cluster_is_refused_by_both() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let (one, other) = (found(&sandbox, 1, "one").await, found(&sandbox, 2, "other").await);
    let before = [log_of(&one).await.expect("answers"), log_of(&other).await.expect("answers")];

    let invited = one.run(&["cluster", "join", &other.peer_endpoint()]).await.expect("runs");
    assert_eq!(invited.code, Some(1), "{invited:?}");
    assert!(invited.said.contains("this agent belongs to cluster"), "{invited:?}");
    // Told to join the first cluster, with the data directory of the second.
    other.stop().await.expect("stops");
    let line = format!("join = [{:?}]", one.endpoint());
    other.configure("eastus", &line).expect("can be written");
    let refused = start(&other, &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.said.contains("the data directory belongs to cluster"), "{refused:?}");

    other.configure("eastus", "init = true").expect("can be written");
    other.start().expect("starts");
    until_ok("the second cluster to be back", async || other.json(&["region", "catalogue"]).await)
        .await;
    let after = [log_of(&one).await.expect("answers"), log_of(&other).await.expect("answers")];
    assert_eq!(after, before);
    let members = done(&one, "cluster members").await;
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
}

/// A cluster of one agent.
async fn found(sandbox: &Sandbox, number: u8, name: &str) -> Agent {
    let agent = sandbox.agent(number, name);
    agent.configure("eastus", "init = true").expect("can be written");
    agent.start().expect("starts");
    until_ok("the agent to found its cluster", async || {
        ensure!(log_of(&agent).await?.contains("AgentRegistered"));
        Ok(())
    })
    .await;
    agent
}

/// Starts an agent that is to refuse, and gives what it said.
async fn start(agent: &Agent, further: &[&str]) -> Output {
    let config = agent.config();
    let arguments = ["agent", "--config", &config.to_string_lossy()].map(str::to_owned);
    let arguments = arguments.into_iter().chain(further.iter().map(|word| (*word).to_owned()));
    let ran = tokio::time::timeout(meridian_testkit::wait::PATIENCE, run(arguments)).await;
    ran.expect("the agent goes on").expect("can be run")
}
