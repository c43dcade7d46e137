//! Rows of the state: the length of the key in one byte, the key, and the value as an envelope or
//! the body of one.

use meridian_domain::State;
use meridian_storage::rows::{self, Row};

use super::envelopes::{fix_envelope, seal_as};

/// Type and version of the values, by the first letter of the key.
const KINDS: &[(u8, u16, u16)] = &[
    (b'a', 7, 1),
    (b'f', 34, 1),
    (b'o', 9, 1),
    (b'p', 35, 1),
    (b'r', 8, 1),
    (b's', 5, 2),
    (b'u', 6, 2),
    (b'z', 4, 2),
];

/// Returns true if the bytes are a row of the state.
pub fn accepts(data: &[u8]) -> bool {
    let Some((length, rest)) = data.split_first() else { return false };
    let Some((key, value)) = rest.split_at_checked(usize::from(*length)) else { return false };
    let mut fixed = value.to_vec();
    fix_envelope(&mut fixed);
    let kind = KINDS.iter().find(|(letter, ..)| key.first() == Some(letter));
    let sealed = kind.map(|(_, number, version)| seal_as(*number, *version, value));
    let forms = [Some(value.to_vec()), Some(fixed), sealed];
    let mut accepted = false;
    for value in forms.into_iter().flatten() {
        let Ok(row) = Row::decode(key, &value) else { continue };
        check(row, key);
        accepted = true;
    }
    accepted
}

fn check(row: Row, key: &[u8]) {
    assert_eq!(row.key().bytes(), key);
    let written = row.value().expect("a decoded row has a value");
    assert_eq!(Row::decode(key, &written).as_ref(), Ok(&row));
    let mut state = State::default();
    row.clone().put(&mut state);
    assert_eq!(Row::of(&state, &row.key()), row);
    assert_eq!(rows::count(&state), rows::keys(&state).count() as u64);
    let digest = rows::digest(&state);
    Row::decode(key, &written).expect("the row was decoded before").put(&mut state);
    assert_eq!(rows::digest(&state), digest);
}
