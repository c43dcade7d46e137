//! A log with a few changes, and the data derived from it: rows, a derived store, a snapshot,
//! messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use meridian_domain::api::Timeouts;
use meridian_domain::{
    Actor, Address, AgentDescription, AgentName, Api, ApiName, ApiPath, BackendUrl, Change,
    ClusterId, Command, DataVersion, Digest, Edit, Entry, NodeId, Origin, Region, RegionName,
    Revision, ServiceName, State, Tier, Timestamp, Verdict, WhenDisabled, Zones, decide, evolve,
};
use meridian_ports::{Proposal, ProposeError, Receipt, Requester};
use meridian_proto::v1::{self, snapshot_part::Part};
use meridian_replication::peer::message::{encode, propose_request};
use meridian_replication::peer::wire::RaftSnapshotMeta;
use meridian_storage::codec;
use meridian_storage::disk::database::Database as _;
use meridian_storage::disk::memory_database::MemoryDatabase;
use meridian_storage::fuse::Fuse;
use meridian_storage::raft::{Payload, TypeConfig};
use meridian_storage::rows::position::{Format, LogPosition, Members, Position, SegmentEnd};
use meridian_storage::rows::{self, Forgotten, Row, StoredApi};
use meridian_storage::store::Store;
use openraft::alias::{EntryOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult, VoteRequest};
use openraft::storage::RaftStateMachine as _;
use openraft::{EntryPayload, LogId};
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::{HEADER_BYTES, Seed, body, seed};

pub fn seeds() -> Vec<Seed> {
    let (entries, state) = history();
    let mut seeds = state_rows(&state);
    seeds.extend(single_values(&state));
    seeds.extend(messages(&entries));
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().expect("the runtime is built");
    seeds.extend(runtime.block_on(store(&entries)));
    seeds
}

fn service() -> ServiceName {
    ServiceName::new("contoso").expect("a valid name")
}

fn region(name: &str) -> RegionName {
    RegionName::new(name).expect("a valid name")
}

fn cluster() -> ClusterId {
    ClusterId(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff))
}

fn request(number: u128) -> meridian_domain::RequestId {
    let version_and_variant = 0x7000_8000_0000_0000_0000_u128;
    Uuid::from_u128(number << 80 | version_and_variant).try_into().expect("a UUID of version 7")
}

fn agent(number: u64, place: &str) -> AgentDescription {
    let address = |port| Address::new(format!("10.0.0.{number}:{port}")).expect("a valid address");
    AgentDescription {
        name: AgentName::new(format!("agent-{number}")).expect("a valid name"),
        node: NodeId(number),
        region: region(place),
        zone: None,
        witness: false,
        client_address: address(7400),
        peer_address: address(7401),
        gateway_host: "gateway.example.net".to_owned(),
        supports: DataVersion(1),
    }
}

fn commands() -> Vec<Command> {
    let lab = Region {
        name: region("lab"),
        display_name: "Laboratory".to_owned(),
        latitude_microdegrees: 52_500_000,
        longitude_microdegrees: -4_250_000,
    };
    let backend = |url: &str| BackendUrl::new(url).expect("a valid backend");
    let api = Api {
        name: ApiName::new("orders").expect("a valid name"),
        path: ApiPath::new("/orders").expect("a valid path"),
        backend: backend("https://orders.internal"),
        regional: BTreeMap::from([(region("lab"), backend("http://10.1.1.1:99"))]),
        timeouts: Timeouts::default(),
    };
    let add = Edit::Add { region: region("lab"), units: 2, zones: Zones::new() };
    vec![
        Command::BootstrapCluster {
            cluster: cluster(),
            agents: vec![agent(1, "westeurope"), agent(2, "eastus")],
        },
        Command::DefineRegion { region: lab },
        Command::RegisterAgent(agent(3, "lab")),
        Command::CreateService {
            service: service(),
            tier: Tier::Premium,
            primary: region("westeurope"),
            port: None,
            when_disabled: WhenDisabled::Redirect,
        },
        Command::ChangeService {
            service: service(),
            expected: None,
            edits: vec![add, Edit::PublishApi(api)],
        },
    ]
}

/// Returns the entries of the commands, and the resulting state.
fn history() -> (Vec<Entry>, State) {
    let mut state = State::default();
    let mut entries = Vec::new();
    for (number, command) in (1..).zip(commands()) {
        let events = decide(&state, &command).expect("the command is accepted");
        let origin = Origin::Operator {
            request: request(number),
            digest: Digest([7; 32]),
            actor: Actor::new("ada@example").expect("a valid actor"),
            reason: None,
        };
        let change = Change { origin, events, verdict: Verdict::Accepted };
        let base = state.header.revision;
        let entry = Entry { base, time: Timestamp(1_000 + base.0), changes: vec![change] };
        evolve::apply(&mut state, &entry).expect("the entry applies");
        entries.push(entry);
    }
    (entries, state)
}

fn state_rows(state: &State) -> Vec<Seed> {
    let forgotten = Row::Forgotten(Some(Forgotten { request: request(1) }));
    let present = rows::keys(state).map(|key| Row::of(state, &key)).chain([forgotten]);
    let mut seeds = Vec::new();
    for row in present {
        let key = row.key().bytes();
        let value = row.value().expect("the row is present").split_off(HEADER_BYTES);
        let length = u8::try_from(key.len()).expect("the key is short");
        let name = format!("{}-{}", char::from(key[0]), seeds.len());
        seeds.push(seed("rows", &name, length, [key, value].concat()));
    }
    seeds
}

fn single_values(state: &State) -> Vec<Seed> {
    let applied = LogPosition { term: 1, leader: NodeId(1), index: 5 };
    let position =
        Position { applied: Some(applied), revision: Revision(9), rows: 12, ..Position::default() };
    let ((service, _), api) = state.apis.first_key_value().expect("an API is published");
    let stored = StoredApi { service: service.clone(), api: api.clone() };
    let receipt = Receipt { verdict: Verdict::Accepted, base: Revision(1), revision: Revision(2) };
    let members = Members::from(&StoredMembershipOf::<TypeConfig>::default());
    vec![
        seed("envelope", "format", 30, body(&Format { version: 2 })),
        seed("envelope", "position", 31, body(&position)),
        seed("envelope", "members", 32, body(&members)),
        seed("envelope", "segment", 33, body(&SegmentEnd { chain: Digest([9; 32]) })),
        seed("envelope", "forgotten", 34, body(&Forgotten { request: request(7) })),
        seed("envelope", "api", 35, body(&stored)),
        seed("envelope", "receipt", 40, body(&receipt)),
        seed("envelope", "propose-error", 41, body(&ProposeError::Overloaded { waiting: 7 })),
    ]
}

fn log_id(index: u64) -> LogId<LeaderId<u64, NodeId>> {
    LogId { leader_id: LeaderId { term: 1, node_id: NodeId(1) }, index }
}

fn vote() -> VoteOf<TypeConfig> {
    VoteOf::<TypeConfig> { leader_id: LeaderId { term: 1, node_id: NodeId(1) }, committed: true }
}

fn raft_entries(entries: &[Entry]) -> Vec<EntryOf<TypeConfig>> {
    let raft = |(index, entry)| {
        let payload = EntryPayload::Normal(Payload(codec::encode(entry).into()));
        EntryOf::<TypeConfig> { log_id: log_id(index), payload }
    };
    (1..).zip(entries).map(raft).collect()
}

fn messages(entries: &[Entry]) -> Vec<Seed> {
    let append = AppendEntriesRequest::<TypeConfig> {
        vote: vote(),
        prev_log_id: Some(log_id(0)),
        entries: raft_entries(&entries[..2]),
        leader_commit: Some(log_id(1)),
    };
    let appended: StreamAppendResult<TypeConfig> = Ok(Some(log_id(2)));
    let vote_request = VoteRequest::<TypeConfig>::new(vote(), Some(log_id(2)));
    let place = RaftSnapshotMeta {
        vote: vote(),
        last_log_id: Some(log_id(5)),
        last_membership: StoredMembershipOf::<TypeConfig>::default(),
    };
    let [command, ..] = &commands()[..] else { unreachable!("there are commands") };
    let requester = Requester::Operator {
        request: request(9),
        actor: Actor::new("ada@example").expect("a valid actor"),
        reason: None,
    };
    let deadline = Instant::now();
    let proposal = Proposal { command: command.clone(), requester, deadline };
    let receipt = Receipt { verdict: Verdict::Accepted, base: Revision(1), revision: Revision(2) };
    let receipt = v1::propose_response::Result::Receipt(codec::encode(&receipt).into());
    let response = v1::ProposeResponse { number: 3, result: Some(receipt) };
    let raft = |message: v1::RaftMessage| message.body[HEADER_BYTES..].to_vec();
    vec![
        seed("peer_messages", "append", 0, raft(encode(append))),
        seed("peer_messages", "append-response", 1, raft(encode(appended))),
        seed("peer_messages", "vote-request", 2, raft(encode(vote_request))),
        seed("peer_messages", "snapshot-place", 7, raft(encode(place))),
        seed("peer_messages", "proposal", 8, propose_request(&proposal).encode_to_vec()),
        seed("peer_messages", "receipt", 9, response.encode_to_vec()),
    ]
}

/// Returns the rows of a node that applied the entries, and the snapshot that it sends.
async fn store(entries: &[Entry]) -> Vec<Seed> {
    let database = MemoryDatabase::new();
    let flushed = watch::Sender::new(Some(u64::MAX));
    let shared = Arc::new(database.clone());
    let opened = Store::open(shared, flushed.subscribe(), Arc::default(), Fuse::default());
    let (store, mut machine) = opened.expect("the store opens");
    let raft = raft_entries(entries).into_iter().map(|entry| Ok((entry, None)));
    machine.apply(futures::stream::iter(raft)).await.expect("the entries apply");
    let snapshot = machine
        .get_current_snapshot()
        .await
        .expect("the snapshot is built")
        .expect("there is a snapshot");
    store.close().await.expect("memory does not fail");

    let rows = database.scan(&[], &[0xff; 8], usize::MAX).expect("the rows can be read");
    let mut header = store.state().header.clone();
    header.trimmed = Revision(1 << 20);
    let trimmed = rows.iter().cloned().map(|(key, value)| {
        let is_header = key.starts_with(b"t/") && key.ends_with(b"z");
        let value = if is_header { codec::encode(&header) } else { value };
        (key, value)
    });
    let trimmed = dump(trimmed.collect());
    let place = RaftSnapshotMeta {
        vote: vote(),
        last_log_id: snapshot.meta.last_log_id,
        last_membership: snapshot.meta.last_membership,
    };
    let snapshot = snapshot.snapshot;
    let head = snapshot.head(Revision(1));
    let head = Part::Head(v1::SnapshotHead {
        raft_meta: encode(place).body,
        revision: head.revision.0,
        chain: head.chain.0.to_vec().into(),
        segments: Vec::new(),
        first_event: 1,
    });
    let row =
        |(key, value): (Vec<u8>, Vec<u8>)| v1::SnapshotRow { key: key.into(), value: value.into() };
    let parts = snapshot.rows().map(|rows| {
        let rows = rows.into_iter().map(row).collect();
        Part::Rows(v1::SnapshotRows { rows })
    });
    let events =
        store.stored_events(Revision(1), snapshot.revision()).expect("the events are stored");
    let events = Part::Events(v1::SnapshotEvents { events });
    let parts = [head].into_iter().chain(parts).chain([events]);
    let parts = parts.map(|part| v1::SnapshotPart { part: Some(part) });
    let stream: Vec<u8> = parts.flat_map(|part| part.encode_length_delimited_to_vec()).collect();
    let seed = |target, name: &str, bytes| Seed { target, name: name.to_owned(), bytes };
    vec![
        seed("derived_store", "whole", dump(rows)),
        seed("derived_store", "finding-trimmed-beyond-the-end", trimmed),
        seed("snapshot", "whole", stream),
    ]
}

/// Encodes the rows as the target expects them.
fn dump(rows: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut dump = Vec::new();
    for (key, value) in rows {
        for part in [&key, &value] {
            let length = u16::try_from(part.len()).expect("the length is small");
            dump.extend(length.to_le_bytes());
        }
        dump.extend([key, value].concat());
    }
    dump
}
