//! A received snapshot: the parts of the stream, each prefixed with its length as a varint.

use std::sync::LazyLock;

use meridian_proto::v1::{SnapshotPart, snapshot_part::Part};
use meridian_replication::peer::snapshot::{read_head, state_rows};
use meridian_storage::disk::memory_database::MemoryDatabase;
use prost::Message;

use super::envelopes::fix_envelope;
use super::environment::{Node, RUNTIME};

/// A node without data. Received snapshots are never installed, so it stays empty.
static NODE: LazyLock<Node> =
    LazyLock::new(|| Node::open(&MemoryDatabase::new()).expect("an empty store opens"));

/// Returns true if the bytes are a complete snapshot.
pub fn accepts(data: &[u8]) -> bool {
    let mut parts = Vec::new();
    let mut rest = data;
    while !rest.is_empty()
        && let Ok(SnapshotPart { part: Some(part) }) =
            SnapshotPart::decode_length_delimited(&mut rest)
    {
        parts.push(part);
    }
    let fixed = parts.iter().cloned().map(fix_part).collect();
    RUNTIME.block_on(async { receive(parts).await.is_some() | receive(fixed).await.is_some() })
}

async fn receive(parts: Vec<Part>) -> Option<()> {
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
    assert_eq!(snapshot.head(head.first_event), head, "the snapshot differs from its head");
    // A snapshot can be sent again.
    snapshot.rows().for_each(drop);
    Some(())
}

/// Corrects the checksums of the envelopes in a part, but not the hashes over all events.
fn fix_part(mut part: Part) -> Part {
    let fix = |bytes: &mut bytes::Bytes| {
        let mut envelope = bytes.to_vec();
        fix_envelope(&mut envelope);
        *bytes = envelope.into();
    };
    match &mut part {
        Part::Head(head) => fix(&mut head.raft_meta),
        Part::Rows(rows) => rows.rows.iter_mut().for_each(|row| fix(&mut row.value)),
        Part::Events(events) => events.events.iter_mut().for_each(fix),
    }
    part
}
