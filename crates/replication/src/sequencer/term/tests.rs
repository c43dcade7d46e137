use std::collections::BTreeMap;

use meridian_domain::agent::Address;
use meridian_domain::{ClusterId, Epoch, NodeId, Revision};
use meridian_ports::Receipt;
use meridian_storage::disk::directory::{DataDirectory, Identity};
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::disk::wal::{ChunkLimits, Wal};
use meridian_storage::open::{Stores, assemble};
use meridian_storage::raft::{Member, Vote};
use openraft::raft::AppendEntriesRequest;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::*;
use crate::environment::Clock;
use crate::leader_watch::LeaderWatch;
use crate::peer::epoch::ClusterEpoch;
use crate::peer::identity::Source;
use crate::peer::links::Links;
use crate::peer::network::Factory;
use crate::peer::pool::{Pool, PoolConfig};
use crate::timing::Profile;

const NODE: NodeId = NodeId(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the Raft of a node that leads alone, and its connections.
async fn leader(directory: &DataDirectory, identity: Identity) -> (Raft, Store, Arc<Pool>) {
    let fuse = Fuse::default();
    let limits = ChunkLimits::default();
    let journal = Wal::open(directory, identity, limits, fuse.clone()).expect("is new");
    let database = Arc::new(MemoryDatabase::new());
    let stores = assemble(Box::new(journal), database, &fuse).expect("is new");
    let Stores { log, state_machine, store } = stores;
    let timing = Profile::Lan.timing();
    let address: Address = "127.0.0.1:1".parse().expect("is an address");
    let pool = Pool::new(PoolConfig {
        cluster: ClusterEpoch::new(identity.cluster, Epoch::default()),
        source: Source { node: NODE, address: address.clone(), run: Uuid::nil() },
        dialer: meridian_transport::Dialer::default(),
        book: Arc::default(),
        connect_timeout: timing.connect,
        stalled_after: timing.silence,
    });
    let pool = Arc::new(pool);
    let factory = Factory { pool: pool.clone(), timing, store: store.clone() };
    let config = Arc::new(timing.raft_config(1_000, 100));
    let raft = Raft::new(NODE, config, factory, log, state_machine).await.expect("starts");
    let member = Member { address };
    raft.initialize(BTreeMap::from([(NODE, member)])).await.expect("is new");
    timeout(TIMEOUT, LeaderWatch::new(&raft).leader()).await.expect("is elected");
    (raft, store, pool)
}

#[tokio::test]
async fn a_term_ends_when_this_node_no_longer_leads_although_an_entry_has_no_outcome() {
    let parent = tempfile::tempdir().expect("can create a directory");
    let directory = DataDirectory::open(parent.path()).expect("is new");
    let identity = Identity { cluster: ClusterId(Uuid::from_u128(1)), node: NODE };
    let (raft, store, pool) = leader(&directory, identity).await;
    let links = Arc::new(Links::new(pool, &raft));
    let clock = ClusterClock::new(NODE, raft.clone(), links, Clock::default());
    let (leader, state) = begin_term(&raft, &store, &clock).await.expect("leads");
    let mut term = Term::new(&raft, &clock, leader, state);
    let (_responder, outcome) = write_channel();
    let (reply, mut received) = oneshot::channel();
    let (verdict, revision) = (Verdict::Accepted, Revision(0));
    let receipt = Receipt { verdict, base: revision, revision };
    let waiters = vec![(reply, receipt)];
    term.in_flight.push(InFlightEntry { proposed_at: Instant::now(), outcome, waiters });

    let vote = Vote::new_committed(leader.term + 1, NodeId(2));
    let append =
        AppendEntriesRequest { vote, prev_log_id: None, leader_commit: None, entries: Vec::new() };
    let (ended, appended) = tokio::join!(timeout(TIMEOUT, term.end()), raft.append_entries(append));
    appended.expect("the new leader is accepted");
    ended.expect("the term is over");
    assert!(matches!(received.try_recv(), Ok(Reply::Failed(_))));
}
