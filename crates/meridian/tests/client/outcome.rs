//! Output and exit codes, for each kind of response.

use meridian_proto::v1;
use prost::Message;
use tonic::{Code, Status};

use crate::fake::{Agent, Reply, event, status};
use crate::run::{broken_outputs, run, run_with_stdout};

const ID: &str = "01932f5e-8b1a-7c3d-9e4f-0123456789ab";

async fn refused_with(status: Status, arguments: &[&str]) -> crate::run::Run {
    let agent = Agent::start([Reply::Fail(status)]).await;
    run(&agent.endpoints(), arguments).await
}

#[tokio::test]
async fn a_change_is_printed_with_its_request_id() {
    let agent = Agent::start([Reply::Done]).await;
    let line = ["-o", "json", "region", "add", "eastus", "--reason", "more load"];
    let run = run(&agent.endpoints(), &line).await;
    run.exits(0);
    let (rpc, context) = agent.changes().remove(0);
    assert_eq!(rpc, "ChangeService");
    assert!(context.actor.starts_with("ada@"), "{context:?}");
    assert_eq!(context.reason, "more load");
    let printed = run.json();
    assert_eq!(printed["requestId"], context.request_id.as_str());
    assert_eq!((&printed["revision"], &printed["base"]), (&12.into(), &11.into()));
    assert_eq!(printed["events"][0]["type"], "RegionAdded");
}

#[tokio::test]
async fn a_change_may_have_more_events_than_the_library_reads_by_default() {
    let agent = Agent::start([Reply::Large(5 << 20)]).await;
    run(&agent.endpoints(), &["region", "add", "eastus"]).await.exits(0);
}

#[tokio::test]
async fn a_change_with_an_undecodable_response_has_an_unknown_outcome() {
    let unreadable = || Reply::Fail(Status::out_of_range("decoded message length too large"));
    for line in [&["region", "add", "eastus"][..], &["cluster", "transfer-leader"]] {
        let agent = Agent::start([unreadable()]).await;
        let run = run(&agent.endpoints(), line).await;
        run.exits(5);
        assert!(run.err.contains("is unknown"), "{run:?}");
        assert_eq!(agent.changes().len(), 1, "a retry gives the same");
    }
}

#[tokio::test]
async fn a_given_request_id_is_kept() {
    let agent = Agent::start([Reply::Done]).await;
    run(&agent.endpoints(), &["--request-id", ID, "region", "promote", "eastus"]).await.exits(0);
    assert_eq!(agent.request_ids(), [ID]);
}

#[tokio::test]
async fn a_dry_run_has_no_request_id_and_needs_no_confirmation() {
    let agent = Agent::start([Reply::Done]).await;
    let run = run(&agent.endpoints(), &["service", "delete", "contoso", "--dry-run"]).await;
    run.exits(0);
    let (_, context) = agent.changes().remove(0);
    assert!(context.dry_run && context.request_id.is_empty(), "{context:?}");
    assert!(run.err.contains("dry run at revision 11, no changes made:"), "{run:?}");
}

#[tokio::test]
async fn a_dry_run_of_a_drain_or_removal_prints_the_impact_on_the_units() {
    let agent = Agent::start([Reply::Done]).await;
    for line in [&["agent", "drain", "eastus-1"][..], &["cluster", "remove", "eastus-1"]] {
        let run = run(&agent.endpoints(), &[line, &["--dry-run"]].concat()).await;
        run.exits(0);
        assert!(run.err.contains("agent eastus-1: no units\n"), "{run:?}");
    }
    assert!(agent.changes().iter().all(|(_, context)| context.dry_run));
}

#[tokio::test]
async fn events_go_to_standard_output_and_the_rest_to_standard_error() {
    let agent = Agent::start([Reply::Done]).await;
    let run = run(&agent.endpoints(), &["region", "enable", "eastus"]).await;
    run.exits(0);
    assert!(run.out == "    12  added eastus to contoso with 2 units\n", "{run:?}");
    assert!(run.err.starts_with("done at revision 12 (request "), "{run:?}");
    assert!(!run.out.contains('\u{1b}') && !run.err.contains('\u{1b}'), "{run:?}");
}

#[tokio::test]
async fn rejections_have_their_exit_codes() {
    let add = ["region", "add", "eastus"];
    for (code, exit) in [
        (Code::FailedPrecondition, 1),
        (Code::NotFound, 1),
        (Code::AlreadyExists, 1),
        (Code::InvalidArgument, 2),
        (Code::Aborted, 3),
    ] {
        let run = refused_with(status(code, "REFUSED", "because"), &add).await;
        run.exits(exit);
        assert!(run.err.contains("error: because\n"), "{run:?}");
        assert_eq!(run.out, "");
    }
}

#[tokio::test]
async fn a_forgotten_request_may_have_happened() {
    let expired = status(Code::FailedPrecondition, "REQUEST_EXPIRED", "the request is too old");
    let run = refused_with(expired, &["region", "add", "eastus", "--request-id", ID]).await;
    run.exits(5);
    assert!(run.err.contains("error: the request is too old\n"), "{run:?}");
    assert!(run.err.contains("check `meridian events` for its effect"), "{run:?}");
}

/// A status with a conflict attached.
fn conflicting(conflict: &v1::Conflict) -> Status {
    let details = tonic_types::pb::Status {
        code: Code::Aborted.into(),
        message: "service contoso was changed after revision 3; it is at revision 9".to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/meridian.v1.Conflict".to_owned(),
            value: conflict.encode_to_vec(),
        }],
    };
    let bytes = details.encode_to_vec().into();
    Status::with_details(Code::Aborted, details.message, bytes)
}

#[tokio::test]
async fn a_conflict_prints_the_changes_in_between() {
    let conflict = v1::Conflict {
        service: "contoso".to_owned(),
        expected_revision: 3,
        current_revision: 9,
        events: vec![event(7), event(9)],
        more: true,
    };
    let line = ["region", "add", "eastus", "--expect-revision=3", "-ojson"];
    let run = refused_with(conflicting(&conflict), &line).await;
    run.exits(3);
    let events = run.json();
    assert_eq!((&events[0]["revision"], &events[1]["revision"]), (&7.into(), &9.into()));
    assert!(run.err.contains("meridian events --from 4"), "{run:?}");
    assert!(run.err.contains("--expect-revision 9"), "{run:?}");
}

#[tokio::test]
async fn a_destructive_command_is_refused_without_a_terminal() {
    let agent = Agent::start([Reply::Done]).await;
    for line in [
        &["service", "delete", "contoso"][..],
        &["region", "remove", "eastus"],
        &["region", "disable", "eastus"],
        &["api", "remove", "orders"],
        &["region", "set", "westeurope=3", "-eastus"],
        &["cluster", "remove", "eastus-1"],
        &["agent", "drain", "eastus-1"],
        &["cluster", "trim-history", "--through", "4096"],
        &["dns", "set", "--zone", "none"],
        &["dns", "set", "--zone", "example.org", "--ttl", "10"],
        &["network", "remove", "10.1.0.0/16"],
    ] {
        let refused = run(&agent.endpoints(), line).await;
        refused.exits(2);
        assert!(refused.err.contains("--yes"), "{refused:?}");
        let changes = agent.changes();
        assert!(changes.iter().all(|(_, context)| context.dry_run), "{line:?}: {changes:?}");
    }
    for line in [
        &["--yes", "region", "set", "westeurope=3", "-eastus"][..],
        &["region", "set", "westeurope=3", "-eastus", "--yes"],
        &["region", "set", "westeurope=3"],
        &["agent", "drain", "eastus-1", "--undo"],
        &["dns", "set", "--zone", "none", "--yes"],
        &["dns", "set", "--zone", "gateways.example.net", "--ttl", "10"],
    ] {
        run(&agent.endpoints(), line).await.exits(0);
    }
}

#[tokio::test]
async fn a_change_that_would_be_rejected_needs_no_confirmation() {
    let refusal = Status::failed_precondition("contoso has no region mars");
    for line in [&["region", "remove", "mars"][..], &["region", "set", "-mars"]] {
        let refused = refused_with(refusal.clone(), line).await;
        refused.exits(1);
        assert!(refused.err.contains("contoso has no region mars"), "{refused:?}");
    }
    // A retried request may have happened, and then would be rejected as a new one.
    let again = ["region", "remove", "mars", "--request-id", ID];
    refused_with(refusal, &again).await.exits(2);
}

#[tokio::test]
async fn a_timeout_before_the_first_attempt_is_reported() {
    let agent = Agent::start([Reply::Hang]).await;
    let late = run(&agent.endpoints(), &["region", "list", "--timeout", "1ms"]).await;
    late.exits(4);
    assert!(late.err.contains("--timeout"), "{late:?}");
    assert!(!late.err.contains(": \n") && !late.err.contains("0.0ns"), "{late:?}");
}

#[tokio::test]
async fn the_service_has_to_be_named_unless_there_is_exactly_one() {
    let agent = Agent::start([]).await.with_services(&["contoso", "fabrikam"]);
    let several = run(&agent.endpoints(), &["region", "list"]).await;
    several.exits(2);
    assert!(several.err.contains("contoso, fabrikam"), "{several:?}");
    let none = Agent::start([]).await.with_services(&[]);
    let none = run(&none.endpoints(), &["region", "add", "eastus"]).await;
    none.exits(1);
    assert!(none.err.contains("there is no service yet"), "{none:?}");
    run(&agent.endpoints(), &["region", "add", "eastus", "--service=contoso"]).await.exits(0);
}

#[tokio::test]
async fn a_status_check_exits_with_the_health_of_the_cluster() {
    for (health, severity, code) in [
        (v1::Health::Healthy, v1::Severity::Notice, 0),
        (v1::Health::Degraded, v1::Severity::Degraded, 10),
        (v1::Health::ServiceUnavailable, v1::Severity::ServiceUnavailable, 11),
        (v1::Health::ChangesRefused, v1::Severity::ChangesRefused, 11),
    ] {
        let warning = v1::Warning {
            severity: severity.into(),
            message: "the worst thing".to_owned(),
            next_step: "fix it".to_owned(),
            ..Default::default()
        };
        let status = v1::GetStatusResponse {
            health: health.into(),
            warnings: vec![warning],
            ..Default::default()
        };
        let agent = Agent::start([]).await.with_status(status);
        let shown = run(&agent.endpoints(), &["status"]).await;
        assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{shown:?}");
        let checked = run(&agent.endpoints(), &["status", "--check"]).await;
        assert_eq!((checked.code, checked.err.as_str()), (Some(code), ""), "{checked:?}");
        assert_eq!(checked.out, shown.out);
        for stdout in broken_outputs() {
            let checked = run_with_stdout(&agent.endpoints(), &["status", "--check"], stdout).await;
            assert_eq!(checked.code, Some(code), "{checked:?}");
        }
        let first = match health {
            v1::Health::Healthy => "healthy: ",
            v1::Health::Degraded => "degraded: the worst thing\nnext: fix it\n",
            v1::Health::ServiceUnavailable => {
                "service unavailable: the worst thing\nnext: fix it\n"
            }
            v1::Health::ChangesRefused | v1::Health::Unspecified => {
                "changes refused: the worst thing\nnext: fix it\n"
            }
        };
        assert!(shown.out.starts_with(first), "{shown:?}");
        assert!(shown.out.contains("the worst thing"), "{shown:?}");
    }
}

#[tokio::test]
async fn an_unknown_health_is_not_healthy() {
    let agent = Agent::start([]).await;
    run(&agent.endpoints(), &["status"]).await.exits(0);
    run(&agent.endpoints(), &["status", "--check"]).await.exits(1);
}

#[tokio::test]
async fn a_conflict_remains_one_if_its_changes_cannot_be_printed() {
    let conflict = v1::Conflict {
        service: "contoso".to_owned(),
        events: vec![event(9)],
        ..v1::Conflict::default()
    };
    let agent = Agent::start([Reply::Fail(conflicting(&conflict))]).await;
    for stdout in broken_outputs() {
        let line = ["region", "scale", "eastus", "--units=3", "--expect-revision=9"];
        run_with_stdout(&agent.endpoints(), &line, stdout).await.exits(3);
    }
}
