//! Agents that drain their units when they stop.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use meridian_testkit::process::{Agent, Process, Sandbox};
use meridian_testkit::wait::until_ok;
use serde_json::Value;

use crate::support::execute;

/// Maximum time for an agent to shut down, as `docs/operating.md` states.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(22);

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_drains_on_stop_kills_a_hung_unit_and_leaves_none() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let agent = sandbox.agent(1, "solo");
    let settings = "bootstrap = true\ndrain_on_stop = true";
    agent.configure("westeurope", settings).expect("the configuration is written");
    let mut process = agent.start().expect("the agent starts");
    until_ok("the agent to respond", async || {
        agent.json(&["service", "create", "contoso", "--primary", "westeurope"]).await
    })
    .await;
    execute(&agent, "region set westeurope=3").await;
    until_ok("three units to be ready", async || {
        let units = units(&agent).await?;
        let ready = units.iter().filter(|unit| unit["state"] == "ready").count();
        ensure!(ready == 3, "{units:?}");
        Ok(())
    })
    .await;

    let hung = unit_processes(&sandbox).pop().expect("a unit runs");
    hung.freeze();
    until_ok("the agent to wait for the hung unit", async || {
        let units = units(&agent).await?;
        let hung = units.iter().find(|unit| unit["pid"] == hung.pid());
        ensure!(hung.is_none_or(|unit| unit["state"] != "ready"), "{units:?}");
        Ok(())
    })
    .await;

    let began = Instant::now();
    agent.stop().await.expect("the agent runs");
    let took = began.elapsed();
    println!("the agent stopped in {took:.1?}");
    let status = process.wait().await.expect("the agent is a child");
    assert!(status.success(), "{status}: {}", agent.log());
    assert!(took < SHUTDOWN_TIMEOUT, "{took:?}");
    assert_eq!(unit_processes(&sandbox).len(), 0, "units are left: {}", agent.log());
}

async fn units(agent: &Agent) -> anyhow::Result<Vec<Value>> {
    let units = agent.json(&["unit", "list"]).await?;
    Ok(units.as_array().context("not a list of units")?.clone())
}

fn unit_processes(sandbox: &Sandbox) -> Vec<Process> {
    let mut processes = sandbox.processes().expect("/proc is readable");
    processes.retain(|process| process.unit().is_some());
    processes
}
