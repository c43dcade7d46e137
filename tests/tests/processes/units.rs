//! Units that stop serving without exiting, and units that move.

use anyhow::ensure;
use meridian_testkit::process::UnitProcess;
use meridian_testkit::wait::until_ok;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{GATEWAY, Three, execute, location, serving_unit, wait_until_converged};

/// Sends a signal to a unit.
fn send(unit: &UnitProcess, signal: Signal) {
    let pid = unit.pid.try_into().ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, signal).expect("the unit runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_unit_is_replaced_and_its_region_serves_again() {
    let three = Three::start().await;
    let agent = &three.agents[0];
    let hung = serving_unit(agent).await.expect("the unit serves");
    send(&hung, Signal::STOP);
    until_ok("another process to serve", async || {
        let unit = serving_unit(agent).await?;
        ensure!(unit.pid != hung.pid, "{unit:?} serves still");
        Ok(())
    })
    .await;
    wait_until_converged(&three.agents).await;
}

/// The unit drains for as long as a client keeps its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_something_else_stops_is_replaced_while_it_drains() {
    let three = Three::start().await;
    let agent = &three.agents[0];
    let first = serving_unit(agent).await.expect("the unit serves");
    let gateway = std::net::SocketAddr::new(agent.address(), GATEWAY);
    let connection = std::net::TcpStream::connect(gateway).expect("the gateway accepts");
    // It counts as one that has served for a while.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    send(&first, Signal::TERM);
    until_ok("another unit to serve while the first one drains", async || {
        let unit = serving_unit(agent).await?;
        ensure!(unit.incarnation > first.incarnation, "{unit:?} serves still");
        ensure!(agent.units()?.contains(&first), "the first unit has exited before");
        Ok(())
    })
    .await;
    drop(connection);
    wait_until_converged(&three.agents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_gateway_address_moves_the_units_while_they_serve() {
    let three = Three::start().await;
    let agent = &three.agents[1];
    execute(agent, "region set eastus=1").await;
    wait_until_converged(&three.agents).await;
    let before = serving_unit(agent).await.expect("the unit serves");
    // The same agent, with other addresses.
    let moved = three.sandbox.agent(9, &agent.name);
    let (old, new) = (agent.address().to_string(), moved.address().to_string());
    let config = std::fs::read_to_string(agent.config()).expect("the file is readable");
    let lines = config.lines().map(|line| match line.starts_with("gateway_") {
        true => line.replace(&old, &new),
        false => line.to_owned(),
    });
    let changed = lines.collect::<Vec<_>>().join("\n");
    assert_ne!(changed, config.trim_end(), "an address is configured");
    std::fs::write(agent.config(), changed).expect("the file is written");
    agent.stop().await.expect("the agent stops");
    agent.start().expect("the agent starts");
    until_ok("the unit to serve at the new address only", async || {
        let unit = serving_unit(&moved).await?;
        ensure!(unit.incarnation > before.incarnation, "{unit:?} has not moved");
        ensure!(serving_unit(agent).await.is_err(), "the old address is still served");
        let location = location(agent, "eastus").await;
        let shown = location.as_ref().map(ToString::to_string).unwrap_or_default();
        ensure!(shown.contains(&new) && shown.contains("\"ready\""), "{shown}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_gets_a_port_only_once_the_units_of_another_one_have_left_it() {
    let three = Three::start().await;
    let agent = &three.agents[0];
    let held = std::net::TcpListener::bind((agent.address(), 9_100)).expect("a free port");
    execute(agent, "service update contoso --port 9100").await;
    let create = ["service", "create", "fabrikam", "--primary", "westeurope", "--port", "8080"];
    let refused = agent.run(&create).await.expect("the command runs");
    assert!(refused.code != Some(0), "{refused:?}");
    assert!(refused.stderr.contains("still used by units of contoso"), "{refused:?}");
    let unit = serving_unit(agent).await.expect("the unit serves on its old port");
    assert_eq!(unit.service, "contoso");
    let location = location(agent, "westeurope").await.expect("the region is listed");
    assert!(location.to_string().contains(":8080"), "where it serves: {location}");
    drop(held);
    until_ok("the port to be free", async || {
        let created = agent.run(&create).await?;
        ensure!(created.code == Some(0), "{created:?}");
        Ok(())
    })
    .await;
    until_ok("the other service to serve", async || {
        let unit = serving_unit(agent).await?;
        ensure!(unit.service == "fabrikam", "{unit:?}");
        Ok(())
    })
    .await;
}
