//! Frames of the unit control contract: a message after its length as a varint. Bytes in, bytes
//! out: the two sides do their own reading and writing.

use prost::Message;
use prost::bytes::{Buf, BytesMut};

/// The longest message, in bytes: a whole gateway configuration, and some.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// The most bytes that a varint takes.
const MAX_VARINT_BYTES: usize = 10;

/// What was received is no frame. What follows it cannot be understood either: close the connection.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The message would be longer than any may be.
    #[error("a frame of {bytes} bytes is longer than the {MAX_FRAME_BYTES} that are allowed")]
    TooLong {
        /// The length that the frame announces.
        bytes: usize,
    },
    /// The length is no number, or the message not of the expected type.
    #[error("a frame cannot be decoded")]
    Malformed(#[source] prost::DecodeError),
}

/// `message` as a frame.
#[must_use]
pub fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_length_delimited_to_vec()
}

/// Takes the first frame out of `buffer`; `None` while it is not all there.
///
/// The announced length is checked before the message arrives, so a reader that decodes after each
/// read holds little more than [`MAX_FRAME_BYTES`] at any time.
///
/// # Errors
/// If `buffer` does not start with a frame.
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
    fn frames_are_found_however_they_arrive() {
        let request =
            UnitRequest { generation: 300, command: Some(Command::Drain(DrainUnit::default())) };
        let mut buffer = BytesMut::new();
        for byte in [encode(&request), encode(&request)].concat() {
            assert!(buffer.len() < 10, "a whole frame was not taken");
            buffer.extend_from_slice(&[byte]);
            if let Some(read) = decode::<UnitRequest>(&mut buffer).expect("is a frame") {
                assert_eq!(read, request);
                assert!(buffer.is_empty());
            }
        }
    }

    #[test]
    fn a_length_that_is_too_long_is_refused_before_its_message_arrives() {
        let mut buffer = BytesMut::from(&[0xff, 0xff, 0xff, 0x7f][..]);
        let error = decode::<UnitRequest>(&mut buffer).expect_err("is too long");
        assert!(matches!(error, FrameError::TooLong { bytes: 268_435_455 }), "{error}");
        let mut endless = BytesMut::from(&[0xff; 11][..]);
        assert!(decode::<UnitRequest>(&mut endless).is_err());
    }
}
