//! Recovery of a cluster whose agents lost a majority of their disks, or all of their addresses, as
//! `docs/operating.md` describes it.

use anyhow::{Context, ensure};
use meridian_domain::{Actor, Epoch, Reason};
use meridian_storage::disk::directory::DataDirectory;
use meridian_storage::disk::epoch::{LocalEpoch, Recovery};
use meridian_testkit::process::{Agent, Output, get, port, run};
use meridian_testkit::wait::{until, until_ok};
use serde_json::Value;

use crate::support::{
    REGIONS, Three, events, execute, log_of, same_log, serving_unit, wait_until_converged,
};

const REASON: &str = "two machines burned";

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_two_of_three_disks_is_recovered_on_the_third() {
    let three = Three::start().await;
    let [destroyed, returning, survivor] = &three.agents[..] else { panic!("three agents") };
    execute(survivor, "region set westeurope=1 eastus=1 southeastasia=1").await;
    wait_until_converged(&three.agents).await;
    let units = survivor.units().expect("/proc is readable");

    let running = recover(survivor, &[]).await;
    assert_eq!(running.code, Some(1), "{running:?}");
    assert!(running.stderr.contains("is in use by pid"), "{running:?}");
    assert!(running.stderr.contains("agent --config"), "names the agent: {running:?}");

    destroyed.kill().expect("the agent is killed");
    std::fs::remove_dir_all(destroyed.data()).expect("the disk is destroyed");
    survivor.stop().await.expect("the agent stops");
    let early = recover(survivor, &["--force-new-cluster", "--reason", REASON, "--yes"]).await;
    assert_eq!(early.code, Some(1), "{early:?}");
    assert!(early.stderr.contains("member eastus responds at"), "{early:?}");
    returning.kill().expect("the agent is killed");

    let before = shown(&recover(survivor, &[]).await);
    assert_eq!((&before["epoch"], &before["agent"]), (&0.into(), &"southeastasia".into()));
    assert_eq!(before["members"].as_array().map(Vec::len), Some(3), "{before}");
    let asked = recover(survivor, &["--force-new-cluster", "--reason", REASON]).await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert_eq!(shown(&recover(survivor, &[]).await), before, "nothing was changed");
    let forced = recover(survivor, &["--force-new-cluster", "--reason", REASON, "--yes"]).await;
    let after = shown(&forced);
    assert!(forced.stderr.contains("never reached this agent are lost"), "{forced:?}");
    assert_eq!((&after["epoch"], &after["recoveryPending"]), (&1.into(), &false.into()));
    assert_eq!(after["members"].as_array().map(Vec::len), Some(1), "{after}");
    serving_unit(survivor).await.expect("the units serve without any agent");

    survivor.start().expect("the agent starts");
    accepts_changes(survivor, "region set southeastasia=2").await;
    until_ok("both units to run", async || {
        let now = survivor.units()?;
        ensure!(now.len() == 2 && units.iter().all(|unit| now.contains(unit)), "{now:?}");
        Ok(())
    })
    .await;
    let log = events(&log_of(survivor).await.expect("the log can be read"));
    let recorded: Vec<_> = log.iter().filter(|event| event["type"] == "ClusterRecovered").collect();
    let [recorded] = recorded[..] else { panic!("one recovery: {recorded:?}") };
    assert_eq!((&recorded["reason"], &recorded["data"]["epoch"]), (&REASON.into(), &1.into()));
    assert!(recorded["actor"].as_str().is_some_and(|actor| actor.contains('@')), "{recorded}");
    assert_eq!(execute(survivor, "status").await["epoch"], 1);

    an_old_member_is_refused_and_keeps_its_units(returning).await;
    for lost in [destroyed, returning] {
        execute(survivor, &format!("cluster remove {} --yes", lost.name)).await;
    }
    let fresh = three.sandbox.agent(4, "japaneast");
    join(&fresh, "japaneast", survivor).await;
    wait_for_voters(survivor, 2).await;
    returning.stop().await.expect("the agent stops");
    std::fs::remove_dir_all(returning.data()).expect("the data directory is emptied");
    until("its units to stop", async || returning.units().ok()?.is_empty().then_some(())).await;
    join(returning, "eastus", survivor).await;
    wait_for_voters(survivor, 3).await;
    let agents = [survivor.clone(), fresh, returning.clone()];
    execute(survivor, "region set eastus=1 japaneast=1").await;
    until_ok("a unit on every agent", async || {
        for agent in &agents {
            serving_unit(agent).await?;
        }
        Ok(())
    })
    .await;
    same_log(&agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_interrupted_after_its_first_step_is_completed_by_the_agent() {
    let three = Three::start().await;
    let [first, second, survivor] = &three.agents[..] else { panic!("three agents") };
    for agent in [first, second] {
        agent.kill().expect("the agent is killed");
    }
    survivor.stop().await.expect("the agent stops");
    let recovery = Recovery {
        actor: Actor::new("ada@host").expect("is an actor"),
        reason: Reason::new(REASON).expect("is a reason"),
        pending: true,
    };
    let directory = DataDirectory::open(survivor.data()).expect("is not in use");
    let pending = LocalEpoch { epoch: Epoch(1), recovery: Some(recovery) };
    directory.store_epoch(&pending).expect("can be stored");
    drop(directory);
    assert_eq!(shown(&recover(survivor, &[]).await)["recoveryPending"], true);

    survivor.start().expect("the agent starts");
    accepts_changes(survivor, "region set southeastasia=1").await;
    survivor.kill().expect("the agent is killed");
    survivor.start().expect("the agent starts");
    accepts_changes(survivor, "region set southeastasia=2").await;
    let log = events(&log_of(survivor).await.expect("the log can be read"));
    let recorded = log.iter().filter(|event| event["type"] == "ClusterRecovered");
    assert_eq!(recorded.map(|event| &event["actor"]).collect::<Vec<_>>(), ["ada@host"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_addresses_of_members_are_stored_until_the_log_has_them() {
    let three = Three::start().await;
    let stopped = &three.agents[2];
    stopped.stop().await.expect("the agent stops");
    let unknown = recover(stopped, &["--readdress", "mars=10.9.9.9:7401"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("no member is named mars"), "{unknown:?}");
    let given = "eastus=10.9.9.2:7401,westeurope=10.9.9.1:7401";
    let stored = recover(stopped, &["--readdress", given]).await;
    assert_eq!(address_override(&shown(&stored), "eastus"), "10.9.9.2:7401");
    let kept = shown(&recover(stopped, &["--readdress", "eastus=10.9.9.4:7401"]).await);
    assert_eq!(address_override(&kept, "eastus"), "10.9.9.4:7401");
    assert_eq!(address_override(&kept, "westeurope"), "10.9.9.1:7401");
    let as_in_log = three.agents[..2].iter();
    let as_in_log: Vec<_> =
        as_in_log.map(|agent| format!("{}={}", agent.name, agent.peer_endpoint())).collect();
    let removed = shown(&recover(stopped, &["--readdress", &as_in_log.join(",")]).await);
    assert_eq!(address_override(&removed, "eastus"), Value::Null);
    stopped.start().expect("the agent starts");
    wait_until_converged(&three.agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_whose_addresses_all_changed_continues_with_given_ones() {
    let three = Three::start().await;
    for agent in &three.agents {
        agent.stop().await.expect("the agent stops");
    }
    let moved: Vec<_> =
        (11..).zip(REGIONS).map(|(number, name)| three.sandbox.agent(number, name)).collect();
    let given: Vec<_> =
        moved.iter().map(|agent| format!("{}={}", agent.name, agent.peer_endpoint())).collect();
    for (agent, region) in moved.iter().zip(REGIONS) {
        agent.configure(region, "").expect("the configuration is written");
        shown(&recover(agent, &["--readdress", &given.join(",")]).await);
    }
    for agent in &moved {
        agent.start().expect("the agent starts");
    }
    accepts_changes(&moved[0], "region set westeurope=1 eastus=1").await;
    for agent in &moved {
        until_ok("the log to have the new addresses", async || {
            // Ready, it has every entry of the log; it would never get one if it only restarted.
            let ready = get((agent.address(), port::HTTP).into(), "/readyz").await?;
            ensure!(ready.status == 200, "{}", ready.body);
            agent.stop().await?;
            let view = shown(&recover(agent, &[]).await);
            agent.start()?;
            let rows = view["members"].as_array().context("no members")?.clone();
            let is_new = |row: &Value| {
                row["address"].as_str().is_some_and(|address| {
                    moved.iter().any(|agent| agent.peer_endpoint() == address)
                })
            };
            ensure!(rows.iter().all(is_new), "{view}");
            Ok(())
        })
        .await;
    }
    same_log(&moved).await;
}

/// Starts an old member, and waits until it knows why it is refused.
async fn an_old_member_is_refused_and_keeps_its_units(old: &Agent) {
    let units = old.units().expect("/proc is readable");
    old.start().expect("the agent starts");
    let reason = "the cluster was recovered as epoch 1 without this agent";
    until_ok("the old member to state that it is excluded", async || {
        let readiness = get((old.address(), port::HTTP).into(), "/readyz").await?;
        let body = &readiness.body;
        ensure!(readiness.status == 503 && body.contains(reason), "{body}");
        Ok(())
    })
    .await;
    let logged = old.log().matches("the cluster was recovered without this agent").count();
    assert_eq!(logged, 1, "{}", old.log());
    let refused = old.run(&["region", "set", "eastus=2", "--timeout", "2s"]).await;
    let refused = refused.expect("the command runs");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    serving_unit(old).await.expect("its units serve");
    assert_eq!(old.units().expect("/proc is readable"), units);
}

/// Runs `meridian recover` on the data directory of an agent, with JSON output.
async fn recover(agent: &Agent, arguments: &[&str]) -> Output {
    let data = agent.data();
    let data = data.to_str().expect("is text");
    let fixed = ["recover", "--data-dir", data, "--output", "json"];
    run(fixed.iter().chain(arguments)).await.expect("the binary runs")
}

fn shown(output: &Output) -> Value {
    assert_eq!(output.code, Some(0), "{output:?}");
    output.json().expect("is JSON")
}

fn address_override(view: &Value, agent: &str) -> Value {
    let mut rows = view["members"].as_array().into_iter().flatten();
    let row = rows.find(|row| row["agent"] == agent).expect("is a member");
    row["overrideAddress"].clone()
}

async fn accepts_changes(agent: &Agent, change: &str) {
    let words: Vec<_> = change.split(' ').collect();
    until_ok("a change to be accepted", async || agent.json(&words).await).await;
}

async fn join(agent: &Agent, region: &str, through: &Agent) {
    let line = format!("join = [{:?}]", through.endpoint());
    agent.configure(region, &line).expect("the configuration is written");
    agent.start().expect("the agent starts");
}

async fn wait_for_voters(contacted: &Agent, count: usize) {
    until_ok("the voters", async || {
        let members = contacted.json(&["cluster", "members"]).await?;
        let voters = members.as_array().into_iter().flatten();
        let voters = voters.filter(|member| member["voter"] == true).count();
        ensure!(voters == count, "{members}");
        Ok(())
    })
    .await;
}
