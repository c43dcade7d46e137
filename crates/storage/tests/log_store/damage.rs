//! Damage is rejected with an error that names it; only data that was never acknowledged is
//! truncated.

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use crate::{LARGE, LogDirectory, SMALL, expected, text, vote};

/// Returns the offset of the payload of an entry in a chunk.
fn payload_offset(bytes: &[u8], index: u64) -> usize {
    let text = text(index);
    let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    found.expect("the chunk contains the entry")
}

/// Distance from the length in raft-log's frame to the payload: the length itself (4), the envelope
/// header (16), the position (24), the variant (4), bincode's length of the payload (8).
const FROM_LENGTH_TO_PAYLOAD: usize = 4 + 16 + 24 + 4 + 8;

async fn written(limits: meridian_storage::disk::wal::ChunkLimits, last: u64) -> LogDirectory {
    let directory = LogDirectory::new();
    let mut log = directory.open(limits).expect("is new");
    log.append(1, 0..last + 1).await;
    drop(log);
    directory
}

#[tokio::test]
async fn a_torn_tail_is_truncated() {
    let directory = written(LARGE, 9).await;
    // A power loss during an append may leave the start of a record.
    directory.alter_chunk(0, |bytes| {
        let second = payload_offset(bytes, 1) - FROM_LENGTH_TO_PAYLOAD - 28;
        let torn = bytes[second..second + 50].to_vec();
        bytes.extend(torn);
    });
    let mut log = directory.open(LARGE).expect("no acknowledged entry is missing");
    assert_eq!(log.ids().await, expected(1, 0..10));
    log.append(1, 10..12).await;
    drop(log);
    assert_eq!(directory.open(LARGE).expect("is intact").ids().await, expected(1, 0..12));
}

#[tokio::test]
async fn zeros_after_the_end_are_truncated() {
    let directory = written(LARGE, 9).await;
    directory.alter_chunk(0, |bytes| bytes.extend([0; 5000]));
    let mut log = directory.open(LARGE).expect("no acknowledged entry is missing");
    assert_eq!(log.ids().await, expected(1, 0..10));
}

/// Returns the offset of the record of an entry in a chunk.
fn record_offset(bytes: &[u8], index: u64) -> usize {
    payload_offset(bytes, index) - FROM_LENGTH_TO_PAYLOAD - 28
}

/// Returns a log whose file has its final length but zeros from the end of a sector on, and the
/// index of the entry that extends into them. Only the entries before entry 10 were acknowledged.
async fn with_unwritten_sectors() -> (LogDirectory, u64) {
    let directory = written(LARGE, 9).await;
    let mark = std::fs::read(directory.path().join("mark")).expect("exists");
    directory.open(LARGE).expect("is intact").append(1, 10..30).await;
    std::fs::write(directory.path().join("mark"), mark).expect("can be written");
    let mut cut = 0;
    directory.alter_chunk(0, |bytes| {
        let sector = record_offset(bytes, 10).next_multiple_of(512);
        cut = (10..30)
            .rfind(|index| record_offset(bytes, *index) < sector)
            .expect("an entry crosses the sector");
        assert!(record_offset(bytes, cut + 1) > sector, "the entry extends into the next sector");
        bytes[sector..].fill(0);
    });
    (directory, cut)
}

#[tokio::test]
async fn a_record_that_extends_into_unwritten_sectors_is_truncated() {
    let (directory, cut) = with_unwritten_sectors().await;
    let mut log = directory.open(LARGE).expect("no acknowledged entry is missing");
    assert_eq!(log.ids().await, expected(1, 0..cut));
    log.append(1, cut..cut + 3).await;
    drop(log);
    assert_eq!(directory.open(LARGE).expect("is intact").ids().await, expected(1, 0..cut + 3));
}

#[tokio::test]
async fn a_flipped_bit_before_unwritten_sectors_is_rejected() {
    let (directory, cut) = with_unwritten_sectors().await;
    for index in [0, 9, cut - 1] {
        let mut at = 0;
        directory.alter_chunk(0, |bytes| {
            at = payload_offset(bytes, index) + 3;
            bytes[at] ^= 0x10;
        });
        let error = directory.open_error();
        assert!(error.contains(".wal is damaged") && error.contains("at offset"), "{error}");
        directory.alter_chunk(0, |bytes| bytes[at] ^= 0x10);
    }
    assert_eq!(directory.open(LARGE).expect("is as before").ids().await, expected(1, 0..cut));
}

#[tokio::test]
async fn an_empty_last_chunk_is_discarded() {
    let directory = written(SMALL, 9).await;
    let last = directory.chunks().pop().expect("there are chunks");
    let end = std::fs::metadata(&last).expect("exists").len();
    let name = last.file_stem().and_then(|stem| stem.to_str()).expect("is text");
    let offset: u64 = name.trim_start_matches("r-").replace('_', "").parse().expect("is a number");
    let digits = format!("{:020}", offset + end);
    let mut name = String::from("r-");
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (20 - at) % 3 == 0 {
            name.push('_');
        }
        name.push(digit);
    }
    std::fs::write(last.with_file_name(name + ".wal"), b"").expect("can be written");
    let count = directory.chunks().len();
    assert_eq!(directory.open(SMALL).expect("no entry is missing").ids().await, expected(1, 0..10));
    assert_eq!(directory.chunks().len(), count - 1);
}

#[tokio::test]
async fn an_empty_chunk_before_the_last_is_rejected() {
    let directory = written(SMALL, 9).await;
    let chunks = directory.chunks();
    for chunk in &chunks[..chunks.len() - 1] {
        let bytes = std::fs::read(chunk).expect("exists");
        std::fs::write(chunk, b"").expect("can be written");
        let error = directory.open_error();
        let name = chunk.file_name().and_then(|name| name.to_str()).expect("is text");
        assert!(error.contains(name) && error.contains("the file is empty"), "{error}");
        std::fs::write(chunk, bytes).expect("can be written");
    }
    assert_eq!(directory.open(SMALL).expect("is intact again").ids().await, expected(1, 0..10));
}

#[tokio::test]
async fn a_flipped_bit_in_any_payload_is_rejected() {
    for index in [0, 5, 9] {
        let directory = written(LARGE, 9).await;
        directory.alter_chunk(0, |bytes| {
            let at = payload_offset(bytes, index);
            bytes[at + 3] ^= 0x10;
        });
        let error = directory.open_error();
        assert!(error.contains(".wal is damaged") && error.contains("at offset"), "{error}");
        assert!(error.contains("join as a new node"), "{error}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_length_is_rejected() {
    // The three upper bytes make the record longer than the file; the lowest may make it shorter.
    for index in [0, 5, 9] {
        for (byte, bit) in [(0, 0x40), (1, 1), (2, 1), (3, 1), (3, 0x80)] {
            let directory = written(LARGE, 9).await;
            directory.alter_chunk(0, |bytes| {
                let at = payload_offset(bytes, index) - FROM_LENGTH_TO_PAYLOAD;
                bytes[at + byte] ^= bit;
            });
            let error = directory.open_error();
            assert!(error.contains(".wal is damaged"), "entry {index}, byte {byte}: {error}");
        }
    }
}

#[tokio::test]
async fn damage_in_a_closed_chunk_is_rejected() {
    let directory = written(SMALL, 30).await;
    assert!(directory.chunks().len() > 2);
    directory.alter_chunk(1, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let error = directory.open_error();
    assert!(error.contains("cannot open the Raft log") && error.contains("raft-log"), "{error}");
}

#[tokio::test]
async fn a_log_of_newer_software_is_rejected_without_the_advice_to_wipe_it() {
    // The entry is in the last chunk, or in a closed one.
    for limits in [LARGE, SMALL] {
        let directory = written(limits, 30).await;
        directory.alter_chunk(0, |bytes| {
            let at = payload_offset(bytes, 0) - FROM_LENGTH_TO_PAYLOAD;
            let (length, rest) = bytes[at..].split_first_chunk_mut().expect("is a record");
            let envelope = &mut rest[..u32::from_be_bytes(*length) as usize];
            envelope[4] += 1;
            let mut checksum = crc32fast::Hasher::new();
            checksum.update(&envelope[4..12]);
            checksum.update(&envelope[16..]);
            envelope[12..16].copy_from_slice(&checksum.finalize().to_le_bytes());
        });
        let error = directory.open_error();
        assert!(error.contains(".wal was written by newer software"), "{error}");
        assert!(error.contains("run the newer software") && !error.contains("wipe"), "{error}");
    }
}

#[tokio::test]
async fn any_missing_chunk_is_rejected() {
    for missing in [0, 1, usize::MAX] {
        let directory = written(SMALL, 30).await;
        let chunks = directory.chunks();
        std::fs::remove_file(&chunks[missing.min(chunks.len() - 1)]).expect("exists");
        let error = directory.open_error();
        assert!(error.contains("raft-log"), "{error}");
        assert!(error.contains("join as a new node"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_log_or_mark_is_rejected() {
    let directory = written(LARGE, 3).await;
    std::fs::remove_dir_all(directory.path().join("raft-log")).expect("exists");
    let error = directory.open_error();
    assert!(error.contains("does not reach its mark"), "{error}");

    let directory = written(LARGE, 3).await;
    std::fs::remove_file(directory.path().join("mark")).expect("exists");
    let error = directory.open_error();
    assert!(error.contains("mark is missing although"), "{error}");
}

#[tokio::test]
async fn a_lost_vote_is_rejected() {
    let directory = LogDirectory::new();
    let mut log = directory.open(LARGE).expect("is new");
    log.store.save_vote(&vote(1)).await.expect("can be written");
    let chunk = directory.chunks().pop().expect("exists");
    let before = std::fs::read(&chunk).expect("exists");
    log.store.save_vote(&vote(2)).await.expect("can be written");
    assert_eq!(log.store.read_vote().await.expect("can be read"), Some(vote(2)));
    drop(log);
    std::fs::write(&chunk, before).expect("can be written");
    let error = directory.open_error();
    assert!(error.contains("does not reach its mark") && error.contains("in term 2"), "{error}");
}
