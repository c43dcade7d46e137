//! The recorded outcomes of requests.

use meridian_domain::limits;
use meridian_domain::outcome::{Outcome, OutcomeLookup, Outcomes};
use meridian_domain::{Digest, RequestId, Revision, Verdict};
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
