//! Changes of regions through any agent, and the resulting processes.

use std::time::Duration;

use meridian_testkit::process::Process;
use meridian_testkit::wait::until_ok;

use crate::support::{Three, execute, location, serving_unit, wait_until_converged};

#[tokio::test(flavor = "multi_thread")]
async fn every_agent_accepts_every_change_and_all_regions_converge() {
    let three = Three::start().await;
    for contacted in &three.agents {
        execute(contacted, "region add eastus --units 2").await;
        wait_until_converged(&three.agents).await;
        execute(contacted, "region scale eastus --units 3").await;
        wait_until_converged(&three.agents).await;
        execute(contacted, "region set westeurope=2 eastus=1 southeastasia=2").await;
        execute(contacted, "region promote eastus").await;
        wait_until_converged(&three.agents).await;
        let promoted = location(contacted, "eastus").await.expect("the location exists");
        assert_eq!(promoted["primary"], true, "{promoted}");
        execute(contacted, "region promote westeurope").await;
        execute(contacted, "region set westeurope=1 -southeastasia --yes").await;
        execute(contacted, "region remove eastus --yes").await;
        wait_until_converged(&three.agents).await;
        assert_eq!(location(contacted, "eastus").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_that_resolves_names_notices_that_a_region_is_disabled_or_removed() {
    let three = Three::start().await;
    let contacted = &three.agents[0];
    execute(contacted, "region add eastus --units 2 --wait").await;
    for change in ["region disable eastus --yes --wait", "region remove eastus --yes"] {
        let calls = "call contoso/echo --near eastus --every 100ms --count 150";
        let words: Vec<_> = calls.split_whitespace().collect();
        let calls = contacted.run(&words);
        let changed = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            execute(contacted, change).await;
        };
        let (calls, ()) = tokio::join!(calls, changed);
        let calls = calls.expect("the command runs");
        assert_eq!(calls.code, Some(0), "{change}: {calls:?}");
        let regions = calls.stdout.lines().filter_map(|line| {
            let call: serde_json::Value = serde_json::from_str(line).ok()?;
            call["unit"].as_str()?.split('/').nth(1).map(str::to_owned)
        });
        let mut regions: Vec<_> = regions.collect();
        assert_eq!(regions.len(), 150, "{calls:?}");
        regions.dedup();
        assert_eq!(regions, ["eastus", "westeurope"], "{change}");
        if change.contains("disable") {
            let row = location(contacted, "eastus").await.expect("it is listed");
            assert_eq!((&row["status"], &row["converged"]), (&"disabled".into(), &true.into()));
            execute(contacted, "region enable eastus --wait").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_unit_is_replaced_and_the_gateway_keeps_serving() {
    let three = Three::start().await;
    let agent = &three.agents[0];
    execute(agent, "region scale westeurope --units 2 --wait").await;
    let before = agent.units().expect("/proc is readable");
    let killed = before[0].pid;
    let processes = Process::all_within(agent.home()).expect("/proc is readable").into_iter();
    let process = processes.into_iter().find(|process| process.pid() == killed);
    process.expect("the unit is running").kill().expect("the unit is killed");
    for _ in 0..20 {
        let unit = serving_unit(agent).await.expect("the other unit responds");
        assert_ne!(unit.pid, killed);
    }
    until_ok("the unit to be replaced", async || {
        let units = agent.units()?;
        anyhow::ensure!(units.len() == 2 && units.iter().all(|unit| unit.pid != killed));
        Ok(())
    })
    .await;
    wait_until_converged(&three.agents).await;
}
