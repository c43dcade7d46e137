//! Regions are changed at any agent, and processes follow everywhere.

use meridian_testkit::process::Process;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, answering, done, location, settled};

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_takes_every_change_and_units_and_gateways_follow_in_every_region() {
    let three = Three::start().await;
    for asked in &three.agents {
        done(asked, "region add eastus --units 2").await;
        settled(&three.agents).await;
        done(asked, "region scale eastus --units 3").await;
        settled(&three.agents).await;
        done(asked, "region set westeurope=2 eastus=1 southeastasia=2").await;
        done(asked, "region promote eastus").await;
        settled(&three.agents).await;
        let promoted = location(asked, "eastus").await.expect("is there");
        assert_eq!(promoted["primary"], true, "{promoted}");
        done(asked, "region promote westeurope").await;
        done(asked, "region set westeurope=1 -southeastasia --yes").await;
        done(asked, "region remove eastus --yes").await;
        settled(&three.agents).await;
        assert_eq!(location(asked, "eastus").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_dies_is_replaced_and_its_gateway_answers_meanwhile() {
    let three = Three::start().await;
    let agent = &three.agents[0];
    done(agent, "region scale westeurope --units 2 --wait").await;
    let before = agent.units().expect("can be listed");
    let killed = before[0].pid;
    let processes = Process::all_within(agent.home()).expect("can be listed").into_iter();
    let process = processes.into_iter().find(|process| process.pid() == killed);
    process.expect("runs").kill().expect("dies");
    for _ in 0..20 {
        let unit = answering(agent).await.expect("the other unit answers");
        assert_ne!(unit.pid, killed);
    }
    until_ok("the unit to be replaced", async || {
        let units = agent.units()?;
        anyhow::ensure!(units.len() == 2 && units.iter().all(|unit| unit.pid != killed));
        Ok(())
    })
    .await;
    settled(&three.agents).await;
}
