//! Detection of request heads that specify the length of their body in two ways.
//!
//! hyper gives Transfer-Encoding precedence and drops Content-Length before the request is visible.
//! How an intermediary before the unit interpreted such a request is unknown, so the unit refuses
//! it, as RFC 9112, 6.1 recommends. Heads are therefore scanned as they arrive.

use std::sync::atomic::{AtomicU8, Ordering};

use memchr::memchr;

/// Framing of a body according to its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The head was not scanned: it arrived while the previous request was in flight.
    NotScanned,
    /// The head has a length, an encoding, or neither.
    Unambiguous,
    /// The head has both a length and an encoding.
    Ambiguous,
}

/// A [`Framing`] that is set when a head arrives and taken when the request starts.
#[derive(Debug, Default)]
pub(crate) struct SharedFraming(AtomicU8);

impl SharedFraming {
    fn set(&self, framing: Framing) {
        self.0.store(framing as u8, Ordering::Relaxed);
    }

    /// Returns the framing of the request that starts, and resets it.
    pub(crate) fn take(&self) -> Framing {
        match self.0.swap(Framing::NotScanned as u8, Ordering::Relaxed) {
            1 => Framing::Unambiguous,
            2 => Framing::Ambiguous,
            _ => Framing::NotScanned,
        }
    }
}

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";
/// Number of bytes of a line that are kept: the longer of the two names, and a colon.
const LINE_BYTES: usize = ENCODING.len() + 1;

/// Scanner of one head, which may arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// The beginning of the current line.
    line: [u8; LINE_BYTES],
    /// Length of that beginning, at most [`LINE_BYTES`].
    length: usize,
    /// True once a line has ended that was not empty.
    started: bool,
    has_length: bool,
    has_encoding: bool,
    ended: bool,
}

impl HeadScan {
    /// Scans the next bytes. Sets `framing` at the end of the head.
    pub(super) fn push(&mut self, mut bytes: &[u8], framing: &SharedFraming) {
        while !self.ended && !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(LINE_BYTES - self.length);
            self.line[self.length..self.length + kept].copy_from_slice(&part[..kept]);
            self.length += kept;
            let Some(end) = end else { return };
            bytes = &bytes[end + 1..];
            self.end_line(framing);
        }
    }

    fn end_line(&mut self, framing: &SharedFraming) {
        let line = &self.line[..self.length];
        if matches!(line, b"" | b"\r") {
            // Empty lines before a head are ignored (RFC 9112, 2.2).
            if self.started {
                self.ended = true;
                let ambiguous = self.has_length && self.has_encoding;
                framing.set(if ambiguous { Framing::Ambiguous } else { Framing::Unambiguous });
            }
        } else if self.started {
            self.has_length |= has_name(line, LENGTH);
            self.has_encoding |= has_name(line, ENCODING);
        }
        self.started |= !matches!(line, b"" | b"\r");
        self.length = 0;
    }
}

fn has_name(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
        && line.get(name.len()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(pieces: &[&[u8]]) -> Framing {
        let (mut scan, framing) = (HeadScan::default(), SharedFraming::default());
        pieces.iter().for_each(|piece| scan.push(piece, &framing));
        framing.take()
    }

    #[test]
    fn a_head_is_scanned_correctly_however_it_is_split() {
        let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
        let both = format!("{length}TRANSFER-encoding: chunked\r\n\r\n");
        let one = format!("\r\n{length}X-Transfer-Encoding: y\r\n\r\ntransfer-encoding: x\r\n\r\n");
        let line_feeds = both.replace("\r\n", "\n");
        for cut in 0..both.len() {
            let (head, rest) = both.as_bytes().split_at(cut);
            assert_eq!(scan(&[head, rest]), Framing::Ambiguous, "cut at {cut}");
        }
        assert_eq!(scan(&[one.as_bytes()]), Framing::Unambiguous);
        assert_eq!(scan(&[line_feeds.as_bytes()]), Framing::Ambiguous);
        assert_eq!(scan(&[length.as_bytes()]), Framing::NotScanned, "the head has not ended");
        let single: Vec<&[u8]> = both.as_bytes().chunks(1).collect();
        assert_eq!(scan(&single), Framing::Ambiguous);
    }
}
