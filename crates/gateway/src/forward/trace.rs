//! W3C Trace Context: a call is part of its caller's trace, or of a new one.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// The length of version 00.
const LENGTH: usize = 55;

/// Leaves the trace that a call is part of, or begins one, which nobody is asked to record.
pub(super) fn join(headers: &mut HeaderMap) {
    let mut given = headers.get_all(&TRACEPARENT).iter();
    if given.next().is_some_and(|first| is_traceparent(first.as_bytes())) && given.next().is_none()
    {
        return;
    }
    let begun = HeaderValue::from_bytes(&begin(rand::random(), rand::random()));
    headers.insert(TRACEPARENT, begun.expect("is made of digits and hyphens"));
    headers.remove(TRACESTATE);
}

fn begin(trace: u128, span: u64) -> [u8; LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    // Zero means that there is none.
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
    let hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let later = value.len() > LENGTH && value[LENGTH] == b'-' && !value.starts_with(b"00");
    (value.len() == LENGTH || later)
        && [value[2], value[35], value[52]].iter().all(|byte| *byte == b'-')
        && [&value[..2], &value[3..35], &value[36..52], &value[53..55]].into_iter().all(hex)
        && !value.starts_with(b"ff")
        && !zero(&value[3..35])
        && !zero(&value[36..52])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good.as_bytes()));
        assert!(is_traceparent(format!("01{}-x", &good[2..]).as_bytes()));
        assert!(is_traceparent(&begin(0, 0)));
        assert_eq!(&begin(0xab << 120, 5)[..7], b"00-ab00");
        for bad in [
            String::new(),
            good.to_uppercase(),
            format!("ff{}", &good[2..]),
            format!("{good}-x"),
            good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            good.replace("b7ad6b7169203331", &"0".repeat(16)),
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }
}
