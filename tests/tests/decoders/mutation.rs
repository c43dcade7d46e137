//! Mutations of valid inputs: corruption by storage and networks, and attacks.

use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Bytes that often break decoders: bounds of ranges, and wrong lengths.
const EDGES: &[&[u8]] = &[
    &[0; 8],
    &[0xff; 8],
    &[0xff; 4],
    &[0xff, 0xff, 0xff, 0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0, 0, 0, 0, 1, 0, 0, 0],
    &[1],
    &[0x80],
];

#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Overwrite(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Remove(Index, u8),
    Append(Vec<u8>),
    Repeat(Index, u8),
}

fn edge() -> impl Strategy<Value = Vec<u8>> {
    select(EDGES).prop_map(<[u8]>::to_vec)
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        4 => (any::<Index>(), edge()).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        2 => (any::<Index>(), edge()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => any::<Index>().prop_map(Mutation::Cut),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, most)| Mutation::Remove(at, most)),
        1 => prop::collection::vec(any::<u8>(), 1..64).prop_map(Mutation::Append),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, most)| Mutation::Repeat(at, most)),
    ]
}

/// Returns one of the inputs with up to six mutations.
pub fn of(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(inputs), prop::collection::vec(mutation(), 0..6)).prop_map(|(mut bytes, mutations)| {
        mutations.into_iter().for_each(|mutation| apply(&mut bytes, mutation));
        bytes
    })
}

fn apply(bytes: &mut Vec<u8>, mutation: Mutation) {
    // Includes the position after the last byte.
    let position = |at: Index, bytes: &[u8]| at.index(bytes.len() + 1);
    match mutation {
        Mutation::Flip(at, bits) => {
            let at = position(at, bytes);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
        }
        Mutation::Overwrite(at, with) => {
            let at = position(at, bytes);
            bytes[at..].iter_mut().zip(with).for_each(|(byte, with)| *byte = with);
        }
        Mutation::Insert(at, more) => {
            let at = position(at, bytes);
            bytes.splice(at..at, more);
        }
        Mutation::Cut(at) => bytes.truncate(position(at, bytes)),
        Mutation::Remove(at, most) => {
            let at = position(at, bytes);
            let end = bytes.len().min(at + usize::from(most));
            bytes.drain(at..end);
        }
        Mutation::Append(more) => bytes.extend(more),
        Mutation::Repeat(at, most) => {
            let at = position(at, bytes);
            let end = bytes.len().min(at + usize::from(most));
            bytes.extend_from_within(at..end);
        }
    }
}
