//! A node that applies a log in which some entries were decided in another state, as those of a
//! deposed leader would be.

use std::sync::Arc;

use meridian_storage::codec;
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::{Payload, TypeConfig};
use meridian_storage::rows;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::store::Store;
use anyhow::ensure;
use futures::stream;
use meridian_domain::{
    Actor, Change, ClusterId, Command, Digest, Entry, Origin, RequestId, State, Timestamp, Verdict,
    decide, evolve, limits,
};
use openraft::alias::EntryOf;
use openraft::impls::leader_id_adv::LeaderId;
use openraft::storage::RaftStateMachine as _;
use openraft::{EntryPayload, LogId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;
use uuid::Uuid;

use crate::runtime;

/// Number of entries in the log.
const ENTRIES: u128 = 40;

/// Checks that the state after the log equals that of the model.
pub fn check(seed: u64) -> anyhow::Result<()> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut state = State::default();
    let mut before = State::default();
    let mut log = Vec::new();
    for number in 0..ENTRIES {
        // Sometimes the decision misses the last entry.
        let known = if rng.random_bool(0.1) { &before } else { &state };
        let entry = decide_entry(known, number, &command(&mut rng, known));
        before = state.clone();
        // Like every node, the model applies the entry, or rejects it because of its base.
        drop(evolve::apply(&mut state, &entry));
        log.push(entry);
    }
    let applied = runtime()?.block_on(apply(&log))?;
    ensure!(
        applied.header.revision == state.header.revision,
        "S4: a node is at revision {} after a log that ends at {}",
        applied.header.revision,
        state.header.revision
    );
    ensure!(
        rows::digest(&applied) == rows::digest(&state),
        "S4: a node's state is not the fold of its entries"
    );
    Ok(())
}

fn command(rng: &mut SmallRng, state: &State) -> Command {
    if state.header.cluster.is_none() {
        return Command::BootstrapCluster { cluster: ClusterId(Uuid::nil()), agents: Vec::new() };
    }
    let premium_units = rng.random_range(1..10);
    Command::SetLimits { limits: limits::Limits { premium_units, ..limits::Limits::default() } }
}

fn decide_entry(state: &State, number: u128, command: &Command) -> Entry {
    let (events, verdict) = match decide(state, command) {
        Ok(events) => (events, Verdict::Accepted),
        Err(rejections) => (Vec::new(), Verdict::Rejected(rejections)),
    };
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    let request = Uuid::from_u128((number + 1) << 80 | version_and_variant);
    let origin = Origin::Operator {
        request: RequestId::try_from(request).expect("a UUID of version 7"),
        digest: Digest::default(),
        actor: Actor::new("test").expect("a valid actor"),
        reason: None,
    };
    let change = Change { origin, events, verdict };
    let time = Timestamp(1_000 + u64::try_from(number).expect("a small number"));
    Entry { base: state.header.revision, time, changes: vec![change] }
}

/// Returns the state of a real node that applied the log.
async fn apply(log: &[Entry]) -> anyhow::Result<State> {
    let flushed = watch::Sender::new(Some(u64::MAX));
    let database = Arc::new(MemoryDatabase::new());
    let (store, mut machine) =
        Store::open(database, flushed.subscribe(), Arc::default(), Fuse::default())?;
    let entry = |(index, entry): (u64, &Entry)| {
        let leader_id = LeaderId { term: 1, node_id: 1.into() };
        let payload = EntryPayload::Normal(Payload(codec::encode(entry).into()));
        let log_id = LogId { leader_id, index };
        Ok((EntryOf::<TypeConfig> { log_id, payload }, None))
    };
    machine.apply(stream::iter((1..).zip(log).map(entry))).await?;
    let state = store.state().clone();
    store.close().await?;
    Ok(state)
}
