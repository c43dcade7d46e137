//! The access log: a line of JSON for each call, on standard output.
//!
//! Lines are written by a thread of their own, so that a slow disk does not hold calls up. When more
//! wait than may, further ones are lost, and the log says how many.

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

/// Lines that may wait to be written.
const BACKLOG: usize = 16 * 1024;
/// For lines to be written at the unit's end.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes that are written at a time, about.
const BATCH_BYTES: usize = 64 * 1024;

/// A call, as far as it is known at its beginning.
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

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// None if no API got the call.
    pub(crate) api: Option<String>,
    pub(crate) status: u16,
    /// Of the answer's body.
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

/// The line of a call.
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

/// What the writing thread gets.
enum Message {
    Line(Box<Entry>, Outcome),
    /// To be answered when all before it is written.
    Mark(SyncSender<()>),
}

/// The access log of a process.
#[derive(Debug, Default)]
pub(crate) struct AccessLog {
    writer: OnceLock<Option<SyncSender<Message>>>,
    lost: AtomicU64,
}

impl Entry {
    /// The beginning of a line, if there is to be one.
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
            duration_us: outcome.took.as_micros(),
        };
        let mut line = serde_json::to_vec(&line).expect("texts and numbers can be written as JSON");
        line.push(b'\n');
        line
    }
}

impl AccessLog {
    /// Has the line of a call written.
    pub(crate) fn write(&self, entry: Box<Entry>, outcome: Outcome) {
        let writer = self.writer.get_or_init(|| {
            let (sender, messages) = sync_channel(BACKLOG);
            let writer = std::thread::Builder::new().name("access-log".to_owned());
            writer.spawn(move || write_lines(&messages, &mut io::stdout())).map(|_| sender).ok()
        });
        let line = Message::Line(entry, outcome);
        if writer.as_ref().is_none_or(|writer| writer.try_send(line).is_err()) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            self.lost.fetch_sub(lost, Ordering::Relaxed);
            tracing::warn!(lost, "lines of the access log were lost: it is too slow");
        }
    }

    /// Waits until all lines are written, but not for long. Blocks.
    pub(crate) fn flush(&self) {
        if let Some(Some(writer)) = self.writer.get() {
            let (sender, mark) = sync_channel(1);
            if writer.try_send(Message::Mark(sender)).is_ok() {
                mark.recv_timeout(FLUSH_PATIENCE).ok();
            }
        }
    }
}

/// Writes lines until nobody can send any more. Each write ends with a line.
fn write_lines(messages: &Receiver<Message>, to: &mut impl Write) {
    let mut batch = Vec::with_capacity(BATCH_BYTES);
    while let Ok(first) = messages.recv() {
        let mut mark = None;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Line(entry, outcome) => batch.extend(entry.line(&outcome)),
                Message::Mark(sender) => mark = Some(sender),
            }
            let full = batch.len() >= BATCH_BYTES || mark.is_some();
            next = if full { None } else { messages.try_recv().ok() };
        }
        if let Err(error) = to.write_all(&batch).and_then(|()| to.flush()) {
            tracing::warn!(%error, "the access log cannot be written");
        }
        batch.clear();
        if let Some(mark) = mark {
            // Whoever waited too long has gone.
            mark.try_send(()).ok();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use hyper::Request;

    use super::*;

    fn line(mode: Mode) -> Option<String> {
        let request = Request::get("/orders/5?token=secret").header("host", "shop\"x").body(());
        let (parts, ()) = request.unwrap().into_parts();
        let mut entry = Entry::new(mode, [192, 0, 2, 1].into(), &parts)?;
        entry.time = SystemTime::UNIX_EPOCH;
        let took = Duration::from_micros(1500);
        let outcome = Outcome { api: Some("orders".to_owned()), status: 200, bytes: 12, took };
        let (sender, messages) = sync_channel(1);
        sender.send(Message::Line(entry, outcome)).unwrap();
        drop(sender);
        let mut written = Vec::new();
        write_lines(&messages, &mut written);
        Some(String::from_utf8(written).unwrap())
    }

    #[test]
    fn a_line_has_the_query_only_where_that_is_asked_for() {
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
