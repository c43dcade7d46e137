//! A follower lacks log entries that the others have purged.

use std::path::Path;

use anyhow::ensure;
use meridian_testkit::process::{Agent, Process, get, port};
use meridian_testkit::wait::until_ok;
use tonic::Request;

use crate::support::{Three, client, events, log_of, request_id, same_log, scaling};

/// Number of changes that the follower misses.
const MISSED: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_down_past_a_purge_installs_a_snapshot_and_its_watches_miss_no_event() {
    let three = Three::start().await;
    let leader = three.leader().await;
    let others = three.others(&leader);
    let [follower, other] = &others[..] else { panic!("two agents") };
    let path = |name: &str| three.sandbox.path().join(name);
    let _early =
        follower.follow(&["events", "--follow"], &path("early")).expect("the command runs");
    wait_for_watch(&path("early"), &same_log(&three.agents).await).await;

    follower.kill().expect("the agent is killed");
    change_and_purge(&[&leader, other]).await;
    follower.start().expect("the agent starts");
    wait_for_snapshot(follower, 0).await;
    let received = snapshots_received(follower);
    let log = same_log(&three.agents).await;

    // Repeat with a watch that is open while the snapshot is installed. The watch has delivered all
    // events of the follower before the follower hears from the agents that have the rest.
    follower.kill().expect("the agent is killed");
    change_and_purge(&[&leader, other]).await;
    let frozen = [&leader, other]
        .map(|agent| agent.process().expect("/proc is readable").expect("the agent is running"));
    frozen.iter().for_each(Process::freeze);
    follower.start().expect("the agent starts");
    until_ok("the follower to respond", async || log_of(follower).await).await;
    let stale = ["events", "--follow", "--stale"];
    let _late = follower.follow(&stale, &path("late")).expect("the command runs");
    wait_for_watch(&path("late"), &log).await;
    frozen.iter().for_each(Process::thaw);
    wait_for_snapshot(follower, received).await;

    let log = same_log(&three.agents).await;
    for watch in ["early", "late"] {
        wait_for_watch(&path(watch), &log).await;
    }
    let revisions = events(&log).into_iter().map(|event| event["revision"].as_u64());
    assert!(revisions.eq((1..=log.lines().count() as u64).map(Some)));
}

/// Waits until a watch has printed exactly this log.
async fn wait_for_watch(path: &Path, log: &str) {
    until_ok("a watch to print the whole log", async || {
        let seen = std::fs::read_to_string(path)?;
        ensure!(seen == log, "{} of {} lines", seen.lines().count(), log.lines().count());
        Ok(())
    })
    .await;
}

/// Makes changes that start no unit, and lets these agents purge the log entries of the changes.
async fn change_and_purge(agents: &[&Agent]) {
    let contacted = client(agents[0]);
    for turn in 0..MISSED {
        let message = scaling(&request_id(), "japaneast", 1 + turn % 12);
        until_ok("a change", async || {
            Ok(contacted.clone().change_service(Request::new(message.clone())).await?)
        })
        .await;
    }
    for agent in agents {
        until_ok("a snapshot", async || agent.json(&["cluster", "snapshot"]).await).await;
        log_of(agent).await.expect("the events are kept");
    }
}

/// Number of snapshots that the agent has started to receive. A slow transfer starts again.
fn snapshots_received(agent: &Agent) -> usize {
    agent.log().matches("receiving a snapshot").count()
}

/// Waits until the agent has received more than this many snapshots and is ready.
async fn wait_for_snapshot(agent: &Agent, before: usize) {
    until_ok("a snapshot to be installed", async || {
        let received = snapshots_received(agent);
        ensure!(received > before, "{received} snapshots received");
        let ready = get((agent.address(), port::HTTP).into(), "/readyz").await?;
        ensure!(ready.status == 200, "{ready:?}");
        Ok(())
    })
    .await;
}
