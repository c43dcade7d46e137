//! Damage is refused, by name; only what was never acknowledged is cut off.

use openraft::RaftLogReader;
use openraft::storage::RaftLogStorage;

use crate::{Place, ROOMY, SMALL, expected, text, vote};

/// Where an entry's payload stands in a chunk.
fn place_of(bytes: &[u8], index: u64) -> usize {
    let text = text(index);
    let found = bytes.windows(text.len()).position(|window| window == text.as_bytes());
    found.expect("the entry is in this chunk")
}

/// From the payload back to the length that raft-log's frame holds: bincode's length of the payload
/// (8), its variant (4), the position (24), the envelope (16), the length itself (4).
const FROM_LENGTH_TO_PAYLOAD: usize = 8 + 4 + 24 + 16 + 4;

async fn written(limits: meridian_storage::disk::wal::ChunkLimits, last: u64) -> Place {
    let place = Place::new();
    let mut log = place.open(limits).expect("is new");
    log.append(1, 0..last + 1).await;
    drop(log);
    place
}

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let place = written(ROOMY, 9).await;
    // What an append that power cut off may leave: the beginning of a record.
    place.alter_chunk(0, |bytes| {
        let second = place_of(bytes, 1) - FROM_LENGTH_TO_PAYLOAD - 28;
        let torn = bytes[second..second + 50].to_vec();
        bytes.extend(torn);
    });
    let mut log = place.open(ROOMY).expect("nothing acknowledged is missing");
    assert_eq!(log.ids().await, expected(1, 0..10));
    log.append(1, 10..12).await;
    drop(log);
    assert_eq!(place.open(ROOMY).expect("is whole").ids().await, expected(1, 0..12));
}

#[tokio::test]
async fn zeros_behind_the_end_are_cut_off() {
    let place = written(ROOMY, 9).await;
    place.alter_chunk(0, |bytes| bytes.extend([0; 5000]));
    let mut log = place.open(ROOMY).expect("nothing acknowledged is missing");
    assert_eq!(log.ids().await, expected(1, 0..10));
}

/// Where the record of an entry begins in a chunk.
fn record_of(bytes: &[u8], index: u64) -> usize {
    place_of(bytes, index) - FROM_LENGTH_TO_PAYLOAD - 28
}

/// A log whose file has its new length, and zeros from the end of a sector on: the file and the index
/// of the entry that runs into them. Only what is before entry 10 was acknowledged.
async fn with_unwritten_sectors() -> (Place, u64) {
    let place = written(ROOMY, 9).await;
    let mark = std::fs::read(place.path().join("mark")).expect("there is one");
    place.open(ROOMY).expect("is whole").append(1, 10..30).await;
    std::fs::write(place.path().join("mark"), mark).expect("can be written");
    let mut cut = 0;
    place.alter_chunk(0, |bytes| {
        let sector = record_of(bytes, 10).next_multiple_of(512);
        cut = (10..30).rfind(|index| record_of(bytes, *index) < sector).expect("it is longer");
        assert!(record_of(bytes, cut + 1) > sector, "the entry runs into the next sector");
        bytes[sector..].fill(0);
    });
    (place, cut)
}

#[tokio::test]
async fn a_record_that_runs_into_unwritten_sectors_is_cut_off() {
    let (place, cut) = with_unwritten_sectors().await;
    let mut log = place.open(ROOMY).expect("nothing acknowledged is missing");
    assert_eq!(log.ids().await, expected(1, 0..cut));
    log.append(1, cut..cut + 3).await;
    drop(log);
    assert_eq!(place.open(ROOMY).expect("is whole").ids().await, expected(1, 0..cut + 3));
}

#[tokio::test]
async fn a_flipped_bit_before_unwritten_sectors_is_refused() {
    let (place, cut) = with_unwritten_sectors().await;
    for index in [0, 9, cut - 1] {
        let mut at = 0;
        place.alter_chunk(0, |bytes| {
            at = place_of(bytes, index) + 3;
            bytes[at] ^= 0x10;
        });
        let error = place.refusal();
        assert!(error.contains(".wal is damaged") && error.contains("at offset"), "{error}");
        place.alter_chunk(0, |bytes| bytes[at] ^= 0x10);
    }
    assert_eq!(place.open(ROOMY).expect("is as before").ids().await, expected(1, 0..cut));
}

#[tokio::test]
async fn a_chunk_that_was_never_begun_is_discarded() {
    let place = written(SMALL, 9).await;
    let last = place.chunks().pop().expect("there are chunks");
    let end = std::fs::metadata(&last).expect("is there").len();
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
    let count = place.chunks().len();
    assert_eq!(place.open(SMALL).expect("nothing is missing").ids().await, expected(1, 0..10));
    assert_eq!(place.chunks().len(), count - 1);
}

#[tokio::test]
async fn an_emptied_chunk_before_the_last_is_refused() {
    let place = written(SMALL, 9).await;
    let chunks = place.chunks();
    for chunk in &chunks[..chunks.len() - 1] {
        let bytes = std::fs::read(chunk).expect("is there");
        std::fs::write(chunk, b"").expect("can be written");
        let error = place.refusal();
        let name = chunk.file_name().and_then(|name| name.to_str()).expect("is text");
        assert!(error.contains(name) && error.contains("the file is empty"), "{error}");
        std::fs::write(chunk, bytes).expect("can be written");
    }
    assert_eq!(place.open(SMALL).expect("is whole again").ids().await, expected(1, 0..10));
}

#[tokio::test]
async fn a_flipped_bit_in_a_payload_is_refused_wherever_it_is() {
    for index in [0, 5, 9] {
        let place = written(ROOMY, 9).await;
        place.alter_chunk(0, |bytes| {
            let at = place_of(bytes, index);
            bytes[at + 3] ^= 0x10;
        });
        let error = place.refusal();
        assert!(error.contains(".wal is damaged") && error.contains("at offset"), "{error}");
        assert!(error.contains("join as a new node"), "{error}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_length_is_refused_wherever_it_is() {
    // The three upper bytes make the record longer than the file, the lowest may make it shorter.
    for index in [0, 5, 9] {
        for (byte, bit) in [(0, 0x40), (1, 1), (2, 1), (3, 1), (3, 0x80)] {
            let place = written(ROOMY, 9).await;
            place.alter_chunk(0, |bytes| {
                let at = place_of(bytes, index) - FROM_LENGTH_TO_PAYLOAD;
                bytes[at + byte] ^= bit;
            });
            let error = place.refusal();
            assert!(error.contains(".wal is damaged"), "entry {index}, byte {byte}: {error}");
        }
    }
}

#[tokio::test]
async fn damage_in_a_closed_chunk_is_refused() {
    let place = written(SMALL, 30).await;
    assert!(place.chunks().len() > 2);
    place.alter_chunk(1, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let error = place.refusal();
    assert!(error.contains("raft-log") && error.contains("cannot be opened"), "{error}");
}

#[tokio::test]
async fn a_missing_chunk_is_refused_be_it_the_first_the_last_or_one_between() {
    for missing in [0, 1, usize::MAX] {
        let place = written(SMALL, 30).await;
        let chunks = place.chunks();
        std::fs::remove_file(&chunks[missing.min(chunks.len() - 1)]).expect("is there");
        let error = place.refusal();
        assert!(error.contains("raft-log"), "{error}");
        assert!(error.contains("join as a new node"), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_lost_everything_or_its_mark_is_refused() {
    let place = written(ROOMY, 3).await;
    std::fs::remove_dir_all(place.path().join("raft-log")).expect("is there");
    let error = place.refusal();
    assert!(error.contains("does not reach its mark"), "{error}");

    let place = written(ROOMY, 3).await;
    std::fs::remove_file(place.path().join("mark")).expect("is there");
    let error = place.refusal();
    assert!(error.contains("mark is missing"), "{error}");
}

#[tokio::test]
async fn a_forgotten_vote_is_refused() {
    let place = Place::new();
    let mut log = place.open(ROOMY).expect("is new");
    log.store.save_vote(&vote(1)).await.expect("can be written");
    let chunk = place.chunks().pop().expect("there is one");
    let before = std::fs::read(&chunk).expect("is there");
    log.store.save_vote(&vote(2)).await.expect("can be written");
    assert_eq!(log.store.read_vote().await.expect("can be read"), Some(vote(2)));
    drop(log);
    std::fs::write(&chunk, before).expect("can be written");
    let error = place.refusal();
    assert!(error.contains("does not reach its mark") && error.contains("in term 2"), "{error}");
}
