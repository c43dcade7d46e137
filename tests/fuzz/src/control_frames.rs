//! Frames between an agent and its units: the first byte chooses the side, the others are what its
//! socket gives, in pieces of seven bytes.

use bytes::BytesMut;
use meridian_proto::frame::{self, MAX_FRAME_BYTES};
use meridian_proto::v1::{UnitRequest, UnitResponse};
use prost::Message;

/// Bytes that arrive at once.
const PIECE_BYTES: usize = 7;

/// Whether the bytes begin with a frame.
pub fn understands(data: &[u8]) -> bool {
    let Some((side, bytes)) = data.split_first() else { return false };
    if side % 2 == 0 { frames::<UnitRequest>(bytes) } else { frames::<UnitResponse>(bytes) }
}

fn frames<M: Message + Default + PartialEq>(bytes: &[u8]) -> bool {
    let mut buffer = BytesMut::new();
    let mut found = 0;
    for piece in bytes.chunks(PIECE_BYTES) {
        buffer.extend_from_slice(piece);
        loop {
            match frame::decode::<M>(&mut buffer) {
                Ok(Some(message)) => {
                    found += 1;
                    comes_back(&message);
                }
                Ok(None) => break,
                Err(_) => return found > 0,
            }
        }
        assert!(buffer.len() <= MAX_FRAME_BYTES + PIECE_BYTES + 10, "more is held than a frame");
    }
    found > 0
}

fn comes_back<M: Message + Default + PartialEq>(message: &M) {
    let mut buffer = BytesMut::from(&frame::encode(message)[..]);
    // Unknown fields were dropped and defaults are not written: never longer than what came.
    let again = frame::decode::<M>(&mut buffer).expect("is a frame").expect("is whole");
    assert!(buffer.is_empty());
    assert_eq!(frame::encode(&again), frame::encode(message));
}
