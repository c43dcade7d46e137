//! Transfer of a snapshot as a stream of parts: its head, the rows of the state, and the events
//! that the receiver lacks.

use bytes::Bytes;
use error_reporter::Report;
use meridian_domain::{Digest, Revision};
use meridian_proto::v1 as proto;
use meridian_proto::v1::snapshot_part::Part;
use meridian_storage::raft::{TypeConfig, Vote};
use meridian_storage::snapshot::staging::StagingError;
use meridian_storage::snapshot::{Head, Snapshot, StateRow};
use meridian_storage::store::Store;
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::raft::SnapshotResponse;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::message::{decode, encode};
use super::pool::Client;
use super::wire::RaftSnapshotMeta;

/// Maximum number of parts that are read ahead of the network.
const PARTS: usize = 4;

/// Sends a snapshot, without the events that the receiver already has. Dropping the future aborts
/// the transfer.
pub(crate) async fn send(
    mut client: Client,
    store: Store,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, Snapshot>,
) -> Result<SnapshotResponse<TypeConfig>, Status> {
    let history = client.describe_history(proto::DescribeHistoryRequest {}).await?.into_inner();
    let chain = digest(&history.chain)?;
    let first = store.first_missing(&snapshot.snapshot, (Revision(history.revision), chain));
    let first = first.map_err(|error| Status::data_loss(error.to_string()))?;
    let raft_meta = RaftSnapshotMeta {
        vote,
        last_log_id: snapshot.meta.last_log_id,
        last_membership: snapshot.meta.last_membership,
    };
    let (parts, stream) = mpsc::channel(PARTS);
    let head = head_part(raft_meta, &snapshot.snapshot.head(first));
    let sending = send_parts(parts, store, snapshot.snapshot, head, first);
    let install = client.install_snapshot(ReceiverStream::new(stream));
    let (sent, response) = tokio::join!(sending, install);
    // Checked first: if sending failed, the receiver reports only an incomplete stream.
    sent?;
    decode(&response?.into_inner())
}

/// Sends all parts. Returns `Ok` if the receiver closed the stream: its response has the cause.
async fn send_parts(
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

/// Receives a snapshot into a staging area. It is not visible before Raft installs it.
pub(crate) async fn receive(
    store: &Store,
    mut parts: Streaming<proto::SnapshotPart>,
) -> Result<(Vote, SnapshotOf<TypeConfig, Snapshot>), Status> {
    let aborted = |error: StagingError| Status::aborted(Report::new(error).to_string());
    let malformed = || Status::aborted("incomplete or malformed snapshot stream");
    let (raft_meta, head) = match parts.message().await?.and_then(|part| part.part) {
        Some(Part::Head(head)) => read_head(head)?,
        Some(Part::Rows(_) | Part::Events(_)) | None => return Err(malformed()),
    };
    tracing::info!(revision = %head.revision, first_event = %head.first_event, "receiving a snapshot");
    let mut staging = store.stage(head).map_err(aborted)?;
    while let Some(part) = parts.message().await? {
        let staged = match part.part {
            Some(Part::Rows(rows)) => staging.rows(state_rows(rows)).await,
            Some(Part::Events(events)) => staging.events(events.events).await,
            Some(Part::Head(_)) | None => return Err(malformed()),
        };
        staged.map_err(aborted)?;
    }
    let snapshot = staging.finish().map_err(aborted)?;
    let RaftSnapshotMeta { vote, last_log_id, last_membership } = raft_meta;
    let meta = SnapshotMetaOf::<TypeConfig> { last_log_id, last_membership };
    Ok((vote, SnapshotOf::<TypeConfig, Snapshot> { meta, snapshot }))
}

/// Returns the state rows in a message. They are not validated yet.
#[must_use]
pub fn state_rows(rows: proto::SnapshotRows) -> Vec<StateRow> {
    rows.rows.into_iter().map(|row| (row.key.to_vec(), row.value.to_vec())).collect()
}

fn head_part(raft_meta: RaftSnapshotMeta, head: &Head) -> Part {
    let bytes = |digest: &Digest| Bytes::copy_from_slice(&digest.0);
    Part::Head(proto::SnapshotHead {
        raft_meta: encode(raft_meta).body,
        revision: head.revision.0,
        chain: bytes(&head.chain),
        segments: head.segments.iter().map(bytes).collect(),
        first_event: head.first_event.0,
    })
}

/// Decodes the head of a snapshot.
///
/// # Errors
/// If a hash does not have 32 bytes, or the Raft metadata is invalid.
pub fn read_head(head: proto::SnapshotHead) -> Result<(RaftSnapshotMeta, Head), Status> {
    let raft_meta = decode(&proto::RaftMessage { body: head.raft_meta })?;
    let segments: Result<Vec<_>, _> = head.segments.iter().map(digest).collect();
    let head = Head {
        revision: Revision(head.revision),
        chain: digest(&head.chain)?,
        segments: segments?.into(),
        first_event: Revision(head.first_event),
    };
    Ok((raft_meta, head))
}

fn digest(bytes: &Bytes) -> Result<Digest, Status> {
    let bytes = <[u8; 32]>::try_from(&**bytes);
    bytes.map(Digest).map_err(|_| Status::invalid_argument("invalid hash: not 32 bytes"))
}
