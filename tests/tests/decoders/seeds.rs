//! Encoded values, as inputs of the targets.

use meridian_storage::codec::{self, Stored};

mod files;
mod log;
mod queries;
mod requests;

/// Size of an envelope header in bytes.
const HEADER_BYTES: usize = 16;

/// An input that its target decodes.
pub struct Seed {
    pub target: &'static str,
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Returns all seeds.
pub fn all() -> Vec<Seed> {
    let mut seeds = golden();
    seeds.extend(log::seeds());
    seeds.extend(queries::seeds());
    seeds.extend(requests::seeds());
    seeds.extend(files::seeds());
    seeds
}

fn seed(target: &'static str, name: &str, first: u8, bytes: impl Into<Vec<u8>>) -> Seed {
    let mut with_first = vec![first];
    with_first.extend(bytes.into());
    Seed { target, name: name.to_owned(), bytes: with_first }
}

/// Returns the encoded body of a value, without its header.
fn body<T: Stored>(value: &T) -> Vec<u8> {
    codec::encode(value).split_off(HEADER_BYTES)
}

/// Returns the golden stored forms, which never change.
fn golden() -> Vec<Seed> {
    const STORED: &str = include_str!("../../../crates/storage/tests/golden/version-1.txt");
    let lines = STORED.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut seeds = Vec::new();
    for line in lines {
        let (name, digits) = line.split_once(' ').expect("a line has a name and bytes");
        let stored = bytes(digits);
        let file = name.replace('/', "-");
        let (kind, _) = name.split_once('/').expect("a name has two parts");
        let mut add = |target, first, bytes: &[u8]| seeds.push(seed(target, &file, first, bytes));
        match kind {
            "raft-position" => add("raft_log", 0, &stored),
            "Raft-entry" => add("raft_log", 1, &stored[HEADER_BYTES..]),
            "Raft-vote" => add("raft_log", 2, &stored[HEADER_BYTES..]),
            _ => add("envelope", stored[6], &stored[HEADER_BYTES..]),
        }
        if kind == "event" {
            add("events", 0, &stored[HEADER_BYTES..]);
        }
    }
    seeds
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let pairs = (0..hexadecimal.len()).step_by(2).map(|at| &hexadecimal[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits")).collect()
}
