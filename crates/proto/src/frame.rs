//! Frames of the unit control contract: a message preceded by its length as a varint. Pure encoding
//! and decoding: each side does its own I/O.

use prost::Message;
use prost::bytes::{Buf, BytesMut};

/// Maximum size of a message, in bytes: more than the largest gateway configuration.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Maximum length of a varint, in bytes.
const MAX_VARINT_BYTES: usize = 10;

/// The received bytes are not a valid frame. Nothing after them can be decoded either: close the
/// connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The announced length exceeds [`MAX_FRAME_BYTES`].
    #[error("frame too long: {bytes} bytes, maximum {MAX_FRAME_BYTES}")]
    TooLong {
        /// The announced length.
        bytes: usize,
    },
    /// The length or the message cannot be decoded.
    #[error("malformed frame")]
    Malformed(#[source] prost::DecodeError),
}

/// Encodes `message` as a frame.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_length_delimited_to_vec()
}

/// Decodes and removes the first frame of `buffer`. Returns `None` while the frame is incomplete.
///
/// The announced length is checked before the message has arrived, so a reader that decodes after
/// each read never buffers much more than [`MAX_FRAME_BYTES`].
///
/// # Errors
/// If `buffer` does not start with a valid frame.
pub fn decode<M: Message + Default>(buffer: &mut BytesMut) -> Result<Option<M>, FrameError> {
    let mut head = &buffer[..];
    let bytes = match prost::decode_length_delimiter(&mut head) {
        Ok(bytes) => bytes,
        Err(_) if buffer.len() < MAX_VARINT_BYTES => return Ok(None),
        Err(error) => return Err(FrameError::Malformed(error)),
    };
    if bytes > MAX_FRAME_BYTES {
        return Err(FrameError::TooLong { bytes });
    }
    if head.len() < bytes {
        return Ok(None);
    }
    buffer.advance(buffer.len() - head.len());
    M::decode(buffer.split_to(bytes)).map(Some).map_err(FrameError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{DrainUnit, UnitRequest, unit_request::Command};

    #[test]
    fn frames_are_decoded_however_they_are_split() {
        let request =
            UnitRequest { generation: 300, command: Some(Command::Drain(DrainUnit::default())) };
        let mut buffer = BytesMut::new();
        for byte in [encode(&request), encode(&request)].concat() {
            assert!(buffer.len() < 10, "a complete frame was not decoded");
            buffer.extend_from_slice(&[byte]);
            if let Some(decoded) = decode::<UnitRequest>(&mut buffer).expect("the frame is valid") {
                assert_eq!(decoded, request);
                assert!(buffer.is_empty());
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_rejected_before_its_message_arrives() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0x7f][..]);
        let error = decode::<UnitRequest>(&mut buffer).expect_err("the frame is too long");
        assert!(matches!(error, FrameError::TooLong { bytes: 268_435_455 }), "{error}");
        let mut endless = BytesMut::from(&[0xff; 11][..]);
        assert!(decode::<UnitRequest>(&mut endless).is_err());
    }
}
