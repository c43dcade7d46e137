//! Writes responses.

use hickory_proto::op::ResponseCode;

use crate::edns::{CLIENT_SUBNET, Edns};
use crate::encode::Body;
use crate::question::Envelope;

/// Maximum size of a UDP response to a client without EDNS (RFC 1035, section 2.3.4).
const PLAIN_UDP_BYTES: usize = 512;
/// Maximum size of any UDP response: it is not fragmented on a path of the minimum MTU of IPv6
/// (recommendation of DNS flag day 2020).
pub(crate) const UDP_BYTES: u16 = 1_232;
/// Maximum size of a TCP response.
pub(crate) const TCP_BYTES: usize = 65_535;

const IS_RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
const OPT: u8 = 41;

/// Returns the maximum size of a UDP response to a query.
pub(crate) fn udp_limit(envelope: &Envelope<'_>) -> usize {
    let offered = envelope.edns.map_or(0, |edns| edns.udp_size.min(UDP_BYTES));
    PLAIN_UDP_BYTES.max(offered.into())
}

/// Writes the response with an answer. Leaves out additional records that exceed the limit; if the
/// rest exceeds it, all records, and sets the truncation flag.
pub(crate) fn write_answer(
    out: &mut Vec<u8>,
    envelope: &Envelope<'_>,
    body: &Body,
    (serial, scope): (u32, u8),
    limit: usize,
) {
    let start = write_header(out, envelope, body.code, AUTHORITATIVE);
    let free = limit.saturating_sub(out.len() - start + opt_bytes(envelope.edns.as_ref()));
    if body.required.len() > free {
        out[start + 2] |= TRUNCATED;
        return write_opt(out, start, envelope.edns.as_ref(), body.code, scope);
    }
    let [answers, authorities] = body.counts;
    out[start + 6..start + 8].copy_from_slice(&answers.to_be_bytes());
    out[start + 8..start + 10].copy_from_slice(&authorities.to_be_bytes());
    let body_start = out.len();
    out.extend_from_slice(&body.required);
    if let Some(serial_at) = body.serial_at {
        let serial_at = body_start + serial_at;
        out[serial_at..serial_at + 4].copy_from_slice(&serial.to_be_bytes());
    }
    if body.required.len() + body.additional.len() <= free {
        out[start + 10..start + 12].copy_from_slice(&body.additional_count.to_be_bytes());
        out.extend_from_slice(&body.additional);
    }
    write_opt(out, start, envelope.edns.as_ref(), body.code, scope);
}

/// Writes a response without an answer.
pub(crate) fn write_error(out: &mut Vec<u8>, envelope: &Envelope<'_>, code: ResponseCode) {
    let start = write_header(out, envelope, code, 0);
    write_opt(out, start, envelope.edns.as_ref(), code, 0);
}

/// Writes a response that asks the client to retry over TCP. It is not longer than the query.
pub(crate) fn write_truncated(out: &mut Vec<u8>, envelope: &Envelope<'_>) {
    let start = write_header(out, envelope, ResponseCode::NoError, TRUNCATED);
    write_opt(out, start, envelope.edns.as_ref(), ResponseCode::NoError, 0);
}

/// Writes the header and the question. Returns the position of the message.
fn write_header(
    out: &mut Vec<u8>,
    envelope: &Envelope<'_>,
    code: ResponseCode,
    flags: u8,
) -> usize {
    let start = out.len();
    let [id_high, id_low] = envelope.id.to_be_bytes();
    let recursion_desired = u8::from(envelope.recursion_desired);
    let flags = IS_RESPONSE | envelope.opcode << 3 | flags | recursion_desired;
    let questions = u8::from(!envelope.question.is_empty());
    out.extend([id_high, id_low, flags, code.low(), 0, questions, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(envelope.question);
    start
}

/// Returns the length of the OPT record of a response.
fn opt_bytes(edns: Option<&Edns>) -> usize {
    let Some(edns) = edns else { return 0 };
    11 + edns.subnet.map_or(0, |subnet| 8 + subnet.address_bytes().len())
}

/// Writes the OPT record, if the query had one, and counts it.
fn write_opt(out: &mut Vec<u8>, start: usize, edns: Option<&Edns>, code: ResponseCode, scope: u8) {
    let Some(edns) = edns else { return };
    let [size_high, size_low] = UDP_BYTES.to_be_bytes();
    let flags = u8::from(edns.dnssec_ok) << 7;
    let options = (opt_bytes(Some(edns)) - 11) as u8;
    out.extend([0, 0, OPT, size_high, size_low, code.high(), 0, flags, 0, 0, options]);
    if let Some(subnet) = &edns.subnet {
        let [family_high, family_low] = subnet.family.to_be_bytes();
        let scope = if subnet.source == 0 { 0 } else { scope };
        let [code_high, code_low] = CLIENT_SUBNET.to_be_bytes();
        let length = options - 4;
        out.extend([code_high, code_low, 0, length, family_high, family_low, subnet.source, scope]);
        out.extend_from_slice(subnet.address_bytes());
    }
    let counted = u16::from_be_bytes([out[start + 10], out[start + 11]]) + 1;
    out[start + 10..start + 12].copy_from_slice(&counted.to_be_bytes());
}
