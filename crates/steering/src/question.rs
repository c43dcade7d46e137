//! Checks a query (RFC 1035, section 4) and finds its parts, without a copy.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, RecordType};

use crate::edns::{self, Edns};
use crate::name::WireName;

/// Length of the header of a message.
pub(crate) const HEADER_BYTES: usize = 12;

/// Type of an OPT record (RFC 6891).
const OPT: u16 = 41;
const OPCODE_QUERY: u8 = 0;

/// The parts of a query that its response repeats.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) id: u16,
    pub(crate) opcode: u8,
    pub(crate) recursion_desired: bool,
    /// The question section as received; empty if it is malformed.
    pub(crate) question: &'a [u8],
    pub(crate) edns: Option<Edns>,
}

/// A well-formed question of class IN.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) name: WireName,
    pub(crate) record_type: RecordType,
}

/// Parses a message into the parts of its response, and its question or the error code of the
/// response. Returns `None` for a message that is not a query: a response to it could start a loop.
/// Never panics.
pub(crate) fn parse(message: &[u8]) -> Option<(Envelope<'_>, Result<Question, ResponseCode>)> {
    let [id_high, id_low, flags, _, counts @ ..] = message else { return None };
    let is_response = flags & 0x80 != 0;
    if is_response || message.len() < HEADER_BYTES {
        return None;
    }
    let mut envelope = Envelope {
        id: u16::from_be_bytes([*id_high, *id_low]),
        opcode: flags >> 3 & 0xf,
        recursion_desired: flags & 1 != 0,
        ..Envelope::default()
    };
    if envelope.opcode != OPCODE_QUERY {
        return Some((envelope, Err(ResponseCode::NotImp)));
    }
    let count = |index: usize| u16::from_be_bytes([counts[2 * index], counts[2 * index + 1]]);
    let counts = Counts { questions: count(0), others: [count(1), count(2)], additional: count(3) };
    let mut reader = Reader { message, position: HEADER_BYTES };
    let question = parse_sections(&mut reader, &counts, &mut envelope);
    Some((envelope, question))
}

/// Numbers of records of a query.
struct Counts {
    questions: u16,
    /// Of the answer and authority sections.
    others: [u16; 2],
    additional: u16,
}

fn parse_sections<'a>(
    reader: &mut Reader<'a>,
    counts: &Counts,
    envelope: &mut Envelope<'a>,
) -> Result<Question, ResponseCode> {
    if counts.questions != 1 {
        return Err(ResponseCode::FormErr);
    }
    let name = reader.question_name().ok_or(ResponseCode::FormErr)?;
    let record_type = reader.u16().ok_or(ResponseCode::FormErr)?;
    let class = reader.u16().ok_or(ResponseCode::FormErr)?;
    envelope.question = &reader.message[HEADER_BYTES..reader.position];
    let record_type = RecordType::from(record_type);
    // An incremental transfer has a record in its authority section (RFC 1995).
    if matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
        return Err(ResponseCode::Refused);
    }
    if counts.others != [0, 0] {
        return Err(ResponseCode::FormErr);
    }
    for _ in 0..counts.additional {
        let record = reader.record().ok_or(ResponseCode::FormErr)?;
        if record.record_type == OPT {
            if envelope.edns.is_some() || !record.is_root {
                return Err(ResponseCode::FormErr);
            }
            let (edns, checked) = edns::parse(record.class, record.ttl, record.data);
            envelope.edns = Some(edns);
            checked?;
        }
    }
    if reader.position != reader.message.len() {
        return Err(ResponseCode::FormErr);
    }
    // That includes version.bind and other names of class CH.
    if class != u16::from(DNSClass::IN) {
        return Err(ResponseCode::Refused);
    }
    Ok(Question { name, record_type })
}

/// A resource record of a query.
struct ReceivedRecord<'a> {
    is_root: bool,
    record_type: u16,
    class: u16,
    ttl: u32,
    data: &'a [u8],
}

/// Reads a message from front to back.
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

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// Reads the name of the question. It is the first name of the message, so a compression pointer
    /// in it points to nothing.
    fn question_name(&mut self) -> Option<WireName> {
        let start = self.position;
        loop {
            match self.u8()? {
                0 => break,
                length @ 1..=63 => self.take(length.into())?,
                64.. => return None,
            };
        }
        WireName::lowercase(&self.message[start..self.position])
    }

    /// Skips a name, which may be compressed. Returns true if it is the root.
    fn skip_name(&mut self) -> Option<bool> {
        let start = self.position;
        loop {
            match self.u8()? {
                0 => return Some(self.position == start + 1),
                length @ 1..=63 => self.take(length.into())?,
                192.. => {
                    self.take(1)?;
                    return Some(false);
                }
                64..192 => return None,
            };
        }
    }

    fn record(&mut self) -> Option<ReceivedRecord<'a>> {
        let is_root = self.skip_name()?;
        let (record_type, class, ttl) = (self.u16()?, self.u16()?, self.u32()?);
        let length = self.u16()?;
        let data = self.take(length.into())?;
        Some(ReceivedRecord { is_root, record_type, class, ttl, data })
    }
}
