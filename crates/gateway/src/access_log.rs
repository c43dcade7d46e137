//! The access log: one line of JSON per request on standard output.
//!
//! A dedicated thread writes the lines, so that a slow disk does not delay requests. When the queue
//! is full, lines are dropped, and the unit's own log reports how many.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use hyper::header::HeaderValue;
use hyper::{Method, Uri, Version};
use meridian_proto::v1::AccessLog as Mode;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Maximum number of queued lines.
const QUEUE_LINES: usize = 16 * 1024;
/// Time to write the queued lines when the unit stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Approximate size of a write, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// The part of a line that is known when the request starts.
#[derive(Debug)]
pub(crate) struct Entry {
    time: SystemTime,
    peer: IpAddr,
    method: Method,
    version: Version,
    host: Option<HeaderValue>,
    uri: Uri,
    with_query: bool,
}

/// The part of a line that is known when the request ends.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` if no API matched the request.
    pub(crate) api: Option<String>,
    pub(crate) status: u16,
    /// Number of bytes sent of the response body.
    pub(crate) bytes: u64,
    pub(crate) duration: Duration,
}

/// The line of a request.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    peer: IpAddr,
    protocol: &'static str,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<&'a str>,
    status: u16,
    bytes: u64,
    duration_us: u128,
}

/// Message to the writer thread.
enum Message {
    Line(Box<Entry>, Outcome),
    /// Requests a reply once all previous lines are written.
    Flush(SyncSender<()>),
}

/// The access log of a process.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    writer: OnceLock<Option<SyncSender<Message>>>,
    dropped: AtomicU64,
}

impl Entry {
    /// Starts the entry of a request. Returns `None` if `mode` turns the log off.
    pub(crate) fn new(
        mode: Mode,
        peer: IpAddr,
        parts: &hyper::http::request::Parts,
    ) -> Option<Box<Self>> {
        let with_query = match mode {
            Mode::Unspecified | Mode::Off => return None,
            Mode::Path => false,
            Mode::Query => true,
        };
        Some(Box::new(Self {
            time: SystemTime::now(),
            peer,
            method: parts.method.clone(),
            version: parts.version,
            host: parts.headers.get(hyper::header::HOST).cloned(),
            uri: parts.uri.clone(),
            with_query,
        }))
    }

    fn line(&self, outcome: &Outcome) -> Vec<u8> {
        let target = self.uri.authority().map(|authority| authority.as_str());
        let host = self.host.as_ref().and_then(|host| host.to_str().ok());
        let time = OffsetDateTime::from(self.time).format(&Rfc3339).unwrap_or_default();
        let line = Line {
            time,
            peer: self.peer,
            protocol: match self.version {
                Version::HTTP_10 => "HTTP/1.0",
                Version::HTTP_2 => "HTTP/2",
                _ => "HTTP/1.1",
            },
            method: self.method.as_str(),
            host: target.or(host),
            path: self.uri.path(),
            query: self.uri.query().filter(|_| self.with_query),
            api: outcome.api.as_deref(),
            status: outcome.status,
            bytes: outcome.bytes,
            duration_us: outcome.duration.as_micros(),
        };
        let mut line =
            serde_json::to_vec(&line).expect("strings and numbers can be serialized as JSON");
        line.push(b'\n');
        line
    }
}

impl AccessLog {
    /// Queues the line of a request.
    pub(crate) fn write(&self, entry: Box<Entry>, outcome: Outcome) {
        let writer = self.writer.get_or_init(|| {
            let (sender, messages) = sync_channel(QUEUE_LINES);
            let writer = std::thread::Builder::new().name("access-log".to_owned());
            writer.spawn(move || write_lines(&messages, &mut io::stdout())).map(|_| sender).ok()
        });
        let line = Message::Line(entry, outcome);
        if writer.as_ref().is_none_or(|writer| writer.try_send(line).is_err()) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            self.dropped.fetch_sub(dropped, Ordering::Relaxed);
            tracing::warn!(dropped, "dropped lines of the access log: its queue is full");
        }
    }

    /// Waits until all queued lines are written, up to [`FLUSH_TIMEOUT`]. Blocks the thread.
    pub(crate) fn flush(&self) {
        if let Some(Some(writer)) = self.writer.get() {
            let (sender, flushed) = sync_channel(1);
            if writer.try_send(Message::Flush(sender)).is_ok() {
                flushed.recv_timeout(FLUSH_TIMEOUT).ok();
            }
        }
    }
}

/// Writes lines until all senders are gone. Each write ends at the end of a line.
fn write_lines(messages: &Receiver<Message>, to: &mut impl Write) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    while let Ok(first) = messages.recv() {
        let mut flush = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(entry, outcome) => batch.extend(entry.line(&outcome)),
                Message::Flush(sender) => flush = Some(sender),
            }
            let full = batch.len() >= BATCH_BYTES || flush.is_some();
            next = if full { None } else { messages.try_recv().ok() };
        }
        if let Err(error) = to.write_all(&batch).and_then(|()| to.flush()) {
            tracing::warn!(%error, "failed to write the access log");
        }
        batch.clear();
        if let Some(flushed) = flush {
            // The receiver is gone if it timed out.
            flushed.try_send(()).ok();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use hyper::Request;

    use super::*;

    fn line(mode: Mode) -> Option<String> {
        let request = Request::get("/orders/5?token=secret").header("host", "shop\"x").body(());
        let (parts, ()) = request.unwrap().into_parts();
        let mut entry = Entry::new(mode, [192, 0, 2, 1].into(), &parts)?;
        entry.time = SystemTime::UNIX_EPOCH;
        let duration = Duration::from_micros(1500);
        let outcome = Outcome { api: Some("orders".to_owned()), status: 200, bytes: 12, duration };
        let (sender, messages) = sync_channel(1);
        sender.send(Message::Line(entry, outcome)).unwrap();
        drop(sender);
        let mut written = Vec::new();
        write_lines(&messages, &mut written);
        Some(String::from_utf8(written).unwrap())
    }

    #[test]
    fn a_line_contains_the_query_only_if_the_mode_includes_it() {
        assert_eq!((line(Mode::Off), line(Mode::Unspecified)), (None, None));
        let path = concat!(
            r#"{"time":"1970-01-01T00:00:00Z","peer":"192.0.2.1","protocol":"HTTP/1.1","#,
            r#""method":"GET","host":"shop\"x","path":"/orders/5","api":"orders","status":200,"#,
            r#""bytes":12,"duration_us":1500}"#,
            "\n",
        );
        assert_eq!(line(Mode::Path).unwrap(), path);
        let query = path.replace(r#""/orders/5","#, r#""/orders/5","query":"token=secret","#);
        assert_eq!(line(Mode::Query).unwrap(), query);
    }
}
