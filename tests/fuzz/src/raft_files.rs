//! The files from which the Raft log is opened. The first byte selects the file, the second the
//! change:
//!
//! - single bytes are changed: pairs of an offset (two bytes, little-endian) and a mask for XOR;
//! - the file is replaced by the remaining bytes;
//! - the remaining bytes are appended to the log, with a checksum; other files contain them in an
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

use super::envelopes::seal;
use super::environment::directory;

/// Number of entries in the log.
const ENTRIES: u64 = 12;
/// Small limits, so that the log has several chunks.
const LIMITS: ChunkLimits = ChunkLimits { bytes: 600, records: 5 };

/// An intact data directory: names and contents of its files. The last one is the open chunk.
static INTACT: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(intact);

/// The contents of the log.
#[derive(Debug, PartialEq)]
struct Contents {
    vote: Option<StoredVote>,
    entries: Vec<StoredEntry>,
}

/// Returns true if a node opens its log with the changed file.
pub fn accepts(data: &[u8]) -> bool {
    let [file, how, data @ ..] = data else { return false };
    let chosen = usize::from(*file) % INTACT.len();
    let directory = directory();
    fs::create_dir(directory.path().join("raft-log")).expect("the directory is created");
    for (index, (name, bytes)) in INTACT.iter().enumerate() {
        let mut bytes = bytes.clone();
        if index == chosen {
            change(name, &mut bytes, *how, data);
        }
        fs::write(directory.path().join(name), bytes).expect("the file is written");
    }
    let Some(contents) = open_log(directory.path()) else { return false };
    if how % 3 == 0 {
        assert_eq!(contents, *CONTENTS, "a change of a file was not detected");
    }
    true
}

static CONTENTS: LazyLock<Contents> =
    LazyLock::new(|| Contents { vote: Some(vote()), entries: (0..ENTRIES).map(entry).collect() });

fn change(name: &str, bytes: &mut Vec<u8>, how: u8, data: &[u8]) {
    match (how % 3, name) {
        (0, _) => {
            let (edits, _) = data.as_chunks::<3>();
            for [low, high, bits] in edits {
                let at = usize::from(u16::from_le_bytes([*low, *high]));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bits;
                }
            }
        }
        (1, _) => *bytes = data.to_vec(),
        (_, "identity") => *bytes = seal::<StoredIdentity>(data),
        (_, "mark") => {
            let envelope = seal::<StoredMark>(data);
            *bytes = u32::try_from(envelope.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
            bytes.extend(envelope);
            bytes.resize(bytes.len().max(8192), 0);
        }
        _ => {
            bytes.extend(data);
            bytes.extend(u64::from(crc32fast::hash(data)).to_be_bytes());
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

fn intact() -> Vec<(String, Vec<u8>)> {
    let root = directory();
    let mut data = DataDirectory::open(root.path()).expect("the directory opens");
    data.establish(identity()).expect("the identity is written");
    let mut wal = Wal::open(&data, identity(), LIMITS, Fuse::default()).expect("the log opens");
    wal.save_vote(vote()).expect("the vote is written");
    for index in 0..ENTRIES {
        wal.append(vec![entry(index)]).expect("the entry is written");
    }
    wal.close().expect("the log is closed");
    drop(wal);
    let chunks = fs::read_dir(data.log_path()).expect("the directory is readable");
    let chunks =
        chunks.map(|chunk| chunk.expect("the entry is readable").file_name().into_string());
    let chunks =
        chunks.map(|name| name.expect("a UTF-8 name")).filter(|name| name.ends_with(".wal"));
    let mut names: Vec<String> = chunks.map(|name| format!("raft-log/{name}")).collect();
    names.sort();
    names.splice(0..0, ["identity".to_owned(), "mark".to_owned()]);
    let read = |name: String| {
        let bytes = fs::read(root.path().join(&name)).expect("the file is readable");
        (name, bytes)
    };
    names.into_iter().map(read).collect()
}

/// Returns the contents of the log, or `None` if it is rejected.
fn open_log(path: &Path) -> Option<Contents> {
    let data = DataDirectory::open(path).ok()?;
    let identity = data.identity()?;
    let mut wal = Wal::open(&data, identity, LIMITS, Fuse::default()).ok()?;
    let bounds = wal.bounds();
    let end = bounds.last.map_or(0, |last| last.index.saturating_add(1));
    let first = bounds.purged.map_or(0, |purged| purged.index.saturating_add(1));
    let entries = wal.read(first..end, usize::MAX).ok();
    wal.close().ok()?;
    Some(Contents { vote: bounds.vote, entries: entries? })
}
