//! Relative numbers of units.

use meridian_proto::v1::edit::Edit;
use meridian_proto::v1::{LocationStatus, ScaleRegion, SetRegion};

use crate::fake::{Agent, Reply, conflict, location};
use crate::run::run;

/// An agent with two units in eastus.
async fn with_two_units(replies: impl IntoIterator<Item = Reply>) -> Agent {
    let eastus = location("eastus", LocationStatus::Ready, 2, 2);
    Agent::start(replies).await.with_locations([eastus])
}

fn scaled(units: u32) -> Edit {
    Edit::Scale(ScaleRegion { region: "eastus".to_owned(), units: Some(units), zones: None })
}

fn set(units: u32) -> Edit {
    Edit::Set(SetRegion { region: "eastus".to_owned(), units })
}

#[tokio::test]
async fn a_relative_number_is_sent_as_an_absolute_one_with_the_expected_revision() {
    for (line, edit) in [
        ("region scale eastus --units +1", scaled(3)),
        ("region scale eastus --units=-1", scaled(1)),
        ("region set eastus=+1", set(3)),
        ("region set eastus=-1", set(1)),
        ("region set eastus=+1 --dry-run", set(3)),
    ] {
        let agent = with_two_units([]).await;
        let words: Vec<&str> = line.split(' ').collect();
        run(&agent.endpoints(), &words).await.exits(0);
        assert_eq!(agent.edits(), [edit], "{line}");
        assert_eq!(agent.expected_revisions(), [Some(9)], "{line}");
    }
}

#[tokio::test]
async fn an_absolute_number_expects_no_revision() {
    let agent = with_two_units([]).await;
    run(&agent.endpoints(), &["region", "set", "eastus=1"]).await.exits(0);
    assert_eq!((agent.edits(), agent.expected_revisions()), (vec![set(1)], vec![None]));
}

#[tokio::test]
async fn a_relative_number_is_resolved_again_after_a_conflict() {
    let now = location("eastus", LocationStatus::Ready, 5, 5);
    let before = location("eastus", LocationStatus::Ready, 2, 2);
    let agent = Agent::start([conflict(), Reply::Done]).await.with_locations([before, now]);
    let run = run(&agent.endpoints(), &["region", "scale", "eastus", "--units", "+1"]).await;
    run.exits(0);
    assert_eq!(agent.edits(), [scaled(3), scaled(6)]);
    let ids = agent.request_ids();
    assert!(ids.len() == 2 && ids[0] != ids[1], "another change has another id: {ids:?}");
}

#[tokio::test]
async fn a_conflict_with_the_revision_that_the_user_expects_is_final() {
    let agent = with_two_units([conflict(), Reply::Done]).await;
    let line = ["region", "set", "eastus=+1", "--expect-revision", "4"];
    run(&agent.endpoints(), &line).await.exits(3);
    assert_eq!(agent.expected_revisions(), [Some(4)]);
}

#[tokio::test]
async fn persistent_conflicts_end_with_exit_code_3() {
    let agent = with_two_units([conflict()]).await;
    run(&agent.endpoints(), &["region", "set", "eastus=+1"]).await.exits(3);
    assert_eq!(agent.edits().len(), 5);
}

#[tokio::test]
async fn the_command_that_retries_a_relative_change_is_absolute() {
    let agent = with_two_units([Reply::Hang]).await;
    let line = ["region", "scale", "eastus", "--units", "+1", "--timeout=1s"];
    let run = run(&agent.endpoints(), &line).await;
    run.exits(5);
    let id = &agent.request_ids()[0];
    let retry = format!("--request-id {id} --expect-revision 9 region scale eastus --units 3");
    assert!(run.err.contains(&retry), "{run:?}");
}

#[tokio::test]
async fn a_relative_number_that_cannot_be_resolved_is_refused_before_any_change() {
    for (line, code, text) in [
        ("region scale eastus --units -2", 1, "eastus has 2 units: -2 leaves none"),
        ("region set westus=+1", 1, "contoso is not in westus"),
        ("region add westus --units +1", 2, "use a whole number of 1 or more"),
        ("region set eastus=+0", 2, "use REGION=UNITS"),
        (
            "region set eastus=+1 --request-id 01932f5e-8b1a-7c3d-9e4f-0123456789ab",
            2,
            "cannot be combined with the relative number +1",
        ),
    ] {
        let agent = with_two_units([]).await;
        let words: Vec<&str> = line.split(' ').collect();
        let run = run(&agent.endpoints(), &words).await;
        run.exits(code);
        assert!(run.err.contains(text), "{run:?}");
        assert_eq!(agent.changes().len(), 0, "{line}");
    }
}
