//! `meridian events`, with agents that fail, and with filters.

use std::process::Stdio;

use meridian_proto::v1;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::{Code, Status};

use crate::fake::{Agent, event_of, frame, status};
use crate::run::{Run, meridian, run};

fn revisions(out: &str) -> Vec<u64> {
    let events = out.lines().map(|line| serde_json::from_str(line).expect("is JSON"));
    events.map(|event: serde_json::Value| event["revision"].as_u64().expect("is there")).collect()
}

fn shutting_down() -> Option<Status> {
    Some(status(Code::Unavailable, "SHUTTING_DOWN", "this agent is shutting down"))
}

#[tokio::test]
async fn the_log_continues_from_another_agent_without_gaps_or_duplicates() {
    let first = Agent::start([]).await.with_streams([(vec![frame(1..=3, false)], shutting_down())]);
    // Frames may start before the requested revision; no event is printed twice.
    let rest = vec![frame(3..=5, false), frame(6..=6, false), frame([], true), frame(7..=7, false)];
    let second = Agent::start([]).await.with_streams([(rest, None)]);
    let endpoints = [first.endpoint.clone(), second.endpoint.clone()];
    let run = run(&endpoints, &["events", "-o", "json"]).await;
    run.exits(0);
    assert_eq!(revisions(&run.out), [1, 2, 3, 4, 5, 6]);
    assert_eq!((first.watched_from(), second.watched_from()), (vec![0], vec![4]));
}

#[tokio::test]
async fn an_agent_that_omits_an_event_is_abandoned() {
    let first = Agent::start([]).await.with_streams([(vec![frame([1, 3], true)], None)]);
    let second = Agent::start([]).await.with_streams([(vec![frame(2..=3, true)], None)]);
    let run = run(&[first.endpoint, second.endpoint.clone()], &["events", "-ojson"]).await;
    run.exits(0);
    assert_eq!(revisions(&run.out), [1, 2, 3]);
    assert_eq!(second.watched_from(), [2]);
}

#[tokio::test]
async fn following_continues_at_the_next_revision() {
    let streams = [
        (vec![frame([], true), frame(5..=6, false)], shutting_down()),
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
        out += &lines.next_line().await.expect("can be read").expect("continues");
        out.push('\n');
    }
    assert_eq!(revisions(&out), [5, 6, 7, 8]);
    assert_eq!(agent.watched_from()[..3], [5, 7, 8]);
}

#[tokio::test]
async fn a_closed_pipe_is_not_a_failure() {
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
async fn trimmed_events_are_refused() {
    let trimmed = status(Code::OutOfRange, "TRIMMED", "revision 1 was trimmed");
    let agent = Agent::start([]).await.with_streams([(vec![], Some(trimmed))]);
    run(&agent.endpoints(), &["events"]).await.exits(1);
}

#[tokio::test]
async fn a_log_that_no_agent_serves_is_exit_code_4() {
    let agent = Agent::start([]).await;
    run(&agent.endpoints(), &["events", "--follow", "--timeout=1s"]).await.exits(4);
}

/// An agent with events of two services, one of them old.
async fn with_log() -> Agent {
    let scaled = |revision, service: &str, age: i64| {
        let data = json!({"service": service, "region": "eastus", "units": 3});
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = now.expect("is after 1970").as_secs().cast_signed() - age;
        let time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::Event { time, ..event_of(revision, "UnitsScaled", data) }
    };
    let unit = json!({"service": "contoso", "region": "eastus", "slot": 1});
    let data = json!({"unit": unit, "incarnation": 2, "pid": 7, "configuration": 1});
    let ready = event_of(3, "UnitReady", data);
    let events = vec![scaled(1, "contoso", 7_000), scaled(2, "fabrikam", 5), ready];
    let events = v1::WatchResponse { events, ..Default::default() };
    let caught_up = frame([], true);
    Agent::start([]).await.with_streams(vec![(vec![events, caught_up], None); 1])
}

#[tokio::test]
async fn events_are_sentences_with_their_age() {
    let agent = with_log().await;
    let run = run(&agent.endpoints(), &["events"]).await;
    run.exits(0);
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!(lines[0], "     1  116 min ago  ada@host scaled contoso in eastus to 3 units");
    assert!(lines[1].contains(" s ago  ada@host scaled fabrikam in eastus"), "{run:?}");
    assert!(lines[2].ends_with("ada@host reported unit contoso/eastus/1 ready"), "{run:?}");
}

#[tokio::test]
async fn events_are_selected_by_age_service_type_and_number() {
    for (options, expected) in [
        (&["--limit", "2"][..], &[2, 3][..]),
        (&["-n1", "--service", "fabrikam"], &[2]),
        (&["--service", "contoso"], &[1, 3]),
        (&["--type", "unitready"], &[3]),
        (&["--type", "UnitReady,UnitsScaled", "--limit=5"], &[1, 2, 3]),
        (&["--since", "10m", "--type", "UnitsScaled"], &[2]),
        (&["--since", "2000-01-01T00:00:00Z", "--limit", "1"], &[3]),
        (&["--service", "nosuch"], &[]),
    ] {
        let agent = with_log().await;
        let run = run(&agent.endpoints(), &[&["events", "-ojson"], options].concat()).await;
        run.exits(0);
        assert_eq!(revisions(&run.out), expected, "{options:?}");
    }
}

#[tokio::test]
async fn events_in_a_file_or_pipe_are_not_truncated() {
    let cause = "exit code 1, ".repeat(10);
    let unit = json!({"service": "contoso", "region": "eastus", "slot": 1});
    let data = json!({"unit": unit, "incarnation": 7, "restarts": 1, "cause": cause});
    let failed = event_of(1, "UnitFailed", data);
    let frame = v1::WatchResponse { events: vec![failed], caught_up: true, ..frame([], true) };
    let agent = Agent::start([]).await.with_streams([(vec![frame], None)]);
    let run = run(&agent.endpoints(), &["events"]).await;
    run.exits(0);
    assert!(
        run.out.contains("exit code 1, exit code 1, exit code 1, exit code 1, exit"),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_selection_without_events_is_reported() {
    let agent = with_log().await;
    let run = run(&agent.endpoints(), &["events", "--service", "nosuch"]).await;
    run.exits(0);
    assert_eq!((run.out.as_str(), run.err.as_str()), ("", "no event matches\n"));
}
