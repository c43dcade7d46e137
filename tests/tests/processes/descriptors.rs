//! Agents with few file descriptors, and with those of others.

use anyhow::ensure;
use meridian_testkit::process::{Agent, Sandbox, get, port};
use meridian_testkit::wait::{TIMEOUT, until_ok};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::execute;

/// Number of units of the test: more than fit into the limit.
const UNITS: usize = 30;

async fn alone(sandbox: &Sandbox, open_files: u64) -> Agent {
    let agent = sandbox.agent(1, "alone").prepared_by(&format!("ulimit -n {open_files}"));
    agent.configure("eastus", "bootstrap = true").expect("the configuration is written");
    agent
}

/// Waits until this number of units is ready, and returns the causes of the failed ones.
async fn ready_units(agent: &Agent, ready: usize) -> Vec<String> {
    until_ok("the units that fit to be ready", async || {
        let units = agent.json(&["unit", "list"]).await?;
        let units = units.as_array().cloned().unwrap_or_default();
        let with = |state: &str| units.iter().filter(|unit| unit["state"] == state).count();
        ensure!(with("ready") == ready && with("failed") == UNITS - ready, "{units:?}");
        let failed = units.iter().filter(|unit| unit["state"] == "failed");
        Ok(failed.map(ToString::to_string).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_few_descriptors_stays_reachable_and_starts_the_units_that_fit() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = alone(&sandbox, 256).await;
    agent.start().expect("the agent starts");
    until_ok("a service", async || {
        agent.json(&["service", "create", "contoso", "--primary", "eastus"]).await
    })
    .await;
    execute(&agent, &format!("cluster limits set --premium-units {UNITS}")).await;
    execute(&agent, &format!("region scale eastus --units {UNITS}")).await;
    // Each of 300 idle connections would take a descriptor.
    let mut idle = Vec::new();
    for port in [port::HTTP, port::CLIENT, port::PEER] {
        for _ in 0..100 {
            let connecting = TcpStream::connect((agent.address(), port));
            idle.push(timeout(TIMEOUT, connecting).await.expect("in time").expect("connected"));
        }
    }
    let failures = ready_units(&agent, 16).await;
    assert!(
        failures.iter().all(|failure| failure.contains(
            "no file descriptors left for another unit: 16 of at most 16 units run with a limit \
             of 256 open files; raise LimitNOFILE"
        )),
        "{failures:?}"
    );
    let health = get((agent.address(), port::HTTP).into(), "/healthz").await;
    assert_eq!(health.expect("the agent responds").status, 200);
    assert!(agent.log().contains("the limit of open files bounds"), "{}", agent.log());
    assert!(!agent.log().contains("Too many open files"), "{}", agent.log());

    let before = agent.units().expect("/proc is readable");
    agent.kill().expect("the agent is killed");
    let agent = alone(&sandbox, 1_024).await;
    agent.start().expect("the agent starts with more descriptors");
    ready_units(&agent, UNITS).await;
    let after = agent.units().expect("/proc is readable");
    assert!(before.iter().all(|unit| after.contains(unit)), "{before:?}, {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_too_few_descriptors_refuses_to_start() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = alone(&sandbox, 100).await;
    let exited = agent.start().expect("the process starts").wait().await.expect("it exits");
    assert_eq!(exited.code(), Some(1));
    let log = agent.log();
    assert!(log.contains("the limit of open files is 100"), "{log}");
    assert!(log.contains("raise LimitNOFILE"), "{log}");
    assert!(!agent.data().exists(), "nothing is changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn units_get_neither_the_environment_nor_the_descriptors_of_their_agent() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let file = sandbox.path().join("inherited");
    std::fs::write(&file, "").expect("the file is written");
    let preparation =
        format!("export SECRET=token RES_OPTIONS=timeout:3 && exec 9<{}", file.display());
    let agent = sandbox.agent(1, "alone").prepared_by(&preparation);
    agent.configure("eastus", "bootstrap = true").expect("the configuration is written");
    agent.start().expect("the agent starts");
    until_ok("a service", async || {
        agent.json(&["service", "create", "contoso", "--primary", "eastus", "--wait"]).await
    })
    .await;
    let descriptors = |pid: u32| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process runs");
        let targets = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        targets.collect::<Vec<_>>()
    };
    let process = agent.process().expect("/proc is readable").expect("the agent runs");
    assert!(descriptors(process.pid()).contains(&file), "the agent inherited the file");
    let unit = agent.units().expect("/proc is readable").remove(0);
    assert!(!descriptors(unit.pid).contains(&file), "{:?}", descriptors(unit.pid));
    let environment = std::fs::read(format!("/proc/{}/environ", unit.pid)).expect("it runs");
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let names: Vec<_> =
        environment.split_terminator('\0').filter_map(|it| it.split('=').next()).collect();
    assert!(names.contains(&"RES_OPTIONS"), "{names:?}");
    assert!(!names.contains(&"SECRET") && !names.contains(&"PATH"), "{names:?}");
}
