use futures::stream;
use meridian_domain::NodeId;
use meridian_storage::raft::Vote;
use tokio::time::{advance, pause, sleep, timeout};

use super::*;

const PATIENCE: Duration = Duration::from_secs(1);

fn append() -> AppendEntriesRequest<TypeConfig> {
    let vote = Vote::new_committed(1, NodeId(1));
    AppendEntriesRequest { vote, prev_log_id: None, leader_commit: None, entries: Vec::new() }
}

#[tokio::test]
async fn requests_end_at_once_with_their_answers() {
    let held = Arc::new(());
    let guard = held.clone();
    let input = stream::poll_fn(move |_| {
        let _held = &guard;
        Poll::Pending
    });
    let (mut requests, sending) = requests(input);
    let taker = tokio::spawn(async move { requests.next().await.is_none() });
    tokio::task::yield_now().await;
    drop(sending);
    assert_eq!(Arc::strong_count(&held), 1, "what openraft gave is dropped");
    let ended = timeout(PATIENCE, taker).await.expect("whoever waits for a request is woken");
    assert!(ended.expect("does not panic"));
}

#[tokio::test]
async fn an_append_has_all_its_time_though_none_was_sent_for_long() {
    pause();
    let (mut requests, sending) = requests(stream::iter([append(), append()]));
    let begun = Instant::now();
    assert_eq!(sending.deadline(PATIENCE), begun + PATIENCE, "nothing is due");
    advance(PATIENCE * 9 / 10).await;
    let sent = Instant::now();
    requests.next().await.expect("is taken");
    sleep(PATIENCE / 10).await;
    requests.next().await.expect("is taken");
    assert_eq!(sending.deadline(PATIENCE), sent + PATIENCE, "the oldest one counts");
    sending.answered();
    assert_eq!(sending.deadline(PATIENCE), Instant::now() + PATIENCE);
    assert_eq!(sending.unanswered(), 1);
}
