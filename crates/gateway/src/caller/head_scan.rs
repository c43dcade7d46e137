//! Finding heads that say in two ways how long their body is.
//!
//! hyper lets Transfer-Encoding win and drops Content-Length before anybody sees it. What an
//! intermediary before the unit did with such a call cannot be known, so it is refused, which RFC
//! 9112, 6.1, recommends; therefore heads are looked at as they arrive.

use std::sync::atomic::{AtomicU8, Ordering};

use memchr::memchr;

/// What a head says of its body's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The head was not looked at: it arrived while the call before it ran.
    Unseen,
    /// One thing at most.
    Clear,
    /// Both a length and an encoding.
    Ambiguous,
}

/// A [`Framing`] that is set where heads arrive and read where calls begin.
#[derive(Debug, Default)]
pub(crate) struct SharedFraming(AtomicU8);

impl SharedFraming {
    fn set(&self, framing: Framing) {
        self.0.store(framing as u8, Ordering::Relaxed);
    }

    /// The framing of the call that begins; forgets it.
    pub(crate) fn take(&self) -> Framing {
        match self.0.swap(Framing::Unseen as u8, Ordering::Relaxed) {
            1 => Framing::Clear,
            2 => Framing::Ambiguous,
            _ => Framing::Unseen,
        }
    }
}

const LENGTH: &[u8] = b"content-length";
const ENCODING: &[u8] = b"transfer-encoding";
/// What of a line has to be known: the longer of the two names, and one more.
const NAME: usize = ENCODING.len() + 1;

/// Looks at one head, in whatever pieces it comes.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// The beginning of the line that has not ended.
    line: [u8; NAME],
    /// The length of that line, [`NAME`] at most.
    length: usize,
    /// Whether a line has ended that was not empty.
    begun: bool,
    has_length: bool,
    has_encoding: bool,
    ended: bool,
}

impl HeadScan {
    /// Looks at what came next. At the end of the head, `framing` is set.
    pub(super) fn push(&mut self, mut bytes: &[u8], framing: &SharedFraming) {
        while !self.ended && !bytes.is_empty() {
            let end = memchr(b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(NAME - self.length);
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
            // Empty lines before a head mean nothing (RFC 9112, 2.2).
            if self.begun {
                self.ended = true;
                let ambiguous = self.has_length && self.has_encoding;
                framing.set(if ambiguous { Framing::Ambiguous } else { Framing::Clear });
            }
        } else if self.begun {
            self.has_length |= names(line, LENGTH);
            self.has_encoding |= names(line, ENCODING);
        }
        self.begun |= !matches!(line, b"" | b"\r");
        self.length = 0;
    }
}

fn names(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
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
    fn a_head_is_understood_in_whatever_pieces_it_comes() {
        let length = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
        let both = format!("{length}TRANSFER-encoding: chunked\r\n\r\n");
        let one = format!("\r\n{length}X-Transfer-Encoding: y\r\n\r\ntransfer-encoding: x\r\n\r\n");
        let line_feeds = both.replace("\r\n", "\n");
        for cut in 0..both.len() {
            let (head, rest) = both.as_bytes().split_at(cut);
            assert_eq!(scan(&[head, rest]), Framing::Ambiguous, "cut at {cut}");
        }
        assert_eq!(scan(&[one.as_bytes()]), Framing::Clear);
        assert_eq!(scan(&[line_feeds.as_bytes()]), Framing::Ambiguous);
        assert_eq!(scan(&[length.as_bytes()]), Framing::Unseen, "it has not ended");
        let single: Vec<&[u8]> = both.as_bytes().chunks(1).collect();
        assert_eq!(scan(&single), Framing::Ambiguous);
    }
}
