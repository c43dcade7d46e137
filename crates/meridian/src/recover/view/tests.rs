use super::*;
use crate::cli::Format;

fn member(agent: &str, id: u64) -> MemberRow {
    MemberRow {
        id: NodeId(id).to_string(),
        agent: Some(agent.to_owned()),
        role: "voter",
        address: format!("10.{id}.0.4:7401"),
        override_address: None,
        this: false,
        last_contact_ms: None,
    }
}

fn view() -> RecoverView {
    let moved = MemberRow {
        override_address: Some("10.9.1.4:7401".to_owned()),
        ..member("westeurope-1", 1)
    };
    let lost = MemberRow { agent: None, role: "learner", ..member("", 255) };
    RecoverView {
        cluster_id: "01932f5e-8b1a-4c3d-9e4f-0123456789ab".to_owned(),
        epoch: 1,
        recovery_pending: false,
        node: NodeId(2).to_string(),
        agent: Some("eastus-1".to_owned()),
        revision: 25,
        last_change: time(Timestamp(1_700_000_000_001)),
        last_entry: Some(PositionView { index: 31, term: 2 }),
        applied_entry: Some(PositionView { index: 30, term: 2 }),
        snapshot_entry: None,
        term: 3,
        voted_for: Some("westeurope-1".to_owned()),
        members: vec![MemberRow { this: true, ..member("eastus-1", 2) }, moved, lost],
    }
}

#[test]
fn the_contents_of_a_directory_are_text_of_80_columns() {
    let text = view().text(Output::new(Format::Table));
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_eq!(
        text,
        "\
cluster     01932f5e-8b1a-4c3d-9e4f-0123456789ab
epoch       1
node        0000000000000002
agent       eastus-1
last entry  index 31 of term 2
applied     index 30 of term 2
revision    25 (applied; last change 2023-11-14T22:13:20.001Z)
snapshot    none
term        3 (vote: westeurope-1)

MEMBER            ROLE     LAST CONTACT  PEER ADDRESS
eastus-1          voter    this agent    10.2.0.4:7401
westeurope-1      voter    unknown       10.9.1.4:7401 (log: 10.1.0.4:7401)
00000000000000ff  learner  unknown       10.255.0.4:7401
"
    );
}

#[test]
fn a_pending_recovery_and_values_that_are_not_known_are_shown() {
    let unknown = RecoverView {
        recovery_pending: true,
        agent: None,
        last_change: None,
        last_entry: None,
        voted_for: None,
        term: 0,
        ..view()
    };
    let text = unknown.text(Output::new(Format::Table));
    for line in [
        "epoch       1, recovery pending: start the agent\n",
        "agent       unknown\n",
        "last entry  none\n",
        "revision    25 (applied; last change unknown)\n",
        "term        0 (vote: none)\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn the_keys_of_the_json_are_stable() {
    let json = serde_json::to_value(view()).expect("can be serialized");
    let keys = |json: &serde_json::Value| {
        json.as_object().expect("is an object").keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        keys(&json),
        "agent appliedEntry clusterId epoch lastChange lastEntry members node recoveryPending \
         revision snapshotEntry term votedFor"
    );
    assert_eq!(
        keys(&json["members"][0]),
        "address agent id lastContactMs overrideAddress role this"
    );
}
