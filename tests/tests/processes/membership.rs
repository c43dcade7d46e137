//! Agents join a running cluster and leave it.

use anyhow::ensure;
use meridian_testkit::process::Agent;
use meridian_testkit::wait::{TIMEOUT, until, until_ok};
use serde_json::Value;

use crate::support::{Three, execute, same_log, wait_until_converged};

#[tokio::test(flavor = "multi_thread")]
async fn agents_join_in_both_ways_run_units_and_leave_without_any() {
    let three = Three::start().await;
    let contacted = &three.agents[0];
    let fourth = three.sandbox.agent(4, "japaneast");
    join(&fourth, "japaneast", &three.agents).await;
    // The fifth agent is in a region that already has one, and waits to be invited.
    let fifth = three.sandbox.agent(5, "eastus-2");
    fifth.configure("eastus", "").expect("the configuration is written");
    fifth.start().expect("the agent starts");
    until("the uninvited agent to refuse a change", async || {
        let change = ["service", "create", "second", "--primary", "eastus"];
        let refused = fifth.run(&change).await.expect("the command runs");
        let reason = "not a member of a cluster yet";
        (refused.code == Some(4) && refused.stderr.contains(reason)).then_some(())
    })
    .await;
    until_ok("the invitation to be accepted", async || {
        contacted.json(&["cluster", "join", &fifth.peer_endpoint()]).await
    })
    .await;
    let mut agents = three.agents.clone();
    agents.extend([fourth.clone(), fifth.clone()]);
    let row = execute(contacted, &format!("cluster join {} --wait", fifth.peer_endpoint())).await;
    assert_eq!(row["voter"], true, "{row}");
    until("five voters", async || (voters(contacted).await == 5).then_some(())).await;

    execute(contacted, "region set japaneast=2 eastus=4").await;
    wait_until_converged(&agents).await;
    assert_eq!(fourth.units().expect("/proc is readable").len(), 2);
    assert_eq!(fifth.units().expect("/proc is readable").len(), 2);

    execute(contacted, "agent drain eastus-2 --yes --wait").await;
    wait_until_converged(&agents).await;
    assert_eq!(fifth.units().expect("/proc is readable"), []);
    assert_eq!(three.agents[1].units().expect("/proc is readable").len(), 4);
    execute(contacted, "cluster remove eastus-2 --yes --wait").await;
    agents.pop();
    wait_until_converged(&agents).await;
    assert_eq!(member(contacted, "eastus-2").await, None);
    same_log(&agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_agent_rejoins_as_a_new_node_after_it_was_removed() {
    let three = Three::start().await;
    let contacted = &three.agents[0];
    let fourth = three.sandbox.agent(4, "japaneast");
    join(&fourth, "japaneast", &three.agents).await;
    let mut agents = three.agents.clone();
    agents.push(fourth.clone());
    execute(contacted, "region set japaneast=1").await;
    wait_until_converged(&agents).await;
    let id = member(contacted, "japaneast").await.expect("the agent is a member")["id"].clone();

    fourth.kill().expect("the agent is killed");
    for unit in three.sandbox.processes().expect("/proc is readable") {
        if unit.unit().is_some_and(|unit| unit.region == "japaneast") {
            unit.kill().expect("the unit is killed");
        }
    }
    let data = fourth.home().join("data");
    std::fs::remove_dir_all(&data).expect("the data directory is removed");
    let mut early = fourth.start().expect("the agent starts");
    let early = tokio::time::timeout(TIMEOUT, early.wait()).await;
    let early = early.expect("the agent exits").expect("its exit status is known");
    assert_eq!(early.code(), Some(1), "its name is taken: {}", fourth.log());
    assert!(fourth.log().contains("the cluster refused this agent"), "{}", fourth.log());
    std::fs::remove_dir_all(&data).expect("the data directory is removed");

    execute(contacted, "cluster remove japaneast --yes --wait").await;
    join(&fourth, "japaneast", &three.agents).await;
    wait_until_converged(&agents).await;
    let new = member(contacted, "japaneast").await.expect("the agent is a member")["id"].clone();
    assert_ne!(new, id);
    assert_eq!(fourth.units().expect("/proc is readable").len(), 1);
    same_log(&agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_agent_needed_for_the_quorum_keeps_its_vote_and_the_reason_is_reported() {
    let three = Three::start().await;
    let [contacted, needed, dead] = &three.agents[..] else { panic!("three agents") };
    three.make_leader(contacted).await;
    dead.kill().expect("the agent is killed");
    until("the leader to lose contact", async || {
        let row = member(contacted, &dead.name).await.expect("the agent is a member");
        row["lastContactMs"].as_u64().is_some_and(|silent| silent > 3_000).then_some(())
    })
    .await;

    let drained = execute(contacted, &format!("agent drain {} --yes", needed.name)).await;
    let keeps = format!("{} keeps its vote for now", needed.name);
    assert!(
        drained["waits"][0]["cause"].as_str().expect("the drain waits").starts_with(&keeps),
        "{drained}"
    );
    let start = format!("start {}", dead.name);
    let next = drained["waits"][0]["nextStep"].as_str().expect("there is a next step");
    assert!(next.starts_with(&start), "{drained}");
    let status = execute(contacted, "status").await;
    assert!(status["warnings"].to_string().contains(&keeps), "{status}");
    let row = member(contacted, &needed.name).await.expect("the agent is a member");
    assert_eq!((&row["next"], &row["voter"]), (&"loseVote".into(), &true.into()), "{row}");
    let line = ["agent", "drain", &needed.name, "--yes", "--wait", "--wait-timeout", "1s"];
    let late = contacted.run(&line).await.expect("the command runs");
    assert_eq!(late.code, Some(6), "{late:?}");
    assert!(late.stderr.contains(&keeps) && late.stderr.contains(&start), "{late:?}");

    dead.start().expect("the agent starts");
    execute(contacted, &format!("agent drain {} --yes --wait", needed.name)).await;
    let row = member(contacted, &needed.name).await.expect("the agent is a member");
    assert_eq!((&row["next"], &row["voter"]), (&"stay".into(), &false.into()), "{row}");
    execute(contacted, &format!("cluster remove {} --yes --wait", needed.name)).await;
    let members = execute(contacted, "cluster members").await;
    let ids = members.as_array().into_iter().flatten().map(|member| &member["id"]);
    assert!(!ids.clone().any(|id| *id == row["id"]), "{members}");
    assert_eq!(ids.count(), 2, "{members}");
}

/// Starts an agent that joins through the given ones, and waits until it is a member.
async fn join(agent: &Agent, region: &str, through: &[Agent]) {
    let endpoints: Vec<_> = through.iter().map(|agent| format!("{:?}", agent.endpoint())).collect();
    let line = format!("join = [{}]", endpoints.join(", "));
    agent.configure(region, &line).expect("the configuration is written");
    agent.start().expect("the agent starts");
    until_ok("the new agent to be a member", async || {
        let member = member(&through[0], &agent.name).await;
        ensure!(member.is_some(), "not a member yet");
        agent.json(&["region", "list"]).await
    })
    .await;
}

async fn member(contacted: &Agent, name: &str) -> Option<Value> {
    let members = execute(contacted, "cluster members").await;
    members.as_array().into_iter().flatten().find(|member| member["agent"] == name).cloned()
}

async fn voters(contacted: &Agent) -> usize {
    let members = execute(contacted, "cluster members").await;
    members.as_array().into_iter().flatten().filter(|member| member["voter"] == true).count()
}
