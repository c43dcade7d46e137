//! Answers in wire format.

use hickory_proto::ProtoError;
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::Record;

/// Length of the end of the data of an SOA record, from the serial on.
const SOA_NUMBERS_BYTES: usize = 20;

/// Records of a response by section.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    /// Left out of a response in which they do not fit.
    pub(crate) additionals: Vec<Record>,
}

/// The part of a response after its question, which starts at the same position whatever the id of
/// the query and the case of its name are.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) code: ResponseCode,
    /// Numbers of answers and authorities.
    pub(crate) counts: [u16; 2],
    /// Answers and authorities.
    pub(crate) required: Box<[u8]>,
    pub(crate) additional_count: u16,
    pub(crate) additional: Box<[u8]>,
    /// Position in `required` of the serial of the zone.
    pub(crate) serial_at: Option<usize>,
}

/// Encodes the records of a response to `query`, whose name must be in lowercase. If `has_soa`, the
/// last of the answers and authorities is an SOA record.
///
/// # Errors
/// If the message is longer than 65,535 bytes.
pub(crate) fn encode(
    query: &Query,
    code: ResponseCode,
    sections: Sections,
    has_soa: bool,
) -> Result<Body, ProtoError> {
    let mut message = Message::response(0, OpCode::Query);
    message.add_query(query.clone());
    let question_end = message.to_vec()?.len();
    message.insert_answers(sections.answers);
    message.insert_authorities(sections.authorities);
    let required = message.to_vec()?;
    message.insert_additionals(sections.additionals);
    let all = message.to_vec()?;
    let count = |records: &Vec<Record>| records.len() as u16;
    Ok(Body {
        code,
        counts: [count(&message.answers), count(&message.authorities)],
        additional_count: count(&message.additionals),
        serial_at: has_soa.then(|| required.len() - question_end - SOA_NUMBERS_BYTES),
        additional: all[required.len()..].into(),
        required: required[question_end..].into(),
    })
}
