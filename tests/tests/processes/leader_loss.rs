//! The leader, in the primary region, is killed with SIGKILL.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use meridian_testkit::process::Dev;
use meridian_testkit::wait::{until, until_ok};

use crate::support::{
    Three, events, execute, location, same_log, same_state, serving_unit, wait_until_converged,
};

#[tokio::test(flavor = "multi_thread")]
async fn changes_continue_without_the_leader_and_its_units_serve_until_it_adopts_them() {
    let three = Three::start().await;
    let primary = three.agents[0].clone();
    let survivors = three.others(&primary);
    execute(&primary, "region set westeurope=3 eastus=1").await;
    wait_until_converged(&three.agents).await;
    three.make_leader(&primary).await;
    let units = primary.units().expect("/proc is readable");

    let killed = Instant::now();
    primary.kill().expect("the agent is killed");
    execute(&survivors[0], "region scale eastus --units 2").await;
    let accepted = killed.elapsed();
    println!("the next change was accepted {accepted:?} after the leader was killed");
    assert!(accepted < Duration::from_secs(5), "{accepted:?}");
    until_ok("the survivors to converge", async || {
        ensure!(survivors[0].units()?.len() == 2, "not two units yet");
        same_state(&survivors[0], &survivors).await
    })
    .await;
    assert_eq!(primary.units().expect("/proc is readable"), units);
    assert!(
        units.contains(&serving_unit(&primary).await.expect("the units of the killed agent serve"))
    );
    until_ok("the region of the killed agent to be reported unmanaged", async || {
        let row = location(&survivors[1], "westeurope").await.context("no such location")?;
        ensure!(row["status"] == "unmanaged", "{row}");
        ensure!((&row["readyUnits"], &row["unknownUnits"]) == (&0.into(), &3.into()), "{row}");
        Ok(())
    })
    .await;
    let rows = execute(&survivors[1], "unit list").await;
    let rows: Vec<_> = rows.as_array().into_iter().flatten().collect();
    let unknown = rows.iter().filter(|unit| unit["state"] == "unknown");
    let unknown = unknown.filter(|unit| unit["unknownFor"]["ms"].as_u64().is_some());
    assert_eq!(unknown.count(), 3, "{rows:#?}");
    let checked = survivors[1].run(&["status", "--check"]).await.expect("the command runs");
    assert_eq!(checked.code, Some(10), "{checked:?}");
    let worst = &checked.json().expect("is JSON")["warnings"][0];
    assert_eq!(worst["subject"], "agents/westeurope", "{checked:?}");

    let line = three.dev.restart_command(&primary.name).await;
    let _shell = Dev::run_in_shell(&line).expect("a shell");
    wait_until_converged(&three.agents).await;
    assert_eq!(primary.units().expect("/proc is readable"), units);
    same_log(&three.agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_while_it_starts_and_stops_units_has_no_surplus_units_afterwards() {
    let three = Three::start().await;
    let agent = three.agents[1].clone();
    let contacted = &three.agents[0];
    for (round, units) in [3, 1, 5, 2, 6, 1, 4, 3].into_iter().enumerate() {
        let before = agent.units().expect("/proc is readable");
        execute(contacted, &format!("region set eastus={units}")).await;
        if round % 4 < 3 {
            // Kill the agent when a unit was started or has ended but this is not recorded yet.
            // There is no such moment if the agent was killed before it had more units than are
            // desired now.
            until("the first unit to start or end", async || {
                let now = agent.units().expect("/proc is readable");
                (now != before || now.len() == units).then_some(())
            })
            .await;
        } else {
            tokio::time::sleep(random_delay()).await;
        }
        agent.kill().expect("the agent is killed");
        agent.start().expect("the agent starts");
    }
    wait_until_converged(&three.agents).await;
    assert_eq!(agent.units().expect("/proc is readable").len(), 3);
    let log = same_log(&three.agents).await;
    let failed = events(&log).iter().filter(|event| event["type"] == "UnitFailed").count();
    assert_eq!(failed, 0, "an adopted unit has not failed: {log}");
}

/// Returns a delay within the time that starting a few units takes.
fn random_delay() -> Duration {
    let [byte, ..] = uuid::Uuid::new_v4().into_bytes();
    Duration::from_millis(u64::from(byte))
}
