//! Envelopes whose checksum is right, whatever is in them.

use meridian_storage::codec::{self, Stored};

/// Bytes before the body of an envelope.
pub const HEADER_BYTES: usize = 16;

/// `body` in an envelope of the type `T`.
pub fn seal<T: Stored>(body: &[u8]) -> Vec<u8> {
    seal_as(T::TYPE, T::VERSION, body)
}

/// `body` in an envelope of the type with that number and version.
pub fn seal_as(number: u16, version: u16, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"MRDN".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    mend(&mut bytes);
    bytes
}

/// Puts the right length and checksum into what may be an envelope.
pub fn mend(envelope: &mut [u8]) {
    let Some(body) = envelope.len().checked_sub(HEADER_BYTES) else { return };
    let length = u32::try_from(body).unwrap_or(u32::MAX);
    envelope[8..12].copy_from_slice(&length.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&envelope[4..12]);
    hasher.update(&envelope[HEADER_BYTES..]);
    envelope[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
}

/// Decodes `bytes` as an envelope, then as the body of one. What either gives must be written and
/// read again as the same; `also` looks at it further.
pub fn check<T: Stored>(bytes: &[u8], also: impl Fn(T)) -> bool {
    let mut understood = false;
    for envelope in [bytes.to_vec(), seal::<T>(bytes)] {
        let Ok(value) = codec::decode::<T>(&envelope) else { continue };
        let written = codec::encode(&value);
        let again = codec::decode::<T>(&written).expect("what was written can be read");
        assert_eq!(codec::encode(&again), written, "{} does not come back as it went", T::NAME);
        also(value);
        understood = true;
    }
    understood
}
