//! What holds for the response to any query, by a parser of its own.

use hickory_proto::op::Message;
use hickory_proto::serialize::binary::DecodeError;

/// Length of the header of a message.
pub const HEADER_BYTES: usize = 12;
/// Maximum size of a datagram.
const UDP_BYTES: usize = 1_232;
/// Maximum size of a datagram to a client without EDNS.
const PLAIN_UDP_BYTES: usize = 512;

const IS_RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const RECURSION_DESIRED: u8 = 0x01;
const OPT: u16 = 41;

const NO_ERROR: u16 = 0;
const NAME_ERROR: u16 = 3;
/// Codes of all responses: no error, malformed, no such name, not implemented, refused, version.
const CODES: [u16; 6] = [NO_ERROR, 1, NAME_ERROR, 4, 5, 16];

/// Returns true if a message has a response.
pub fn is_query(message: &[u8]) -> bool {
    message.len() >= HEADER_BYTES && message[2] & IS_RESPONSE == 0
}

/// The structure of a message.
#[derive(Debug)]
pub struct Outline {
    pub code: u16,
    pub is_truncated: bool,
    question: Vec<u8>,
    /// Answers and authorities.
    pub required: Vec<u8>,
    additional_count: u16,
    opt_count: u16,
    udp_size: Option<u16>,
}

impl Outline {
    /// Returns true if the name is in the zone.
    pub fn has_answer(&self) -> bool {
        matches!(self.code, NO_ERROR | NAME_ERROR)
    }
}

/// Checks a response to a query. Does not know the transport.
pub fn check(query: &[u8], response: &[u8]) -> Outline {
    assert!(is_query(query), "a response to a response may start a loop");
    let outline = outline(response).expect("the response is well-formed");
    // Another implementation parses it, except for a client subnet of no family, which is repeated.
    let parsed = Message::from_vec(response);
    assert!(matches!(parsed, Ok(_) | Err(DecodeError::UnknownAddressFamily(0))), "{parsed:?}");
    let same_bits = OPCODE | RECURSION_DESIRED;
    assert_eq!(response[..2], query[..2], "the id");
    assert_eq!(response[2] & same_bits, query[2] & same_bits);
    assert_eq!((response[2] & IS_RESPONSE, response[3] & 0xf0), (IS_RESPONSE, 0));
    assert!(CODES.contains(&outline.code), "{outline:?}");
    assert!(outline.opt_count <= 1, "{outline:?}");
    assert!(query[HEADER_BYTES..].starts_with(&outline.question), "the question is repeated");
    if outline.required.is_empty() {
        assert_eq!(outline.additional_count, 0, "{outline:?}");
        assert!(response.len() <= query.len(), "a response without records does not amplify");
    } else {
        assert!(outline.has_answer() && !outline.is_truncated, "{outline:?}");
        assert!(response[2] & AUTHORITATIVE != 0 && !outline.question.is_empty());
    }
    outline
}

/// Returns the maximum size of the response to a query in a datagram.
pub fn udp_limit(query: &[u8]) -> usize {
    // Every error code fits into the plain size.
    let size = outline(query).and_then(|outline| outline.udp_size).unwrap_or(0);
    usize::from(size).clamp(PLAIN_UDP_BYTES, UDP_BYTES)
}

/// Returns the structure of a message, or `None` if it is malformed.
fn outline(message: &[u8]) -> Option<Outline> {
    let mut reader = Reader { message, position: HEADER_BYTES };
    let count = |section: usize| {
        let at = 4 + 2 * section;
        message.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    let start = reader.position;
    for _ in 0..count(0)? {
        reader.skip_name()?;
        reader.take(4)?;
    }
    let question = message.get(start..reader.position)?.to_vec();
    let start = reader.position;
    for _ in 0..usize::from(count(1)?) + usize::from(count(2)?) {
        reader.record()?;
    }
    let required = message[start..reader.position].to_vec();
    let mut outline = Outline {
        code: (message[3] & 0x0f).into(),
        is_truncated: message[2] & TRUNCATED != 0,
        question,
        required,
        additional_count: 0,
        opt_count: 0,
        udp_size: None,
    };
    for _ in 0..count(3)? {
        let [record_type, class, ttl_high] = reader.record()?;
        if record_type == OPT {
            outline.opt_count += 1;
            outline.udp_size = Some(class);
            outline.code |= ttl_high >> 8 << 4;
        } else {
            outline.additional_count += 1;
        }
    }
    (reader.position == message.len()).then_some(outline)
}

struct Reader<'a> {
    message: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.message.get(self.position..)?.get(..length)?;
        self.position += length;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn skip_name(&mut self) -> Option<()> {
        loop {
            let start = self.position;
            match self.take(1)?[0] {
                0 => return Some(()),
                length @ 1..=63 => drop(self.take(length.into())?),
                high @ 192.. => {
                    let low = self.take(1)?[0];
                    let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                    return (HEADER_BYTES..start).contains(&target).then_some(());
                }
                64..192 => return None,
            }
        }
    }

    /// Reads a record; returns its type, its class and the high half of its time to live.
    fn record(&mut self) -> Option<[u16; 3]> {
        self.skip_name()?;
        let fields = [self.u16()?, self.u16()?, self.u16()?];
        self.take(2)?;
        let length = self.u16()?;
        self.take(length.into())?;
        Some(fields)
    }
}
