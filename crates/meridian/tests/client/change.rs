//! Dry runs, and the next steps of rejected changes.

use std::collections::HashMap;

use meridian_proto::v1;
use meridian_proto::v1::LocationStatus;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt};

use crate::fake::{Agent, Reply, event_of, location};
use crate::run::run;

/// A rejection by one rule, as an agent sends it.
fn rejected(rule: &str, message: &str) -> Reply {
    let mut details = ErrorDetails::with_error_info("REFUSED", "meridian", HashMap::new());
    details.set_precondition_failure(vec![PreconditionViolation::new(rule, "", message)]);
    Reply::Fail(Status::with_error_details(Code::FailedPrecondition, message, details))
}

/// An agent that rejects changes of a service in westeurope, its primary region, and eastus.
async fn rejecting(rule: &str) -> Agent {
    let primary = location("westeurope", LocationStatus::Ready, 1, 1);
    let agent = Agent::start([rejected(rule, "because")]).await;
    let agent = agent.with_locations([v1::Location { primary: true, ..primary }]);
    agent.with_other_locations([location("eastus", LocationStatus::Ready, 1, 1)])
}

#[tokio::test]
async fn the_next_step_is_computed_from_the_state_and_the_edits() {
    for (line, rule, next) in [
        (
            "service update contoso --tier basic",
            "SEVERAL_REGIONS",
            "make it smaller first: `meridian region set -eastus --service contoso`",
        ),
        (
            "region add eastus",
            "SEVERAL_REGIONS",
            "use the premium tier: `meridian service update contoso --tier premium`",
        ),
        (
            "region remove westeurope --yes",
            "PRIMARY_REMOVED",
            "promote another region first: `meridian region promote eastus --service contoso`",
        ),
        (
            "region set -westeurope -eastus --yes",
            "PRIMARY_REMOVED",
            "add and promote another region first, or delete the service: `meridian service delete \
             contoso`",
        ),
        (
            "region add eastus",
            "REGION_EXISTS",
            "change its units with `meridian region scale eastus --units N --service contoso`",
        ),
        (
            "region scale westus --units 2",
            "REGION_ABSENT",
            "add it: `meridian region add westus --service contoso`",
        ),
        (
            "region scale eastus --units 99",
            "TOO_MANY_UNITS",
            "use fewer units, or raise the limit: `meridian cluster limits set --premium-units N`",
        ),
        ("region add mars", "REGION_UNKNOWN", "`meridian region catalog` lists the regions"),
    ] {
        let agent = rejecting(rule).await;
        let words: Vec<&str> = line.split(' ').collect();
        let run = run(&agent.endpoints(), &words).await;
        run.exits(1);
        assert!(run.err.ends_with(&format!("next: {next}\n")), "{line}: {run:?}");
    }
}

#[tokio::test]
async fn a_dry_run_prints_the_difference_and_every_warning() {
    let events = vec![
        event_of(12, "UnitsScaled", json!({"service": "contoso", "region": "eastus", "units": 3})),
        event_of(13, "RegionRemoved", json!({"service": "contoso", "region": "westus"})),
    ];
    let wait = v1::Wait {
        cause: "no agent in eastus".into(),
        next_step: "join one".into(),
        ..Default::default()
    };
    let response = v1::ChangeResponse { revision: 13, base: 11, events, waits: vec![wait] };
    let agent = Agent::start([Reply::Accept(response)]).await;
    let agent = agent.with_locations([location("eastus", LocationStatus::Ready, 1, 1)]);
    let line = ["region", "set", "eastus=3", "-westus", "--dry-run"];
    let run = run(&agent.endpoints(), &line).await;
    run.exits(0);
    assert_eq!(run.out, "~ eastus: units 1 -> 3\n- westus\n");
    assert!(run.err.contains("dry run at revision 11, no changes made:\n"), "{run:?}");
    assert!(run.err.contains("note: no agent in eastus\nnext: join one\n"), "{run:?}");
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_reported_as_that() {
    let response = v1::ChangeResponse { revision: 11, base: 11, ..Default::default() };
    let agent = Agent::start([Reply::Accept(response)]).await;
    let run = run(&agent.endpoints(), &["region", "promote", "eastus"]).await;
    run.exits(0);
    assert_eq!(run.err, "no change: already in that state (revision 11)\n");
}

#[tokio::test]
async fn a_roll_is_reported_as_started() {
    let data = json!({"service": "contoso", "region": "eastus"});
    let events = vec![event_of(12, "RollStarted", data)];
    let response = v1::ChangeResponse { revision: 12, base: 11, events, ..Default::default() };
    let agent = Agent::start([Reply::Accept(response)]).await;
    let run = run(&agent.endpoints(), &["unit", "roll"]).await;
    run.exits(0);
    assert!(run.err.starts_with("rollout started at revision 12 (request "), "{run:?}");
}
