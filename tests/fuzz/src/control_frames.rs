//! Frames between an agent and its units. The first byte selects the side, the others are received
//! from its socket in chunks of seven bytes.

use bytes::BytesMut;
use meridian_proto::frame::{self, MAX_FRAME_BYTES};
use meridian_proto::v1::{UnitRequest, UnitResponse};
use prost::Message;

/// Number of bytes received per read.
const CHUNK_BYTES: usize = 7;

/// Returns true if the bytes start with a frame.
pub fn accepts(data: &[u8]) -> bool {
    let Some((side, bytes)) = data.split_first() else { return false };
    if side % 2 == 0 { frames::<UnitRequest>(bytes) } else { frames::<UnitResponse>(bytes) }
}

fn frames<M: Message + Default + PartialEq>(bytes: &[u8]) -> bool {
    let mut buffer = BytesMut::new();
    let mut found = 0;
    for chunk in bytes.chunks(CHUNK_BYTES) {
        buffer.extend_from_slice(chunk);
        loop {
            match frame::decode::<M>(&mut buffer) {
                Ok(Some(message)) => {
                    found += 1;
                    assert_round_trip(&message);
                }
                Ok(None) => break,
                Err(_) => return found > 0,
            }
        }
        assert!(buffer.len() <= MAX_FRAME_BYTES + CHUNK_BYTES + 10, "the buffer exceeds a frame");
    }
    found > 0
}

fn assert_round_trip<M: Message + Default + PartialEq>(message: &M) {
    let mut buffer = BytesMut::from(&frame::encode(message)[..]);
    // Never longer than the input: unknown fields were dropped, and defaults are not encoded.
    let again =
        frame::decode::<M>(&mut buffer).expect("the frame decodes").expect("the frame is complete");
    assert!(buffer.is_empty());
    assert_eq!(frame::encode(&again), frame::encode(message));
}
