//! Invalid configurations and conflicting agents: a clear error, and no side effects.

use std::fs;
use std::net::TcpListener;

use anyhow::ensure;
use meridian_testkit::process::{Agent, Dev, Output, Sandbox, port, run};
use meridian_testkit::wait::until_ok;

use crate::support::{execute, log_of, same_state, serving_unit, wait_until_converged};

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_rejected_with_the_nearest_known_one() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = sandbox.agent(1, "solo");
    agent
        .configure("westeurope", "snapshot_after_entires = 5")
        .expect("the configuration is written");
    let rejected = start(&agent, &[]).await;
    assert_eq!(rejected.code, Some(2), "{rejected:?}");
    assert!(rejected.stderr.contains("snapshot_after_entires"), "{rejected:?}");
    assert!(rejected.stderr.contains("the nearest is \"snapshot_after_entries\""), "{rejected:?}");
    assert!(!agent.home().join("data").exists());
    agent
        .configure("westeurope", "snapshot_after_entries = 5")
        .expect("the configuration is written");
    let checked = start(&agent, &["--check-config"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("snapshot_after_entries = 5"), "{checked:?}");
    assert!(!agent.home().join("data").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_in_an_unknown_region_is_rejected_with_the_nearest_ones() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = sandbox.agent(1, "solo");
    agent.configure("westeurop", "bootstrap = true").expect("the configuration is written");
    for flags in [&["--check-config"][..], &[]] {
        let rejected = start(&agent, flags).await;
        assert_eq!(rejected.code, Some(2), "{rejected:?}");
        assert!(rejected.stderr.contains("westeurope"), "{rejected:?}");
        assert!(!agent.home().join("data").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_or_port_in_use_is_reported_with_its_owner() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let other = TcpListener::bind((sandbox.address(1), port::PEER)).expect("the port is free");
    let rejected =
        Dev::run_to_exit(&sandbox, &["--regions", "westeurope"]).await.expect("the command runs");
    assert_eq!(rejected.code, Some(1), "{rejected:?}");
    let in_use = format!(
        "{}:{} is in use by process {}",
        sandbox.address(1),
        port::PEER,
        std::process::id()
    );
    assert!(rejected.stderr.contains(&in_use), "{rejected:?}");
    drop(other);

    let dev = Dev::start(&sandbox, &["--regions", "westeurope"]).await.expect("dev starts");
    let agents = [sandbox.agent(1, "westeurope")];
    wait_until_converged(&agents).await;
    let before = until_ok("the state", async || same_state(&agents[0], &agents).await).await;
    let pid = agents[0].process().expect("/proc is readable").expect("the agent is running").pid();
    let second = start(&agents[0], &[]).await;
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains(&format!("is in use by pid {pid}")), "{second:?}");
    let second =
        Dev::run_to_exit(&sandbox, &["--regions", "westeurope"]).await.expect("the command runs");
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another `meridian dev` runs in"), "{second:?}");
    assert_eq!(same_state(&agents[0], &agents).await.expect("the agent responds"), before);
    dev.stop(&sandbox).await.expect("dev stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_another_cluster_is_rejected_by_both() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let (one, other) = (bootstrap(&sandbox, 1, "one").await, bootstrap(&sandbox, 2, "other").await);
    let before = [
        log_of(&one).await.expect("the agent responds"),
        log_of(&other).await.expect("the agent responds"),
    ];

    let invited =
        one.run(&["cluster", "join", &other.peer_endpoint()]).await.expect("the command runs");
    assert_eq!(invited.code, Some(1), "{invited:?}");
    assert!(invited.stderr.contains("this agent belongs to cluster"), "{invited:?}");
    // Configured to join the first cluster, with the data directory of the second.
    other.stop().await.expect("the agent stops");
    let line = format!("join = [{:?}]", one.endpoint());
    other.configure("eastus", &line).expect("the configuration is written");
    let rejected = start(&other, &[]).await;
    assert_eq!(rejected.code, Some(1), "{rejected:?}");
    assert!(rejected.stderr.contains("the data directory belongs to cluster"), "{rejected:?}");

    other.configure("eastus", "bootstrap = true").expect("the configuration is written");
    other.start().expect("the agent starts");
    until_ok("the second cluster to recover", async || other.json(&["region", "catalog"]).await)
        .await;
    let after = [
        log_of(&one).await.expect("the agent responds"),
        log_of(&other).await.expect("the agent responds"),
    ];
    assert_eq!(after, before);
    let members = execute(&one, "cluster members").await;
    assert_eq!(members.as_array().map(Vec::len), Some(1), "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_under_another_name_does_not_start_and_its_units_keep_serving() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = bootstrap(&sandbox, 1, "one").await;
    execute(&agent, "service create contoso --primary eastus").await;
    until_ok("the unit to serve", async || serving_unit(&agent).await).await;
    let units = agent.units().expect("/proc is readable");
    agent.stop().await.expect("the agent stops");

    let text = fs::read_to_string(agent.config()).expect("the configuration is readable");
    let renamed = text.replace("name = \"one\"", "name = \"two\"");
    fs::write(agent.config(), renamed).expect("the configuration is written");
    let refused = start(&agent, &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let cause = "the data directory belongs to agent one, but the configured name is two";
    assert!(refused.stderr.contains(cause), "{refused:?}");
    assert_eq!(agent.units().expect("/proc is readable"), units);
    assert!(units.contains(&serving_unit(&agent).await.expect("the unit serves")));

    fs::write(agent.config(), text).expect("the configuration is written");
    agent.start().expect("the agent starts");
    until_ok("the agent to respond", async || agent.json(&["region", "list"]).await).await;
    assert_eq!(agent.units().expect("/proc is readable"), units);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_does_not_end_an_agent_and_a_clean_stop_logs_no_error() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = bootstrap(&sandbox, 1, "one").await;
    let process = agent.process().expect("/proc is readable").expect("the agent runs");
    process.hang_up();
    until_ok("the hangup to be logged", async || {
        ensure!(agent.log().contains("SIGHUP ignored"), "not yet");
        Ok(())
    })
    .await;
    execute(&agent, "region catalog").await;
    agent.stop().await.expect("the agent stops");
    let errors: Vec<_> =
        agent.log().lines().filter(|line| line.contains("ERROR")).map(str::to_owned).collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Bootstraps a cluster of one agent.
async fn bootstrap(sandbox: &Sandbox, number: u8, name: &str) -> Agent {
    let agent = sandbox.agent(number, name);
    agent.configure("eastus", "bootstrap = true").expect("the configuration is written");
    agent.start().expect("the agent starts");
    until_ok("the cluster to bootstrap", async || {
        ensure!(log_of(&agent).await?.contains("AgentRegistered"));
        Ok(())
    })
    .await;
    agent
}

/// Runs an agent that is expected to reject its configuration, and returns its output.
async fn start(agent: &Agent, extra: &[&str]) -> Output {
    let config = agent.config();
    let arguments = ["agent", "--config", &config.to_string_lossy()].map(str::to_owned);
    let arguments = arguments.into_iter().chain(extra.iter().map(|word| (*word).to_owned()));
    let output = tokio::time::timeout(meridian_testkit::wait::TIMEOUT, run(arguments)).await;
    output.expect("the agent exits").expect("the binary can be run")
}
