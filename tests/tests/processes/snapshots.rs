//! A follower misses more than the others keep.

use std::path::Path;

use anyhow::ensure;
use meridian_testkit::process::{Agent, Process, get, port};
use meridian_testkit::wait::until_ok;
use tonic::Request;

use crate::support::{Three, client, events, log_of, request_id, same_log, scaling};

/// Changes that the follower misses.
const MISSED: u32 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_cut_off_past_a_purge_gets_a_snapshot_and_no_watch_on_it_misses_anything() {
    let three = Three::start().await;
    let leader = three.leader().await;
    let others = three.others(&leader);
    let [follower, other] = &others[..] else { panic!("there are two") };
    let path = |name: &str| three.sandbox.path().join(name);
    let _early = follower.follow(&["events", "--follow"], &path("early")).expect("runs");
    shown(&path("early"), &same_log(&three.agents).await).await;

    follower.kill().expect("dies");
    change_and_purge(&[&leader, other]).await;
    follower.start().expect("starts");
    installed(follower, 1).await;
    let log = same_log(&three.agents).await;

    // Again, and now a watch is open while the snapshot is installed: it has shown all that the
    // follower had before those who have the rest are heard.
    follower.kill().expect("dies");
    change_and_purge(&[&leader, other]).await;
    let frozen = [&leader, other].map(|agent| agent.process().expect("is found").expect("runs"));
    frozen.iter().for_each(Process::freeze);
    follower.start().expect("starts");
    until_ok("the follower to answer", async || log_of(follower).await).await;
    let stale = ["events", "--follow", "--stale"];
    let _late = follower.follow(&stale, &path("late")).expect("runs");
    shown(&path("late"), &log).await;
    frozen.iter().for_each(Process::thaw);
    installed(follower, 2).await;

    let log = same_log(&three.agents).await;
    for watch in ["early", "late"] {
        shown(&path(watch), &log).await;
    }
    let revisions = events(&log).into_iter().map(|event| event["revision"].as_u64());
    assert!(revisions.eq((1..=log.lines().count() as u64).map(Some)));
}

/// Returns once a watch has shown this log, and nothing else.
async fn shown(path: &Path, log: &str) {
    until_ok("a watch to show the whole log", async || {
        let seen = std::fs::read_to_string(path)?;
        ensure!(seen == log, "{} of {} lines", seen.lines().count(), log.lines().count());
        Ok(())
    })
    .await;
}

/// Makes changes that start no unit, and has each of these agents forget the log entries of them.
async fn change_and_purge(agents: &[&Agent]) {
    let asked = client(agents[0]);
    for turn in 0..MISSED {
        let message = scaling(&request_id(), "japaneast", 1 + turn % 12);
        until_ok("a change", async || {
            Ok(asked.clone().change_service(Request::new(message.clone())).await?)
        })
        .await;
    }
    for agent in agents {
        until_ok("a snapshot", async || agent.json(&["cluster", "snapshot"]).await).await;
        log_of(agent).await.expect("the events stay");
    }
}

/// Returns once the agent has been sent this many snapshots, and says that it is ready after it.
async fn installed(agent: &Agent, snapshots: usize) {
    until_ok("a snapshot to be installed", async || {
        let sent = agent.log().matches("receiving a snapshot").count();
        ensure!(sent == snapshots, "{sent} were sent");
        let ready = get((agent.address(), port::HTTP).into(), "/readyz").await?;
        ensure!(ready.status == 200, "{ready:?}");
        Ok(())
    })
    .await;
}
