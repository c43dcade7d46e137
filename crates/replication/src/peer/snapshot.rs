//! A snapshot as a stream of parts: its head, the rows of the state, the events that the receiver
//! lacks.

use bytes::Bytes;
use meridian_domain::{Digest, Revision};
use meridian_proto::v1 as proto;
use meridian_proto::v1::snapshot_part::Part;
use meridian_storage::raft::{TypeConfig, Vote};
use meridian_storage::snapshot::{Head, Snapshot, StateRow};
use meridian_storage::store::Store;
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::raft::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::connection::Client;
use super::message::{unwrap, wrap};
use super::wire::SnapshotPlace;

/// Parts that wait for the network: with it full, reading waits too.
const PARTS: usize = 4;

/// Sends a snapshot, as much of it as the receiver lacks. Dropping the future ends the transfer.
pub(crate) async fn send(
    mut client: Client,
    store: Store,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
) -> Result<SnapshotResponse<TypeConfig>, Status> {
    let have = client.describe_history(proto::DescribeHistoryRequest {}).await?.into_inner();
    let chain = digest(&have.chain)?;
    let first = store.first_missing(&snapshot.snapshot, (Revision(have.revision), chain));
    let first = first.map_err(|error| Status::data_loss(error.to_string()))?;
    let place = SnapshotPlace {
        vote,
        last_log_id: snapshot.meta.last_log_id,
        last_membership: snapshot.meta.last_membership,
    };
    let (parts, stream) = mpsc::channel(PARTS);
    let head = head_part(place, &snapshot.snapshot.head(first));
    let feed = feed(parts, store, snapshot.snapshot, head, first);
    let install = client.install_snapshot(ReceiverStream::new(stream));
    let (fed, answer) = tokio::join!(feed, install);
    // Where the feed failed, the receiver says only that the stream was cut short.
    fed?;
    unwrap(&answer?.into_inner())
}

/// Feeds the stream of parts. Ends quietly where the receiver hung up: its answer says why.
async fn feed(
    parts: mpsc::Sender<proto::SnapshotPart>,
    store: Store,
    snapshot: Snapshot,
    head: Part,
    first: Revision,
) -> Result<(), Status> {
    let send = async |part| parts.send(proto::SnapshotPart { part: Some(part) }).await.is_ok();
    if !send(head).await {
        return Ok(());
    }
    for rows in snapshot.rows() {
        let rows = rows
            .into_iter()
            .map(|(key, value)| proto::SnapshotRow { key: key.into(), value: value.into() });
        if !send(Part::Rows(proto::SnapshotRows { rows: rows.collect() })).await {
            return Ok(());
        }
    }
    let last = snapshot.head(first).revision;
    let mut next = first;
    while next <= last {
        let events = store.stored_events(next, last);
        let events = events.map_err(|error| Status::data_loss(error.to_string()))?;
        next = Revision(next.0 + events.len() as u64);
        if !send(Part::Events(proto::SnapshotEvents { events })).await {
            return Ok(());
        }
    }
    Ok(())
}

/// Receives a snapshot beside what is there; nothing of it is seen before Raft installs it.
pub(crate) async fn receive(
    store: &Store,
    mut parts: Streaming<proto::SnapshotPart>,
) -> Result<(Vote, SnapshotOf<TypeConfig, Snapshot>), Status> {
    let refused = |error: &dyn std::fmt::Display| Status::aborted(error.to_string());
    let cut_short = || Status::aborted("the snapshot was cut short");
    let (place, head) = match parts.message().await?.and_then(|part| part.part) {
        Some(Part::Head(head)) => read_head(head)?,
        Some(Part::Rows(_) | Part::Events(_)) | None => return Err(cut_short()),
    };
    tracing::info!(revision = %head.revision, first_event = %head.first_event, "receiving a snapshot");
    let mut staging = store.stage(head).map_err(|error| refused(&error))?;
    while let Some(part) = parts.message().await? {
        let taken = match part.part {
            Some(Part::Rows(rows)) => staging.rows(state_rows(rows)).await,
            Some(Part::Events(events)) => staging.events(events.events).await,
            Some(Part::Head(_)) | None => return Err(cut_short()),
        };
        taken.map_err(|error| refused(&error))?;
    }
    let snapshot = staging.finish().map_err(|error| refused(&error))?;
    let SnapshotPlace { vote, last_log_id, last_membership } = place;
    let meta = SnapshotMetaOf::<TypeConfig> { last_log_id, last_membership };
    Ok((vote, SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot }))
}

/// Rows of the state on arrival, not looked into yet.
#[must_use]
pub fn state_rows(rows: proto::SnapshotRows) -> Vec<StateRow> {
    rows.rows.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())).collect()
}

fn head_part(place: SnapshotPlace, head: &Head) -> Part {
    let bytes = |digest: &Digest| Bytes::copy_from_slice(&digest.0);
    Part::Head(proto::SnapshotHead {
        place: wrap(place).body,
        revision: head.revision.0,
        chain: bytes(&head.chain),
        segments: head.segments.iter().map(bytes).collect(),
        first_event: head.first_event.0,
    })
}

/// What a snapshot is of, on arrival.
///
/// # Errors
/// If a hash has another length than hashes have, or the place in the Raft log makes no sense.
pub fn read_head(head: proto::SnapshotHead) -> Result<(SnapshotPlace, Head), Status> {
    let place = unwrap(&proto::RaftMessage { body: head.place })?;
    let segments: Result<Vec<_>, _> = head.segments.iter().map(digest).collect();
    let head = Head {
        revision: Revision(head.revision),
        chain: digest(&head.chain)?,
        segments: segments?.into(),
        first_event: Revision(head.first_event),
    };
    Ok((place, head))
}

fn digest(bytes: &Bytes) -> Result<Digest, Status> {
    let bytes = <[u8; 32]>::try_from(&**bytes);
    bytes.map(Digest).map_err(|_| Status::invalid_argument("a hash has 32 bytes"))
}
