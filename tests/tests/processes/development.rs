//! `meridian dev` itself.

use anyhow::ensure;
use meridian_testkit::process::{Dev, Sandbox};
use meridian_testkit::wait::{until, until_ok};

use crate::support::{REGIONS, Three, done, location, log_of, settled};

#[tokio::test(flavor = "multi_thread")]
async fn stopping_dev_ends_every_process_and_started_again_it_carries_on() {
    let Three { dev, agents, sandbox } = Three::start().await;
    done(&agents[0], "region set westeurope=2 eastus=2").await;
    settled(&agents).await;
    for agent in &agents {
        assert!(dev.data().contains(&agent.endpoint()), "{}", dev.data());
    }
    agents[1].kill().expect("dies");
    let line = dev.line_of("eastus").await;
    assert!(line.ends_with(&format!("agent --config {}", agents[1].config().display())), "{line}");
    assert!(dev.said().contains("agent eastus (process"), "{}", dev.said());
    assert_eq!(agents[1].units().expect("can be listed").len(), 2, "nothing restarts the agent");
    until("the events to be followed", async || dev.data().contains("UnitReady").then_some(()))
        .await;
    let log = log_of(&agents[0]).await.expect("answers");

    let ended = dev.stop(&sandbox).await.expect("stops");
    assert_eq!(ended.code(), Some(0));
    let left = sandbox.processes().expect("can be listed");
    assert!(left.is_empty(), "{left:?}");

    let dev = Dev::start(&sandbox, &[]).await.expect("starts again");
    settled(&agents).await;
    for (region, units) in REGIONS.iter().zip([Some(2), Some(2), None]) {
        let row = location(&agents[2], region).await;
        assert_eq!(row.and_then(|row| row["units"].as_u64()), units, "{region}");
    }
    assert!(log_of(&agents[0]).await.expect("answers").starts_with(&log));
    let stopped = dev.stop(&sandbox).await.expect("stops");
    assert_eq!(stopped.code(), Some(0));
    assert!(sandbox.processes().expect("can be listed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_region_is_enough() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let dev = Dev::start(&sandbox, &["--regions", "japaneast"]).await.expect("starts");
    let agents = [sandbox.agent(1, "japaneast")];
    settled(&agents).await;
    done(&agents[0], "region scale japaneast --units 2").await;
    settled(&agents).await;
    let status = done(&agents[0], "status").await;
    assert!(status["warnings"].to_string().contains("fewer than 3"), "{status}");
    dev.stop(&sandbox).await.expect("stops");
    let refused = Dev::refused(&sandbox, &["--regions", "eastus"]).await.expect("runs");
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.said.contains("holds a cluster with --regions japaneast"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_regions_have_a_witness_so_that_the_loss_of_one_stops_nothing() {
    let sandbox = Sandbox::new().await.expect("there is a place");
    let _dev = Dev::start(&sandbox, &["--regions", "eastus,japaneast"]).await.expect("starts");
    let agents = [sandbox.agent(1, "eastus"), sandbox.agent(2, "japaneast")];
    let witness = sandbox.agent(3, "witness");
    let all = [agents[0].clone(), agents[1].clone(), witness.clone()];
    done(&agents[0], "region set japaneast=2 westeurope=1").await;
    settled(&all).await;
    let members = done(&agents[0], "cluster members").await;
    let members = members.as_array().expect("are rows");
    assert!(members.iter().all(|member| member["voter"] == true), "{members:?}");
    let witnesses = members.iter().filter(|member| member["witness"] == true);
    assert!(witnesses.map(|member| &member["agent"]).eq(["witness"]), "{members:?}");
    // It lives where a region of the service is, and is given none of its units.
    assert_eq!(witness.units().expect("can be listed"), []);

    agents[0].kill().expect("dies");
    done(&agents[1], "region scale japaneast --units 3").await;
    until_ok("the survivor to converge", async || {
        ensure!(agents[1].units()?.len() == 3);
        Ok(())
    })
    .await;
}
