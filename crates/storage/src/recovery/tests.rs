use meridian_domain::{Actor, ClusterId, Epoch, Reason};
use openraft::entry::RaftEntry as _;
use tempfile::TempDir;

use super::*;
use crate::disk::directory::{DataDirectory, Identity};
use crate::fuse::Fuse;
use crate::open::open;

const OWN: NodeId = NodeId(3);

fn identity() -> Identity {
    Identity { cluster: ClusterId(uuid::Uuid::from_u128(1)), node: OWN }
}

fn membership(voters: &[u64]) -> Membership<NodeId, Member> {
    let member = |node: &u64| {
        let address = Address::new(format!("node-{node}:7401")).expect("is an address");
        (NodeId(*node), Member { address })
    };
    let ids = voters.iter().copied().map(NodeId).collect();
    Membership::new(vec![ids], voters.iter().map(member).collect::<BTreeMap<_, _>>())
        .expect("is a membership")
}

fn log_id(term: u64, index: u64) -> LogIdOf<TypeConfig> {
    LogIdOf::<TypeConfig> { leader_id: LeaderId { term, node_id: NodeId(1) }, index }
}

/// Data directory of node 3 of three voters, with three entries and a vote in a later term.
async fn directory_of_three() -> (TempDir, DataDirectory) {
    let parent = tempfile::tempdir().expect("can create a directory");
    let mut directory = DataDirectory::open(parent.path()).expect("is new");
    directory.establish(identity()).expect("has none");
    let stores = stores(&directory);
    let mut log = stores.log.clone();
    let entries = [
        EntryOf::<TypeConfig>::new_membership(log_id(1, 0), membership(&[1, 2, 3])),
        EntryOf::<TypeConfig>::new_blank(log_id(1, 1)),
        EntryOf::<TypeConfig>::new_blank(log_id(2, 2)),
    ];
    log.blocking_append(entries).await.expect("can be appended");
    let vote = VoteOf::<TypeConfig> {
        leader_id: LeaderId { term: 7, node_id: NodeId(2) },
        committed: false,
    };
    log.save_vote(&vote).await.expect("can be saved");
    close(stores).await;
    (parent, directory)
}

fn stores(directory: &DataDirectory) -> Stores {
    open(directory, identity(), &Fuse::default()).expect("can be opened")
}

async fn close(stores: Stores) {
    stores.log.close().await.expect("can be closed");
    stores.store.close().await.expect("can be closed");
}

fn pending() -> LocalEpoch {
    let recovery = Recovery {
        actor: Actor::new("ada@host").expect("is an actor"),
        reason: Reason::new("two disks lost").expect("is a reason"),
        pending: true,
    };
    LocalEpoch { epoch: Epoch(1), recovery: Some(recovery) }
}

#[tokio::test]
async fn contents_are_those_of_the_log_and_reading_them_changes_nothing() {
    let (_parent, directory) = directory_of_three().await;
    for _ in 0..2 {
        let stores = stores(&directory);
        let contents = Contents::read(&stores).await.expect("can be read");
        assert_eq!((contents.term, contents.voted_for), (7, Some(NodeId(2))));
        assert_eq!(contents.last, Some(Position { term: 2, node: 1, index: 2 }));
        assert_eq!((contents.applied, contents.purged), (None, None));
        assert!(contents.is_voter(NodeId(2)) && !contents.is_sole_voter(OWN));
        assert_eq!(contents.members[&NodeId(2)].as_str(), "node-2:7401");
        close(stores).await;
    }
}

#[tokio::test]
async fn a_recovered_node_is_the_only_voter_in_a_term_above_its_vote() {
    let (_parent, directory) = directory_of_three().await;
    let opened = stores(&directory);
    let completed = complete(pending(), &opened, OWN).await.expect("completes");
    assert!(!completed.is_pending() && completed.epoch == Epoch(1));
    close(opened).await;

    let opened = stores(&directory);
    let contents = Contents::read(&opened).await.expect("can be read");
    assert!(contents.is_sole_voter(OWN));
    assert_eq!(contents.members.keys().collect::<Vec<_>>(), [&OWN]);
    assert_eq!(contents.last, Some(Position { term: 8, node: OWN.0, index: 3 }));
    assert_eq!((contents.term, contents.voted_for), (8, Some(OWN)));
    let again = complete(completed.clone(), &opened, OWN).await.expect("changes nothing");
    assert_eq!(again, completed);
    assert_eq!(Contents::read(&opened).await.expect("can be read"), contents);
    close(opened).await;
}

#[tokio::test]
async fn a_recovery_interrupted_after_any_step_is_completed_later() {
    for steps in 0..=2 {
        let (_parent, directory) = directory_of_three().await;
        directory.store_epoch(&pending()).expect("can be stored");
        let opened = stores(&directory);
        let mut log = opened.log.clone();
        if steps == 1 {
            let leader_id = LeaderId { term: 8, node_id: OWN };
            let vote = VoteOf::<TypeConfig> { leader_id, committed: true };
            log.save_vote(&vote).await.expect("can be saved");
        } else if steps == 2 {
            complete(pending(), &opened, OWN).await.expect("completes");
        }
        // Dropped without closing, as in a crash.
        drop((log, opened));

        let opened = stores(&directory);
        let epoch = directory.epoch().expect("can be read");
        assert!(epoch.is_pending());
        let completed = complete(epoch, &opened, OWN).await.expect("completes");
        directory.store_epoch(&completed).expect("can be stored");
        let contents = Contents::read(&opened).await.expect("can be read");
        assert!(contents.is_sole_voter(OWN), "after {steps} steps");
        assert_eq!(contents.last.map(|last| last.index), Some(3), "after {steps} steps");
        close(opened).await;
    }
}

#[tokio::test]
async fn a_node_that_is_not_a_member_is_not_recovered() {
    let (_parent, directory) = directory_of_three().await;
    let opened = stores(&directory);
    let error = complete(pending(), &opened, NodeId(9)).await.expect_err("is not a member");
    assert!(error.to_string().contains("0000000000000009 is not a member"), "{error}");
    close(opened).await;
}
