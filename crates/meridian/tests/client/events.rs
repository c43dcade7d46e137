//! Reading the log through agents that come and go.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::{Code, Status};

use crate::fake::{Agent, frame, status};
use crate::run::{Run, meridian, run};

fn revisions(out: &str) -> Vec<u64> {
    let events = out.lines().map(|line| serde_json::from_str(line).expect("is JSON"));
    events.map(|event: serde_json::Value| event["revision"].as_u64().expect("is there")).collect()
}

fn going() -> Option<Status> {
    Some(status(Code::Unavailable, "SHUTTING_DOWN", "this agent is going"))
}

#[tokio::test]
async fn the_log_is_read_to_the_present_through_another_agent_without_a_gap_or_a_repeat() {
    let first = Agent::start([]).await.with_streams([(vec![frame(1..=3, false)], going())]);
    // Frames may begin before what was asked for; what was printed is not printed again.
    let rest = vec![frame(3..=5, false), frame(6..=6, false), frame([], true), frame(7..=7, false)];
    let second = Agent::start([]).await.with_streams([(rest, None)]);
    let endpoints = [first.endpoint.clone(), second.endpoint.clone()];
    let run = run(&endpoints, &["events", "-o", "json"]).await;
    run.exits(0);
    assert_eq!(revisions(&run.out), [1, 2, 3, 4, 5, 6]);
    assert_eq!((first.watched_from(), second.watched_from()), (vec![1], vec![4]));
}

#[tokio::test]
async fn an_agent_that_leaves_out_an_event_is_left_for_another() {
    let first = Agent::start([]).await.with_streams([(vec![frame([1, 3], true)], None)]);
    let second = Agent::start([]).await.with_streams([(vec![frame(2..=3, true)], None)]);
    let run = run(&[first.endpoint, second.endpoint.clone()], &["events", "-ojson"]).await;
    run.exits(0);
    assert_eq!(revisions(&run.out), [1, 2, 3]);
    assert_eq!(second.watched_from(), [2]);
}

#[tokio::test]
async fn following_goes_on_at_the_right_revision() {
    let streams = [
        (vec![frame([], true), frame(5..=6, false)], going()),
        (vec![frame(7..=7, false)], None),
        (vec![frame(8..=8, false)], None),
    ];
    let agent = Agent::start([]).await.with_streams(streams);
    let line = ["events", "--follow", "--from", "5", "-o", "json"];
    let mut following = meridian(&agent.endpoints(), &line)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(following.stdout.take().expect("is piped")).lines();
    let mut out = String::new();
    while revisions(&out).last() != Some(&8) {
        out += &lines.next_line().await.expect("can be read").expect("goes on");
        out.push('\n');
    }
    assert_eq!(revisions(&out), [5, 6, 7, 8]);
    assert_eq!(agent.watched_from()[..3], [5, 7, 8]);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    let frames = (0..200).map(|n| frame(n * 250 + 1..=(n + 1) * 250, false)).collect();
    let agent = Agent::start([]).await.with_streams([(frames, None)]);
    let mut reading = meridian(&agent.endpoints(), &["events", "-ojson"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(reading.stdout.take().expect("is piped")).lines();
    lines.next_line().await.expect("can be read");
    drop(lines);
    let ended = Run::from(reading.wait_with_output().await.expect("ends"));
    ended.exits(0);
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn events_that_were_trimmed_are_refused() {
    let trimmed = status(Code::OutOfRange, "TRIMMED", "revision 1 was trimmed");
    let agent = Agent::start([]).await.with_streams([(vec![], Some(trimmed))]);
    run(&agent.endpoints(), &["events"]).await.exits(1);
}

#[tokio::test]
async fn a_log_that_nobody_can_show_is_exit_code_4() {
    let agent = Agent::start([]).await;
    run(&agent.endpoints(), &["events", "--follow", "--timeout=1s"]).await.exits(4);
}
