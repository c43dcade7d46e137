//! The files of a data directory that the Raft log is opened from. The first byte chooses the file,
//! the second what happens to it:
//!
//! - single bytes change: offset (two bytes, little-endian) and what is XORed, again and again;
//! - it is replaced by what follows;
//! - the log goes on with what follows, before its checksum; the others hold what follows, in their
//!   envelope.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use meridian_domain::{ClusterId, NodeId};
use meridian_storage::disk::directory::{DataDirectory, Identity, StoredIdentity};
use meridian_storage::disk::entry::{Position, StoredBody, StoredEntry, StoredVote};
use meridian_storage::disk::journal::Journal as _;
use meridian_storage::disk::mark::StoredMark;
use meridian_storage::disk::wal::{ChunkLimits, Wal};
use meridian_storage::fuse::Fuse;
use uuid::Uuid;

use super::sealed::seal;
use super::world::directory;

/// Entries in the log.
const ENTRIES: u64 = 12;
/// Small, so that the log has several chunks.
const LIMITS: ChunkLimits = ChunkLimits { bytes: 600, records: 5 };

/// A whole data directory: the names of its files and what is in them. The last is the open chunk.
static WHOLE: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(whole);

/// What the log of it holds.
#[derive(Debug, PartialEq)]
struct Held {
    vote: Option<StoredVote>,
    entries: Vec<StoredEntry>,
}

/// Whether a node opens its log with such files.
pub fn understands(data: &[u8]) -> bool {
    let [file, how, what @ ..] = data else { return false };
    let chosen = usize::from(*file) % WHOLE.len();
    let directory = directory();
    fs::create_dir(directory.path().join("raft-log")).expect("is new");
    for (index, (name, bytes)) in WHOLE.iter().enumerate() {
        let mut bytes = bytes.clone();
        if index == chosen {
            change(name, &mut bytes, *how, what);
        }
        fs::write(directory.path().join(name), bytes).expect("can be written");
    }
    let Some(held) = held(directory.path()) else { return false };
    if how % 3 == 0 {
        assert_eq!(held, *HELD, "a changed file was believed");
    }
    true
}

static HELD: LazyLock<Held> =
    LazyLock::new(|| Held { vote: Some(vote()), entries: (0..ENTRIES).map(entry).collect() });

fn change(name: &str, bytes: &mut Vec<u8>, how: u8, what: &[u8]) {
    match (how % 3, name) {
        (0, _) => {
            let (edits, _) = what.as_chunks::<3>();
            for [low, high, bits] in edits {
                let at = usize::from(u16::from_le_bytes([*low, *high]));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
        }
        (1, _) => *bytes = what.to_vec(),
        (_, "identity") => *bytes = seal::<StoredIdentity>(what),
        (_, "mark") => {
            let envelope = seal::<StoredMark>(what);
            *bytes = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
            bytes.extend(envelope);
            bytes.resize(bytes.len().max(8192), 0);
        }
        _ => {
            bytes.extend(what);
            bytes.extend(u64::from(crc32fast::hash(what)).to_be_bytes());
        }
    }
}

fn identity() -> Identity {
    Identity { cluster: ClusterId(Uuid::from_u128(7)), node: NodeId(1) }
}

fn vote() -> StoredVote {
    StoredVote { term: 3, node: 1, committed: true }
}

fn entry(index: u64) -> StoredEntry {
    let payload = Bytes::from(format!("entry {index}").into_bytes());
    let position = Position { term: 3, node: 1, index };
    StoredEntry { position, body: StoredBody::Normal(payload) }
}

fn whole() -> Vec<(String, Vec<u8>)> {
    let place = directory();
    let mut data = DataDirectory::open(place.path()).expect("is new");
    data.establish(identity()).expect("is new");
    let mut wal = Wal::open(&data, identity(), LIMITS, Fuse::default()).expect("is new");
    wal.save_vote(vote()).expect("can be written");
    for index in 0..ENTRIES {
        wal.append(vec![entry(index)]).expect("can be written");
    }
    wal.close().expect("can be written");
    drop(wal);
    let chunks = fs::read_dir(data.log_path()).expect("is there");
    let chunks = chunks.map(|chunk| chunk.expect("is there").file_name().into_string());
    let chunks = chunks.map(|name| name.expect("is text")).filter(|name| name.ends_with(".wal"));
    let mut names: Vec<String> = chunks.map(|name| format!("raft-log/{name}")).collect();
    names.sort();
    names.splice(0..0, ["identity".to_owned(), "mark".to_owned()]);
    let read = |name: String| {
        let bytes = fs::read(place.path().join(&name)).expect("is there");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

/// What the log in `place` holds; nothing where it is refused.
fn held(place: &Path) -> Option<Held> {
    let data = DataDirectory::open(place).ok()?;
    let identity = data.identity()?;
    let mut wal = Wal::open(&data, identity, LIMITS, Fuse::default()).ok()?;
    let bounds = wal.bounds();
    let end = bounds.last.map_or(0, |last| last.index.saturating_add(1));
    let first = bounds.purged.map_or(0, |purged| purged.index.saturating_add(1));
    let entries = wal.read(first..end, usize::MAX).ok();
    wal.close().ok()?;
    Some(Held { vote: bounds.vote, entries: entries? })
}
