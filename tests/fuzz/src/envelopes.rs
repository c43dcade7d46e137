//! Envelopes with valid checksums and arbitrary contents.

use meridian_storage::codec::{self, Stored};

/// Size of an envelope header.
pub const HEADER_BYTES: usize = 16;

/// Returns an envelope of type `T` with the given body.
pub fn seal<T: Stored>(body: &[u8]) -> Vec<u8> {
    seal_as(T::TYPE, T::VERSION, body)
}

/// Returns an envelope with the given type number, version and body.
pub fn seal_as(number: u16, version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"MRDN".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    fix_envelope(&mut bytes);
    bytes
}

/// Corrects the length and the checksum of bytes that may be an envelope.
pub fn fix_envelope(envelope: &mut [u8]) {
    let Some(body) = envelope.len().checked_sub(HEADER_BYTES) else { return };
    let length = u32::try_from(body).unwrap_or(u32::MAX);
    envelope[8..12].copy_from_slice(&length.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&envelope[4..12]);
    hasher.update(&envelope[HEADER_BYTES..]);
    envelope[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// Decodes `bytes` as an envelope, and then as the body of one. Decoded values must survive
/// encoding and decoding, and are passed to `also` for further checks.
pub fn check<T: Stored>(bytes: &[u8], also: impl Fn(T)) -> bool {
    let mut accepted = false;
    for envelope in [bytes.to_vec(), seal::<T>(bytes)] {
        let Ok(value) = codec::decode::<T>(&envelope) else { continue };
        let written = codec::encode(&value);
        let again = codec::decode::<T>(&written).expect("an encoded value is readable");
        assert_eq!(codec::encode(&again), written, "{} does not survive a round trip", T::NAME);
        also(value);
        accepted = true;
    }
    accepted
}
