//! The recorded outcomes of requests.

use meridian_domain::limits;
use meridian_domain::outcome::{Outcome, OutcomeLookup, Outcomes};
use meridian_domain::{Digest, RequestId, Revision, Timestamp, Verdict};
use uuid::Uuid;

fn request(time: u128) -> RequestId {
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    Uuid::from_u128(time << 80 | version_and_variant).try_into().expect("is version 7")
}

fn outcome() -> Outcome {
    Outcome {
        digest: Digest([1; 32]),
        verdict: Verdict::Accepted,
        base: Revision(0),
        revision: Revision(1),
    }
}

#[test]
fn a_repeated_request_returns_its_outcome_and_a_reused_id_is_detected() {
    let mut outcomes = Outcomes::default();
    outcomes.record(request(1), outcome());
    assert_eq!(outcomes.lookup(request(1), &Digest([1; 32])), OutcomeLookup::Known(&outcome()));
    assert_eq!(outcomes.lookup(request(1), &Digest([2; 32])), OutcomeLookup::Reused);
    assert_eq!(outcomes.lookup(request(2), &Digest([1; 32])), OutcomeLookup::New);
}

#[test]
fn evicted_requests_expire_and_are_never_treated_as_new() {
    let mut outcomes = Outcomes::default();
    for time in 1..=limits::OUTCOMES as u128 {
        assert_eq!(outcomes.record(request(time * 10), outcome()), None);
    }
    let newest = request(limits::OUTCOMES as u128 * 10 + 10);
    assert_eq!(outcomes.record(newest, outcome()), Some(request(10)));
    assert_eq!(outcomes.by_request.len(), limits::OUTCOMES);
    let digest = Digest([1; 32]);
    assert_eq!(outcomes.lookup(request(10), &digest), OutcomeLookup::Expired);
    assert_eq!(outcomes.lookup(request(5), &digest), OutcomeLookup::Expired);
    assert_eq!(outcomes.lookup(request(15), &digest), OutcomeLookup::New);
}

#[test]
fn a_request_id_has_the_time_of_its_creation() {
    assert_eq!(request(7).time(), Timestamp(7));
    let last = RequestId::last_at(Timestamp(7));
    assert_eq!(last.time(), Timestamp(7));
    assert!(last > request(7) && last < request(8));
    assert_eq!(last.to_string().parse(), Ok(last), "is a version 7 UUID");
}

#[test]
fn a_table_of_requests_from_the_future_is_cleared_and_accepts_new_requests_soon() {
    let error = limits::MAX_CLOCK_ERROR.as_millis() as u64;
    let now = Timestamp(1_000_000_000);
    let mut outcomes = Outcomes::default();
    outcomes.record(request(now.0.into()), outcome());
    for number in 0..limits::OUTCOMES as u128 {
        assert!(!outcomes.is_in_future(now), "after {number} requests");
        outcomes.record(request(u128::from(now.0 + error) * 2 + number), outcome());
    }
    let new = |after: u64| request(u128::from(now.0 + after));
    let digest = Digest([1; 32]);
    assert_eq!(outcomes.forgotten, Some(request(now.0.into())), "the honest request was evicted");
    assert!(outcomes.clear_future(now), "every id of the full table is from the future");
    assert_eq!(outcomes.lookup(new(error), &digest), OutcomeLookup::Expired);
    assert_eq!(outcomes.lookup(new(error + 1), &digest), OutcomeLookup::New);
    assert!(!outcomes.clear_future(now), "the new watermark is within the limit");
}
