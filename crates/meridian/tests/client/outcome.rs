//! What is printed and which code a command exits with, by what the agent answers.

use meridian_proto::v1;
use prost::Message;
use tonic::{Code, Status};

use crate::fake::{Agent, Reply, event, status};
use crate::run::run;

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
    let (call, context) = agent.changes().remove(0);
    assert_eq!(call, "ChangeService");
    assert!(context.actor.starts_with("ada@"), "{context:?}");
    assert_eq!(context.reason, "more load");
    let printed = run.json();
    assert_eq!(printed["requestId"], context.request_id.as_str());
    assert_eq!((&printed["revision"], &printed["base"]), (&12.into(), &11.into()));
    assert_eq!(printed["events"][0]["type"], "RegionAdded");
}

#[tokio::test]
async fn a_change_may_have_more_events_than_the_library_reads_by_itself() {
    let agent = Agent::start([Reply::Large(5 << 20)]).await;
    run(&agent.endpoints(), &["region", "add", "eastus"]).await.exits(0);
}

#[tokio::test]
async fn a_change_whose_answer_cannot_be_read_is_not_called_refused() {
    let unreadable = || Reply::Fail(Status::out_of_range("decoded message length too large"));
    for line in [&["region", "add", "eastus"][..], &["cluster", "transfer-leader"]] {
        let agent = Agent::start([unreadable()]).await;
        let run = run(&agent.endpoints(), line).await;
        run.exits(5);
        assert!(run.err.contains("is unknown"), "{run:?}");
        assert_eq!(agent.changes().len(), 1, "asking again gives the same");
    }
}

#[tokio::test]
async fn a_given_request_id_is_kept() {
    let agent = Agent::start([Reply::Done]).await;
    run(&agent.endpoints(), &["--request-id", ID, "region", "promote", "eastus"]).await.exits(0);
    assert_eq!(agent.request_ids(), [ID]);
}

#[tokio::test]
async fn a_dry_run_has_no_request_id_and_asks_nobody_to_agree() {
    let agent = Agent::start([Reply::Done]).await;
    let run = run(&agent.endpoints(), &["service", "delete", "contoso", "--dry-run"]).await;
    run.exits(0);
    let (_, context) = agent.changes().remove(0);
    assert!(context.dry_run && context.request_id.is_empty(), "{context:?}");
    assert!(run.err.contains("nothing was changed"), "{run:?}");
}

#[tokio::test]
async fn a_dry_run_of_a_departure_says_what_becomes_of_the_units() {
    let agent = Agent::start([Reply::Done]).await;
    for line in [&["agent", "drain", "eastus-1"][..], &["cluster", "remove", "eastus-1"]] {
        let run = run(&agent.endpoints(), &[line, &["--dry-run"]].concat()).await;
        run.exits(0);
        assert!(run.err.contains("agent eastus-1: it has no units\n"), "{run:?}");
    }
    assert!(agent.changes().iter().all(|(_, context)| context.dry_run));
}

#[tokio::test]
async fn a_table_goes_to_standard_output_and_the_rest_elsewhere() {
    let agent = Agent::start([Reply::Done]).await;
    let run = run(&agent.endpoints(), &["region", "enable", "eastus"]).await;
    run.exits(0);
    assert!(run.out.starts_with("REVISION  TIME"), "{run:?}");
    assert!(run.err.starts_with("done at revision 12, request "), "{run:?}");
    assert!(!run.out.contains('\u{1b}') && !run.err.contains('\u{1b}'), "{run:?}");
}

#[tokio::test]
async fn refusals_have_their_exit_codes() {
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
async fn a_request_that_was_forgotten_may_have_happened() {
    let expired = status(Code::FailedPrecondition, "REQUEST_EXPIRED", "the request is too old");
    let run = refused_with(expired, &["region", "add", "eastus", "--request-id", ID]).await;
    run.exits(5);
    assert!(run.err.contains("error: the request is too old\n"), "{run:?}");
    assert!(run.err.contains("look for its effect in `meridian events`"), "{run:?}");
}

#[tokio::test]
async fn a_conflict_prints_what_happened_in_between() {
    let conflict = v1::Conflict {
        service: "contoso".to_owned(),
        expected_revision: 3,
        current_revision: 9,
        events: vec![event(7), event(9)],
        more: true,
    };
    let details = tonic_types::pb::Status {
        code: Code::Aborted.into(),
        message: "service contoso was changed after revision 3; it is at revision 9".to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/meridian.v1.Conflict".to_owned(),
            value: conflict.encode_to_vec(),
        }],
    };
    let bytes = details.encode_to_vec().into();
    let status = Status::with_details(Code::Aborted, details.message, bytes);
    let line = ["region", "add", "eastus", "--expect-revision=3", "-ojson"];
    let run = refused_with(status, &line).await;
    run.exits(3);
    let events = run.json();
    assert_eq!((&events[0]["revision"], &events[1]["revision"]), (&7.into(), &9.into()));
    assert!(run.err.contains("meridian events --from 4"), "{run:?}");
    assert!(run.err.contains("--expect-revision 9"), "{run:?}");
}

#[tokio::test]
async fn what_takes_something_away_is_refused_where_nobody_can_be_asked() {
    let agent = Agent::start([Reply::Done]).await;
    for line in [
        &["service", "delete", "contoso"][..],
        &["region", "remove", "eastus"],
        &["api", "remove", "orders"],
        &["region", "set", "westeurope=3", "-eastus"],
        &["cluster", "remove", "eastus-1"],
        &["agent", "drain", "eastus-1"],
        &["cluster", "trim-history", "--through", "4096"],
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
    ] {
        run(&agent.endpoints(), line).await.exits(0);
    }
}

#[tokio::test]
async fn nobody_is_asked_about_what_would_be_refused() {
    let refusal = Status::failed_precondition("contoso has no region mars");
    for line in [&["region", "remove", "mars"][..], &["region", "set", "-mars"]] {
        let refused = refused_with(refusal.clone(), line).await;
        refused.exits(1);
        assert!(refused.err.contains("contoso has no region mars"), "{refused:?}");
    }
    // What is asked for again may have happened, and then could not happen anew.
    let again = ["region", "remove", "mars", "--request-id", ID];
    refused_with(refusal, &again).await.exits(2);
}

#[tokio::test]
async fn without_time_for_any_attempt_that_is_what_is_said() {
    let agent = Agent::start([Reply::Hang]).await;
    let late = run(&agent.endpoints(), &["region", "list", "--timeout", "1ms"]).await;
    late.exits(4);
    assert!(late.err.contains("--timeout"), "{late:?}");
    assert!(!late.err.contains(": \n"), "{late:?}");
}

#[tokio::test]
async fn a_service_is_named_unless_there_is_exactly_one() {
    let agent = Agent::start([]).await.with_services(&["contoso", "fabrikam"]);
    let several = run(&agent.endpoints(), &["region", "list"]).await;
    several.exits(2);
    assert!(several.err.contains("contoso, fabrikam"), "{several:?}");
    let none = Agent::start([]).await.with_services(&[]);
    run(&none.endpoints(), &["region", "add", "eastus"]).await.exits(2);
    run(&agent.endpoints(), &["region", "add", "eastus", "--service=contoso"]).await.exits(0);
}

#[tokio::test]
async fn waiting_ends_when_the_units_are_ready() {
    let state = |status: v1::LocationStatus, ready_units| v1::Location {
        region: "eastus".to_owned(),
        units: 2,
        ready_units,
        status: status.into(),
        ..Default::default()
    };
    let converging = state(v1::LocationStatus::Converging, 1);
    let ready = state(v1::LocationStatus::Ready, 2);
    let line = ["region", "add", "eastus", "--wait", "--wait-timeout=1s"];

    let agent = Agent::start([Reply::Done]).await.with_locations([converging.clone(), ready]);
    run(&agent.endpoints(), &line).await.exits(0);

    let agent = Agent::start([Reply::Done]).await.with_locations([converging]);
    let run = run(&agent.endpoints(), &line).await;
    run.exits(5);
    assert!(run.err.contains("eastus is converging with 1 of 2 units"), "{run:?}");
    assert!(run.err.contains(&format!("--request-id {}", agent.request_ids()[0])), "{run:?}");
}

#[tokio::test]
async fn warnings_are_data_and_no_failure() {
    let agent = Agent::start([]).await;
    let run = run(&agent.endpoints(), &["status"]).await;
    run.exits(0);
    assert!(run.out.ends_with("warning: there are 2 voters\n"), "{run:?}");
    assert_eq!(run.err, "");
}
