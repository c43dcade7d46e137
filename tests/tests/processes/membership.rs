//! Agents join a running cluster and leave it.

use anyhow::ensure;
use meridian_testkit::process::Agent;
use meridian_testkit::wait::{PATIENCE, until, until_ok};
use serde_json::Value;

use crate::support::{Three, done, same_log, settled};

#[tokio::test(flavor = "multi_thread")]
async fn agents_join_in_both_ways_and_get_units_and_leave_with_none() {
    let three = Three::start().await;
    let asked = &three.agents[0];
    let fourth = three.sandbox.agent(4, "japaneast");
    join(&fourth, "japaneast", &three.agents).await;
    // The fifth waits in a region that has an agent, until it is invited.
    let fifth = three.sandbox.agent(5, "eastus-2");
    fifth.configure("eastus", "").expect("can be written");
    fifth.start().expect("starts");
    until_ok("the invitation to be taken", async || {
        asked.json(&["cluster", "join", &fifth.peer_endpoint()]).await
    })
    .await;
    let mut agents = three.agents.clone();
    agents.extend([fourth.clone(), fifth.clone()]);
    let row = done(asked, &format!("cluster join {} --wait", fifth.peer_endpoint())).await;
    assert_eq!(row["voter"], true, "{row}");
    until("five voters", async || (voters(asked).await == 5).then_some(())).await;

    done(asked, "region set japaneast=2 eastus=4").await;
    settled(&agents).await;
    assert_eq!(fourth.units().expect("can be listed").len(), 2);
    assert_eq!(fifth.units().expect("can be listed").len(), 2);

    done(asked, "agent drain eastus-2 --yes --wait").await;
    settled(&agents).await;
    assert_eq!(fifth.units().expect("can be listed"), []);
    assert_eq!(three.agents[1].units().expect("can be listed").len(), 4);
    done(asked, "cluster remove eastus-2 --yes --wait").await;
    agents.pop();
    settled(&agents).await;
    assert_eq!(member(asked, "eastus-2").await, None);
    same_log(&agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_agent_that_was_removed_comes_back_as_a_new_node() {
    let three = Three::start().await;
    let asked = &three.agents[0];
    let fourth = three.sandbox.agent(4, "japaneast");
    join(&fourth, "japaneast", &three.agents).await;
    let mut agents = three.agents.clone();
    agents.push(fourth.clone());
    done(asked, "region set japaneast=1").await;
    settled(&agents).await;
    let id = member(asked, "japaneast").await.expect("is a member")["id"].clone();

    fourth.kill().expect("dies");
    for unit in three.sandbox.processes().expect("can be listed") {
        if unit.unit().is_some_and(|unit| unit.region == "japaneast") {
            unit.kill().expect("dies");
        }
    }
    let data = fourth.home().join("data");
    std::fs::remove_dir_all(&data).expect("can be wiped");
    let mut early = fourth.start().expect("starts");
    let early = tokio::time::timeout(PATIENCE, early.wait()).await;
    let early = early.expect("ends").expect("is waited for");
    assert_eq!(early.code(), Some(1), "its name is taken: {}", fourth.log());
    assert!(fourth.log().contains("the cluster refuses this agent"), "{}", fourth.log());
    std::fs::remove_dir_all(&data).expect("can be wiped");

    done(asked, "cluster remove japaneast --yes --wait").await;
    join(&fourth, "japaneast", &three.agents).await;
    settled(&agents).await;
    let new = member(asked, "japaneast").await.expect("is a member")["id"].clone();
    assert_ne!(new, id);
    assert_eq!(fourth.units().expect("can be listed").len(), 1);
    same_log(&agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_majority_rests_on_keeps_its_vote_and_everybody_says_why() {
    let three = Three::start().await;
    let [asked, needed, dead] = &three.agents[..] else { panic!("are three") };
    three.enthrone(asked).await;
    dead.kill().expect("dies");
    until("the leader to miss it", async || {
        let row = member(asked, &dead.name).await.expect("is a member");
        row["lastContactMs"].as_u64().is_some_and(|silent| silent > 3_000).then_some(())
    })
    .await;

    let drained = done(asked, &format!("agent drain {} --yes", needed.name)).await;
    let keeps = format!("{} is to lose its vote and keeps it for now", needed.name);
    assert!(drained["waits"][0]["cause"].as_str().expect("waits").starts_with(&keeps), "{drained}");
    let start = format!("start {}", dead.name);
    let next = drained["waits"][0]["nextStep"].as_str().expect("is helped");
    assert!(next.starts_with(&start), "{drained}");
    let status = done(asked, "status").await;
    assert!(status["warnings"].to_string().contains(&keeps), "{status}");
    let row = member(asked, &needed.name).await.expect("is a member");
    assert_eq!((&row["next"], &row["voter"]), (&"loseVote".into(), &true.into()), "{row}");
    let line = ["agent", "drain", &needed.name, "--yes", "--wait", "--wait-timeout", "1s"];
    let late = asked.run(&line).await.expect("runs");
    assert_eq!(late.code, Some(5), "{late:?}");
    assert!(late.said.contains(&keeps) && late.said.contains(&start), "{late:?}");

    dead.start().expect("starts");
    done(asked, &format!("agent drain {} --yes --wait", needed.name)).await;
    let row = member(asked, &needed.name).await.expect("is a member");
    assert_eq!((&row["next"], &row["voter"]), (&"stay".into(), &false.into()), "{row}");
    done(asked, &format!("cluster remove {} --yes --wait", needed.name)).await;
    let members = done(asked, "cluster members").await;
    let ids = members.as_array().into_iter().flatten().map(|member| &member["id"]);
    assert!(!ids.clone().any(|id| *id == row["id"]), "{members}");
    assert_eq!(ids.count(), 2, "{members}");
}

/// Starts an agent that joins through these, and returns once it is a member.
async fn join(agent: &Agent, region: &str, through: &[Agent]) {
    let endpoints: Vec<_> = through.iter().map(|agent| format!("{:?}", agent.endpoint())).collect();
    let line = format!("join = [{}]", endpoints.join(", "));
    agent.configure(region, &line).expect("can be written");
    agent.start().expect("starts");
    until_ok("the new agent to be a member", async || {
        let member = member(&through[0], &agent.name).await;
        ensure!(member.is_some(), "it is none");
        agent.json(&["region", "list"]).await
    })
    .await;
}

async fn member(asked: &Agent, name: &str) -> Option<Value> {
    let members = done(asked, "cluster members").await;
    members.as_array().into_iter().flatten().find(|member| member["agent"] == name).cloned()
}

async fn voters(asked: &Agent) -> usize {
    let members = done(asked, "cluster members").await;
    members.as_array().into_iter().flatten().filter(|member| member["voter"] == true).count()
}
