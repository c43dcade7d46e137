//! A snapshot on its way in: the parts of the stream, each behind its length as a varint.

use std::sync::LazyLock;

use meridian_proto::v1::{SnapshotPart, snapshot_part::Part};
use meridian_replication::peer::snapshot::{read_head, state_rows};
use meridian_storage::disk::memory_database::MemoryDatabase;
use prost::Message;

use super::sealed::mend;
use super::world::{Node, RUNTIME};

/// A node that has nothing. Nothing of what it receives is ever installed, so it stays that.
static NODE: LazyLock<Node> =
    LazyLock::new(|| Node::open(&MemoryDatabase::new()).expect("an empty store opens"));

/// Whether the bytes are a whole snapshot.
pub fn understands(data: &[u8]) -> bool {
    let mut parts = Vec::new();
    let mut rest = data;
    while !rest.is_empty()
        && let Ok(SnapshotPart { part: Some(part) }) =
            SnapshotPart::decode_length_delimited(&mut rest)
    {
        parts.push(part);
    }
    let mended = parts.iter().cloned().map(mended).collect();
    RUNTIME.block_on(async { received(parts).await.is_some() | received(mended).await.is_some() })
}

async fn received(parts: Vec<Part>) -> Option<()> {
    let mut parts = parts.into_iter();
    let Some(Part::Head(head)) = parts.next() else { return None };
    let (_, head) = read_head(head).ok()?;
    let mut staging = NODE.store.stage(head.clone()).ok()?;
    for part in parts {
        match part {
            Part::Head(_) => return None,
            Part::Rows(rows) => staging.rows(state_rows(rows)).await.ok()?,
            Part::Events(events) => staging.events(events.events).await.ok()?,
        }
    }
    let snapshot = staging.finish().ok()?;
    assert_eq!(snapshot.head(head.first_event), head, "it is not what its head says");
    // It is sent on as it came.
    snapshot.rows().for_each(drop);
    Some(())
}

/// The part with right checksums: in its envelopes, that is, not in the hashes over all events.
fn mended(mut part: Part) -> Part {
    let mend = |bytes: &mut bytes::Bytes| {
        let mut envelope = bytes.to_vec();
        mend(&mut envelope);
        *bytes = envelope.into();
    };
    match &mut part {
        Part::Head(head) => mend(&mut head.place),
        Part::Rows(rows) => rows.rows.iter_mut().for_each(|row| mend(&mut row.value)),
        Part::Events(events) => events.events.iter_mut().for_each(mend),
    }
    part
}
