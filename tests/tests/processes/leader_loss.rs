//! The agent that leads, in the primary region, dies by SIGKILL.

use std::time::{Duration, Instant};

use anyhow::ensure;
use meridian_testkit::process::Dev;
use meridian_testkit::wait::{until, until_ok};

use crate::support::{Three, answering, done, events, location, same_log, same_state, settled};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_leader_changes_go_on_and_its_units_serve_until_it_adopts_them() {
    let three = Three::start().await;
    let primary = three.agents[0].clone();
    let survivors = three.others(&primary);
    done(&primary, "region set westeurope=3 eastus=1").await;
    settled(&three.agents).await;
    three.enthrone(&primary).await;
    let units = primary.units().expect("can be listed");

    let killed = Instant::now();
    primary.kill().expect("dies");
    done(&survivors[0], "region scale eastus --units 2").await;
    let accepted = killed.elapsed();
    println!("the next change was accepted {accepted:?} after the leader was killed");
    assert!(accepted < Duration::from_secs(5), "{accepted:?}");
    until_ok("the survivors to converge", async || {
        ensure!(survivors[0].units()?.len() == 2, "two units are wanted");
        same_state(&survivors[0], &survivors).await
    })
    .await;
    assert_eq!(primary.units().expect("can be listed"), units);
    assert!(units.contains(&answering(&primary).await.expect("the dead region serves")));
    until_ok("the dead agent to be missed", async || {
        let row = location(&survivors[1], "westeurope").await;
        ensure!(row.is_some_and(|row| row["status"] == "agentUnreachable"));
        Ok(())
    })
    .await;

    let line = three.dev.line_of(&primary.name).await;
    let _shell = Dev::type_in(&line).expect("a shell");
    settled(&three.agents).await;
    assert_eq!(primary.units().expect("can be listed"), units);
    same_log(&three.agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_killed_while_it_starts_and_stops_units_has_none_too_many_afterwards() {
    let three = Three::start().await;
    let agent = three.agents[1].clone();
    let asked = &three.agents[0];
    for (round, units) in [3, 1, 5, 2, 6, 1, 4, 3].into_iter().enumerate() {
        let before = agent.units().expect("can be listed");
        done(asked, &format!("region set eastus={units}")).await;
        if round % 4 < 3 {
            // The moment in which a unit runs, or has ended, and nobody wrote that down yet. There is
            // none where the agent was killed before it had more than it is to have now.
            until("the first unit to come or go", async || {
                let now = agent.units().expect("can be listed");
                (now != before || now.len() == units).then_some(())
            })
            .await;
        } else {
            tokio::time::sleep(random_moment()).await;
        }
        agent.kill().expect("dies");
        agent.start().expect("starts");
    }
    settled(&three.agents).await;
    assert_eq!(agent.units().expect("can be listed").len(), 3);
    let log = same_log(&three.agents).await;
    let failed = events(&log).iter().filter(|event| event["type"] == "UnitFailed").count();
    assert_eq!(failed, 0, "an adopted unit has not failed: {log}");
}

/// Somewhere in the time that starting a few units takes.
fn random_moment() -> Duration {
    let [byte, ..] = uuid::Uuid::new_v4().into_bytes();
    Duration::from_millis(u64::from(byte))
}
