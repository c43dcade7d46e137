//! W3C Trace Context: a request belongs to its client's trace or starts a new one.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Length of a traceparent of version 00.
const LENGTH: usize = 55;

/// Keeps a valid traceparent. Otherwise starts a new trace, with the sampled flag cleared.
pub(super) fn ensure_traceparent(headers: &mut HeaderMap) {
    let mut existing = headers.get_all(&TRACEPARENT).iter();
    if existing.next().is_some_and(|first| is_traceparent(first.as_bytes()))
        && existing.next().is_none()
    {
        return;
    }
    let value = HeaderValue::from_bytes(&new_traceparent(rand::random(), rand::random()));
    headers.insert(TRACEPARENT, value.expect("a traceparent consists of hex digits and hyphens"));
    headers.remove(TRACESTATE);
}

fn new_traceparent(trace: u128, span: u64) -> [u8; LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // An id of zero is invalid.
    write_hex(&mut text[3..35], &trace.max(1).to_be_bytes());
    write_hex(&mut text[36..52], &span.max(1).to_be_bytes());
    text
}

fn write_hex(text: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn is_traceparent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let is_later_version =
        value.len() > LENGTH && value[LENGTH] == b'-' && !value.starts_with(b"00");
    (value.len() == LENGTH || is_later_version)
        && [value[2], value[35], value[52]].iter().all(|byte| *byte == b'-')
        && [&value[..2], &value[3..35], &value[36..52], &value[53..55]].into_iter().all(is_hex)
        && !value.starts_with(b"ff")
        && !is_zero(&value[3..35])
        && !is_zero(&value[36..52])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_traceparent_is_kept() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(valid.as_bytes()));
        assert!(is_traceparent(format!("01{}-x", &valid[2..]).as_bytes()));
        assert!(is_traceparent(&new_traceparent(0, 0)));
        assert_eq!(&new_traceparent(0xab << 120, 5)[..7], b"00-ab00");
        for invalid in [
            String::new(),
            valid.to_uppercase(),
            format!("ff{}", &valid[2..]),
            format!("{valid}-x"),
            valid.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            valid.replace("b7ad6b7169203331", &"0".repeat(16)),
        ] {
            assert!(!is_traceparent(invalid.as_bytes()), "{invalid}");
        }
    }
}
