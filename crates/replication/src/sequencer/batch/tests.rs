use std::time::Duration;

use meridian_domain::{Actor, ClusterId, Command, Digest, RequestId};
use uuid::Uuid;

use super::*;

/// Time of the tests.
const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn request(time: Timestamp, number: u128) -> RequestId {
    let bits = u128::from(time.0) << 80 | 0x7000_8000_0000_0000_0000 | number;
    RequestId::try_from(Uuid::from_u128(bits)).expect("a version 7 UUID")
}

fn after(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000)
}

fn pending(command: Command) -> (PendingCommand, oneshot::Receiver<Reply>) {
    requested(request(NOW, 1), command)
}

fn requested(request: RequestId, command: Command) -> (PendingCommand, oneshot::Receiver<Reply>) {
    let (reply, received) = oneshot::channel();
    let actor = Actor::new("test").expect("a valid actor");
    let digest = Digest::default();
    let origin = Origin::Operator { request, digest, actor, reason: None };
    (PendingCommand { command, origin, reply }, received)
}

fn bootstrap() -> Command {
    Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents: Vec::new() }
}

#[test]
fn the_time_of_entries_never_decreases_even_if_the_clock_does() {
    let mut state = State::default();
    assert_eq!(Batch::new(&mut state, Timestamp(20)).entry.time, Timestamp(20));
    assert_eq!(Batch::new(&mut state, Timestamp(10)).entry.time, Timestamp(20));
}

#[test]
fn the_time_of_entries_decreases_only_if_an_earlier_clock_was_far_ahead() {
    let mut state = State::default();
    let ahead = limits::MAX_CLOCK_ERROR.as_secs();
    assert_eq!(Batch::new(&mut state, after(ahead)).entry.time, after(ahead));
    assert_eq!(Batch::new(&mut state, NOW).entry.time, after(ahead));
    assert_eq!(Batch::new(&mut state, after(2 * ahead + 1)).entry.time, after(2 * ahead + 1));
    assert_eq!(Batch::new(&mut state, NOW).entry.time, NOW);
}

/// Decides a request to bootstrap at `now`, applies its entry and returns the reply to a request
/// that is not decided by an entry.
fn decide_at(state: &mut State, now: Timestamp, request: RequestId) -> Option<Reply> {
    let mut speculative = state.clone();
    let mut batch = Batch::new(&mut speculative, now);
    let (pending, mut received) = requested(request, bootstrap());
    assert!(batch.add(&mut speculative, pending).expect("is decided").is_none());
    if !batch.is_empty() {
        evolve::apply(state, &batch.entry).expect("the base revision matches");
        assert_eq!(*state, speculative, "the entry leads to the state that was decided against");
    }
    received.try_recv().ok()
}

#[test]
fn a_request_id_from_the_future_is_refused_and_not_recorded() {
    let mut state = State::default();
    assert!(decide_at(&mut state, NOW, request(after(300), 1)).is_none(), "within the limit");
    let year = 365 * 24 * 60 * 60;
    for number in 0..3 {
        let future = request(after(year), number);
        let Some(Reply::Failed(error)) = decide_at(&mut state, NOW, future) else {
            panic!("the request was decided");
        };
        let ahead = Duration::from_secs(year);
        assert_eq!(error, ProposeError::RequestFromFuture { request: future, ahead });
        assert!(error.is_definite());
        let message = format!("the request id {future} is 365 days ahead of the cluster's clock");
        assert_eq!(error.to_string(), message);
    }
    assert_eq!(state.outcomes.by_request.len(), 1);
}

#[test]
fn a_cluster_whose_recorded_requests_are_from_the_future_accepts_requests_again() {
    let mut state = State::default();
    assert!(decide_at(&mut state, NOW, request(NOW, 1)).is_none());
    let year = 365 * 24 * 60 * 60;
    let outcome = state.outcomes.by_request.values().next().expect("has one").clone();
    for number in 0..=limits::OUTCOMES as u128 {
        state.outcomes.record(request(after(year), number), outcome.clone());
    }
    state.header.time = after(year);

    let expired = decide_at(&mut state, after(1), request(after(1), 1));
    let expired = matches!(expired, Some(Reply::Failed(ProposeError::RequestExpired { .. })));
    assert!(expired, "an id that may have been forgotten is never executed");
    let early = decide_at(&mut state, after(10), request(after(10), 1));
    assert!(matches!(early, Some(Reply::Failed(ProposeError::RequestExpired { .. }))));
    assert!(decide_at(&mut state, after(400), request(after(400), 1)).is_none());
    assert_eq!(state.outcomes.by_request.len(), 1, "the request was decided and recorded");
    assert_eq!(state.header.time, after(400));
}

#[test]
fn each_command_is_decided_against_the_state_after_the_previous_one() {
    let mut state = State::default();
    let mut batch = Batch::new(&mut state, NOW);
    let mut replies = Vec::new();
    for number in 1..3 {
        let (pending, received) = requested(request(NOW, number), bootstrap());
        assert!(batch.add(&mut state, pending).expect("is decided").is_none());
        replies.push(received);
    }
    let events: Vec<_> = batch.entry.changes.iter().map(|c| c.events.len()).collect();
    assert_eq!(events, [1, 0], "at the second command, the cluster is already bootstrapped");
    assert_eq!(batch.waiters.len(), 2, "no reply is sent before the entry has applied");
}

#[test]
fn a_command_before_the_bootstrap_is_returned_without_being_recorded() {
    let mut state = State::default();
    let mut batch = Batch::new(&mut state, NOW);
    let through = meridian_domain::Revision(0);
    let (early, mut received) = pending(Command::TrimHistory { through });
    assert!(batch.add(&mut state, early).expect("is decided").is_none());
    assert!(matches!(received.try_recv(), Ok(Reply::NotLeader)));
    assert!(batch.entry.changes.is_empty());
}

#[test]
fn a_repeated_request_adds_no_change_to_the_entry() {
    let mut state = State::default();
    let mut batch = Batch::new(&mut state, NOW);
    let (first, _received) = pending(bootstrap());
    let origin = first.origin.clone();
    assert!(batch.add(&mut state, first).expect("is decided").is_none());
    let (reply, _received) = oneshot::channel();
    let repeated = PendingCommand { command: bootstrap(), origin, reply };
    assert!(batch.add(&mut state, repeated).expect("is decided").is_none());
    assert_eq!(batch.entry.changes.len(), 1);
    assert_eq!(batch.waiters[0].1, batch.waiters[1].1);
}
