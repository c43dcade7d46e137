//! `--wait`, and results that cannot be printed.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use meridian_proto::v1::LocationStatus;

use crate::fake::{Agent, Reply, location};
use crate::run::{broken_outputs, meridian, run, run_with_stdout};

const ADD: [&str; 5] = ["region", "add", "eastus", "--wait", "--wait-timeout=1s"];

#[tokio::test]
async fn waiting_ends_when_the_units_are_ready() {
    let converging = location("eastus", LocationStatus::Converging, 1, 2);
    let ready = location("eastus", LocationStatus::Ready, 2, 2);
    let agent = Agent::start([Reply::Done]).await.with_locations([converging, ready]);
    let run = run(&agent.endpoints(), &ADD).await;
    run.exits(0);
    let last = run.err.lines().last().expect("reports the end");
    assert!(last.starts_with("converged in ") && last.ends_with(" ms"), "{run:?}");
}

#[tokio::test]
async fn a_change_that_does_not_converge_in_time_is_exit_code_6() {
    let converging = location("eastus", LocationStatus::Converging, 1, 2);
    let agent = Agent::start([Reply::Done]).await.with_locations([converging]);
    let run = run(&agent.endpoints(), &ADD).await;
    run.exits(6);
    assert!(run.err.contains("the change was accepted; not converged after 1.0 s"), "{run:?}");
    assert!(run.err.contains("eastus: 1 of 2 units ready"), "{run:?}");
    assert!(run.err.contains(&format!("--request-id {}", agent.request_ids()[0])), "{run:?}");
}

#[tokio::test]
async fn waiting_ignores_the_regions_that_the_change_did_not_touch() {
    let ready = location("eastus", LocationStatus::Ready, 2, 2);
    let broken = location("westus", LocationStatus::Converging, 0, 2);
    for (line, code) in [
        (&ADD[..], 0),
        (&["region", "set", "eastus=2", "--wait", "--wait-timeout=1s"], 0),
        (&["unit", "roll", "--region", "eastus", "--wait", "--wait-timeout=1s"], 0),
        (&["service", "update", "contoso", "--tier=premium", "--wait", "--wait-timeout=1s"], 0),
        (&["service", "update", "contoso", "--port=8081", "--wait", "--wait-timeout=1s"], 6),
        (&["region", "set", "eastus=2", "westus=1", "--wait", "--wait-timeout=1s"], 6),
    ] {
        let agent = Agent::start([Reply::Done]).await.with_locations([ready.clone()]);
        let agent = agent.with_other_locations([broken.clone()]);
        run(&agent.endpoints(), line).await.exits(code);
    }
}

#[tokio::test]
async fn what_cannot_converge_by_itself_is_reported_before_the_timeout() {
    for (status, text) in [
        (LocationStatus::NoAgent, "eastus cannot converge: no agent in the region"),
        (LocationStatus::AgentUnreachable, "eastus cannot converge: its agent is unreachable"),
    ] {
        let agent = Agent::start([Reply::Done]).await;
        let agent = agent.with_locations([location("eastus", status, 0, 2)]);
        let run = run(&agent.endpoints(), &ADD).await;
        run.exits(6);
        let note = run.err.find(&format!("note: {text}")).expect("is reported");
        assert!(note < run.err.find("error:").expect("fails"), "{run:?}");
        assert_eq!(run.err.matches(text).count(), 1, "{run:?}");
    }
}

#[tokio::test]
async fn what_cannot_converge_by_itself_is_reported_at_once() {
    let states = [
        location("eastus", LocationStatus::NoAgent, 0, 2),
        location("eastus", LocationStatus::Converging, 1, 2),
        location("eastus", LocationStatus::Ready, 2, 2),
    ];
    let agent = Agent::start([Reply::Done]).await.with_locations(states);
    let run = run(&agent.endpoints(), &ADD).await;
    run.exits(0);
    let note = run.err.find("note: eastus cannot converge").expect("is reported");
    assert!(note < run.err.find("converged in").expect("ends"), "{run:?}");
    assert!(!run.err.contains('\u{1b}'), "no control characters without a terminal: {run:?}");
}

#[tokio::test]
async fn every_change_of_a_service_can_be_waited_for() {
    for line in [
        &["service", "create", "contoso", "--primary", "eastus", "--wait"][..],
        &["service", "delete", "contoso", "--yes", "--wait"],
        &["api", "publish", "orders", "--path=/", "--backend=http://a", "--wait"],
    ] {
        let ready = location("eastus", LocationStatus::Ready, 2, 2);
        let agent = Agent::start([Reply::Done]).await.with_locations([ready]);
        let run = run(&agent.endpoints(), line).await;
        run.exits(0);
        assert!(run.err.lines().last().is_some_and(|last| last.starts_with("converged in ")));
    }
}

#[tokio::test]
async fn a_wait_whose_service_disappears_is_exit_code_6() {
    let agent = Agent::start([Reply::Done]).await.with_locations([]);
    let gone = tonic::Status::not_found("there is no service contoso");
    agent.fail_lists(gone);
    let run = run(&agent.endpoints(), &[&ADD[..], &["--service=contoso"]].concat()).await;
    run.exits(6);
    assert!(run.err.contains("there is no service contoso"), "{run:?}");
}

#[tokio::test]
async fn an_acknowledged_change_succeeds_if_its_result_cannot_be_printed() {
    let ready = || location("eastus", LocationStatus::Ready, 2, 2);
    let agent = Agent::start([Reply::Done]).await.with_locations([ready()]);
    let [full, closed] = broken_outputs();
    let run = run_with_stdout(&agent.endpoints(), &ADD, full).await;
    run.exits(0);
    assert!(run.err.contains("the change was accepted, but its result was not printed"), "{run:?}");
    assert!(run.err.contains("converged in "), "{run:?}");
    let run = run_with_stdout(&agent.endpoints(), &ADD, closed).await;
    run.exits(0);
    assert!(run.err.contains("converged in "), "it waits: {run:?}");
    for stdout in broken_outputs() {
        let line = ["cluster", "transfer-leader", "--yes"];
        run_with_stdout(&agent.endpoints(), &line, stdout).await.exits(0);
    }
}

#[tokio::test]
async fn a_standard_error_that_cannot_be_written_changes_no_exit_code() {
    let converging = location("eastus", LocationStatus::Converging, 1, 2);
    for (state, code) in [(location("eastus", LocationStatus::Ready, 2, 2), 0), (converging, 6)] {
        let agent = Agent::start([Reply::Done]).await.with_locations([state]);
        let full = File::options().write(true).open("/dev/full").expect("exists");
        let mut command = meridian(&agent.endpoints(), &ADD);
        let status = command.stdout(Stdio::null()).stderr(full).status().await.expect("runs");
        assert_eq!(status.code(), Some(code));
    }
}

#[tokio::test]
async fn a_change_without_wait_returns_immediately() {
    let broken = location("eastus", LocationStatus::NoAgent, 0, 2);
    let agent = Agent::start([Reply::Done]).await.with_locations([broken]);
    let started = Instant::now();
    run(&agent.endpoints(), &["region", "add", "eastus"]).await.exits(0);
    assert!(started.elapsed() < Duration::from_secs(10));
}
