//! Clocks of leaders and clients that are far ahead.

use std::time::Duration;

use meridian_domain::{RequestId, Timestamp};
use meridian_ports::ProposeError;
use meridian_testkit::cluster::{Options, new_request};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::support::{accepted, add, change, contoso};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns the request id of a client whose clock is `ahead`.
fn request_ahead(ahead: Duration) -> RequestId {
    let bits = new_request().uuid().as_u128() + (ahead.as_millis() << 80);
    Uuid::from_u128(bits).try_into().expect("a UUID of version 7")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_clock_is_far_ahead_uses_the_time_of_the_other_voters() {
    let options = Options { clocks_ahead: vec![YEAR], ..Options::default() };
    let cluster = contoso(options).await;
    cluster.voters(3).await;
    // Of two clocks that differ, neither is known to be wrong: until a voter that did not respond while
    // it started was asked again, its leader has only its own.
    sleep(Duration::from_secs(6)).await;
    let wrong = cluster.nodes[0].ports().cluster.node();
    let deadline = Instant::now() + Duration::from_secs(10);
    if cluster.leader().await != 0 {
        let ports = cluster.nodes[0].ports();
        ports.cluster.transfer_leader(Some(wrong), deadline).await.expect("leadership moves");
    }
    let receipt = cluster.propose(1, change("contoso", vec![add("westus", 1)])).await;
    let receipt = receipt.expect("the change is decided");
    assert!(accepted(&receipt));
    cluster.converged().await;
    let events = cluster.nodes[0].ports().history.events(receipt.revision, 1);
    let time = events.expect("the events can be read")[0].time;
    let now = new_request().time();
    assert!(time.ahead_of(now).is_none(), "the event is at {time}, and it is {now}");

    let future = request_ahead(YEAR);
    let refused = cluster.propose_as(2, change("contoso", vec![add("japaneast", 1)]), future);
    let refused = refused.await.expect_err("the request id is from the future");
    assert!(matches!(refused, ProposeError::RequestFromFuture { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn request_ids_from_the_future_keep_no_other_request_out() {
    let cluster = contoso(Options::default()).await;
    for number in 0..100 {
        let future = request_ahead(YEAR + Duration::from_millis(number));
        let refused = cluster.propose_as(0, change("contoso", vec![add("mars", 1)]), future).await;
        let Err(ProposeError::RequestFromFuture { request, ahead }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(request, future);
        assert!(ahead.abs_diff(YEAR) < Duration::from_secs(60), "{ahead:?}");
    }
    let newest = {
        let state = cluster.nodes[0].ports().read.state();
        state.outcomes.by_request.keys().next_back().map(|request| request.time())
    };
    let now = Timestamp(new_request().time().0);
    assert!(newest.is_some_and(|newest| newest.ahead_of(now).is_none()), "none is recorded");
    let receipt = cluster.propose(1, change("contoso", vec![add("westus", 1)])).await;
    assert!(accepted(&receipt.expect("the change is decided")));
}
