use futures::stream;
use meridian_domain::NodeId;
use meridian_storage::raft::Vote;
use tokio::time::{advance, pause, sleep, timeout};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(1);

fn append() -> AppendEntriesRequest<TypeConfig> {
    let vote = Vote::new_committed(1, NodeId(1));
    AppendEntriesRequest { vote, prev_log_id: None, leader_commit: None, entries: Vec::new() }
}

#[tokio::test]
async fn requests_end_as_soon_as_their_responses_are_dropped() {
    let held = Arc::new(());
    let clone = held.clone();
    let input = stream::poll_fn(move |_| {
        let _held = &clone;
        Poll::Pending
    });
    let (mut requests, guard) = requests(input);
    let grpc_task = tokio::spawn(async move { requests.next().await.is_none() });
    tokio::task::yield_now().await;
    drop(guard);
    assert_eq!(Arc::strong_count(&held), 1, "the input of openraft is dropped");
    let ended = timeout(TIMEOUT, grpc_task).await.expect("the task that waits for a request wakes");
    assert!(ended.expect("does not panic"));
}

#[tokio::test]
async fn the_timeout_of_an_append_starts_when_it_is_sent_even_after_an_idle_period() {
    pause();
    let (mut requests, guard) = requests(stream::iter([append(), append()]));
    let started = Instant::now();
    assert_eq!(guard.deadline(TIMEOUT), started + TIMEOUT, "no response is due");
    advance(TIMEOUT * 9 / 10).await;
    let sent = Instant::now();
    requests.next().await.expect("a request");
    sleep(TIMEOUT / 10).await;
    requests.next().await.expect("a request");
    assert_eq!(
        guard.deadline(TIMEOUT),
        sent + TIMEOUT,
        "the oldest request has the first deadline"
    );
    guard.record_response();
    assert_eq!(guard.deadline(TIMEOUT), Instant::now() + TIMEOUT);
    assert_eq!(guard.awaiting_response(), 1);
}
