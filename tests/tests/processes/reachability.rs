//! Gateways that are lost and found: killed regions, killed agents, cut networks.

mod networks;

use std::time::{Duration, Instant};

use anyhow::ensure;
use meridian_testkit::process::{Agent, Process, Sandbox, get, port};
use meridian_testkit::wait::until_ok;
use serde_json::Value;

use crate::support::{
    GATEWAY, STATUS, Three, events, execute, execute_soon, kill_region, location, log_of, same_log,
    serving_unit, start_cluster, wait_until_converged,
};

/// Maximum time from the end of a region to the event: a window of 2 s, and a busy machine.
const LOSS: Duration = Duration::from_secs(8);
/// Number of probes after which a loss would have been recorded: several windows.
const PROBES: u64 = 60;

/// Returns the losses in an event log: types with agents.
fn losses(log: &str) -> Vec<(String, String)> {
    let events = events(log)
        .into_iter()
        .filter(|event| event["type"].as_str().is_some_and(|name| name.starts_with("Gateways")));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events.map(|event| (text(&event["type"]), text(&event["data"]["agent"]))).collect()
}

fn lost(agent: &Agent) -> (String, String) {
    ("GatewaysLost".to_owned(), agent.name.clone())
}

fn found(agent: &Agent) -> (String, String) {
    ("GatewaysFound".to_owned(), agent.name.clone())
}

/// Waits until these are the losses and finds in the log of `contacted`.
async fn wait_for(contacted: &Agent, expected: &[(String, String)]) {
    until_ok("the reachability to be recorded", async || {
        let recorded = losses(&log_of(contacted).await?);
        ensure!(recorded == expected, "{recorded:?}");
        Ok(())
    })
    .await;
}

/// Returns the number of probes of an agent with this result.
async fn probes(agent: &Agent, results: &[&str]) -> anyhow::Result<u64> {
    let metrics = get((agent.address(), port::HTTP).into(), "/metrics").await?.body;
    let count = |result: &&str| {
        let name = format!("meridian_agent_probes_total{{result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok())
    };
    Ok(results.iter().filter_map(count).sum())
}

/// Waits until the agents have completed several windows of probes with one of these results.
async fn wait_for_probes(agents: &[&Agent], results: &[&str]) {
    for agent in agents {
        let before = probes(agent, results).await.expect("the agent responds");
        until_ok("several windows of probes", async || {
            let count = probes(agent, results).await? - before;
            ensure!(count >= PROBES, "{}: {count} probes", agent.name);
            Ok(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_region_is_lost_within_seconds_and_found_once_after_its_return() {
    let three = Three::start().await;
    let [first, second, third] = [0, 1, 2].map(|index| three.agents[index].clone());
    execute(&first, "region set eastus=2 southeastasia=1").await;
    wait_until_converged(&three.agents).await;
    three.make_leader(&first).await;
    wait_for_probes(&[&first, &third], &["reached"]).await;

    assert_eq!(region_of_call(&first, &second).await, second.name);
    let killed = Instant::now();
    kill_region(&second);
    wait_for(&first, &[lost(&second)]).await;
    let took = killed.elapsed();
    println!("lost {took:?} after the region was killed");
    assert!(took < LOSS, "{took:?}");
    let row = location(&first, &second.name).await.expect("the region is listed");
    assert_eq!((&row["status"], &row["readyUnits"]), (&"offline".into(), &0.into()), "{row}");
    assert!(row["offlineSince"].is_string() && row["gatewayUrl"].is_null(), "{row}");
    assert_ne!(region_of_call(&first, &second).await, second.name);

    second.start().expect("the agent starts");
    until_ok("its units to serve", async || serving_unit(&second).await).await;
    let serving = Instant::now();
    wait_for(&first, &[lost(&second), found(&second)]).await;
    println!("found {:?} after its units served", serving.elapsed());
    wait_for_probes(&[&first, &third], &["reached"]).await;
    assert_eq!(region_of_call(&first, &second).await, second.name);
    let log = same_log(&three.agents).await;
    assert_eq!(losses(&log), [lost(&second), found(&second)]);
}

/// Calls the service as a client near `near` does, and returns the region of the unit that responded.
async fn region_of_call(contacted: &Agent, near: &Agent) -> String {
    let call = execute(contacted, &format!("call contoso/echo --near {}", near.name)).await;
    let unit = call["unit"].as_str().unwrap_or_else(|| panic!("a unit responded: {call}"));
    unit.split('/').nth(1).expect("a unit has a region").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_whose_units_serve_loses_only_a_service_whose_unit_dies() {
    let three = Three::start().await;
    let [first, second, third] = [0, 1, 2].map(|index| three.agents[index].clone());
    execute(&first, "region set eastus=1").await;
    execute(&first, "service create fabrikam --primary eastus --tier premium").await;
    until_ok("the unit of the second service to serve", async || {
        second.gateway(GATEWAY + 1, STATUS).await
    })
    .await;
    three.make_leader(&first).await;
    second.kill().expect("the agent is killed");
    wait_for_probes(&[&first, &third], &["reached"]).await;
    assert_eq!(losses(&log_of(&first).await.expect("the agent responds")), []);

    let units = Process::all_within(second.home()).expect("/proc is readable");
    let unit = units.into_iter().find(|it| it.unit().is_some_and(|it| it.service == "fabrikam"));
    let killed = Instant::now();
    unit.expect("the unit runs").kill().expect("the unit is killed");
    wait_for(&first, &[lost(&second)]).await;
    println!("lost {:?} after the unit was killed", killed.elapsed());
    let log = log_of(&first).await.expect("the agent responds");
    assert!(log.lines().any(|line| line.contains("GatewaysLost") && line.contains("fabrikam")));

    second.start().expect("the agent starts");
    wait_for(&first, &[lost(&second), found(&second)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_two_regions_never_loses_gateways() {
    let sandbox = Sandbox::new().await.expect("a sandbox");
    let names = [("eu-1", "westeurope"), ("eu-2", "westeurope"), ("us-1", "eastus")];
    let agents: Vec<_> =
        (1..).zip(names).map(|(number, (name, _))| sandbox.agent(number, name)).collect();
    start_cluster(&agents, &names.map(|(_, region)| region), |_| "network = \"lan\"".to_owned());
    execute_soon(&agents[0], "service create contoso --primary westeurope --tier premium").await;
    execute(&agents[0], "region add eastus").await;
    until_ok("the unit to serve", async || serving_unit(&agents[2]).await).await;
    wait_for_probes(&[&agents[0], &agents[1]], &["reached"]).await;
    kill_region(&agents[2]);
    wait_for_probes(&[&agents[0], &agents[1]], &["refused"]).await;
    assert_eq!(losses(&log_of(&agents[0]).await.expect("the agent responds")), []);
}
