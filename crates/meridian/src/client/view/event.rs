//! Events, and what became of a change.

use meridian_proto::convert::json;
use meridian_proto::v1;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::client::output::{NONE, Row, cell};

use super::text;

/// One event of the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Its number, from 1.
    pub revision: u64,
    /// When it was decided, RFC 3339 in UTC with milliseconds; null in a dry run.
    pub time: Option<String>,
    /// Who asked.
    pub actor: String,
    /// Whether `actor` was proven; false where it is only what the client said.
    pub actor_verified: bool,
    /// Why, if they said.
    pub reason: Option<String>,
    /// The request, where an operator asked.
    pub request_id: Option<String>,
    /// The revision of the first event of its change.
    pub change_id: u64,
    /// Such as `RegionAdded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's own fields.
    pub data: Value,
}

impl From<v1::Event> for EventView {
    fn from(event: v1::Event) -> Self {
        Self {
            revision: event.revision,
            time: event.time.and_then(rfc3339),
            actor: event.actor,
            actor_verified: event.actor_verified,
            reason: text(event.reason),
            request_id: text(event.request_id),
            change_id: event.change_id,
            kind: event.r#type,
            data: json::from_struct(event.data.unwrap_or_default()),
        }
    }
}

impl Row for EventView {
    const HEADS: &'static [&'static str] = &["REVISION", "TIME", "EVENT", "ACTOR", "DATA"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.revision.to_string(),
            cell(self.time.as_ref()),
            self.kind.clone(),
            self.actor.clone(),
            self.details(),
        ]
    }
}

impl EventView {
    /// The heads of [`EventView::line`].
    pub fn head_line() -> String {
        line(["REVISION", "TIME", "EVENT", "ACTOR", "DATA"])
    }

    /// A line of a table whose end is not known, so its columns have fixed widths.
    pub fn line(&self) -> String {
        let revision = self.revision.to_string();
        let time = self.time.as_deref().unwrap_or(NONE);
        line([&revision, time, &self.kind, &self.actor, &self.details()])
    }

    /// Its own fields and the reason, as `key=value`.
    fn details(&self) -> String {
        let fields = self.data.as_object().into_iter().flatten();
        let mut words: Vec<String> =
            fields.map(|(key, value)| format!("{key}={}", short(value))).collect();
        words.extend(self.reason.as_ref().map(|reason| format!("reason={reason:?}")));
        words.join(" ")
    }
}

fn line([revision, time, kind, actor, details]: [&str; 5]) -> String {
    let line = format!("{revision:<8}  {time:<24}  {kind:<17}  {actor:<24}  {details}");
    format!("{}\n", line.trim_end())
}

/// A value in few characters: a unit's place is written as everywhere else, plain text without
/// quotes.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(unit) if unit.len() == 3 => {
            let part = |key: &str| unit.get(key).map(short);
            match (part("service"), part("region"), part("slot")) {
                (Some(service), Some(region), Some(slot)) => format!("{service}/{region}/{slot}"),
                _ => value.to_string(),
            }
        }
        _ => value.to_string(),
    }
}

fn rfc3339(time: prost_types::Timestamp) -> Option<String> {
    let utc = OffsetDateTime::from_unix_timestamp(time.seconds).ok()?;
    let (date, clock) = (utc.date(), utc.time());
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second(),
        time.nanos / 1_000_000
    ))
}

/// What became of a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The revision after the change; equal to `base` where everything was so already.
    pub revision: u64,
    /// The revision before it.
    pub base: u64,
    /// The id under which it can be asked for again; null in a dry run.
    pub request_id: Option<String>,
    /// Whether this is only what would happen.
    pub dry_run: bool,
    /// The events of the change, in order.
    pub events: Vec<EventView>,
    /// What it has not reached yet and waits for, or cannot have by itself.
    pub waits: Vec<WaitView>,
}

/// Something that has to come, and does not come by itself at once.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// What waits, and for what.
    pub cause: String,
    /// What can be done about it.
    pub next_step: String,
}

impl From<v1::Wait> for WaitView {
    fn from(wait: v1::Wait) -> Self {
        Self { cause: wait.cause, next_step: wait.next_step }
    }
}

impl ChangeView {
    /// What an agent answered to the request with this id.
    pub fn new(answer: v1::ChangeResponse, context: v1::ChangeContext) -> Self {
        Self {
            revision: answer.revision,
            base: answer.base,
            request_id: text(context.request_id),
            dry_run: context.dry_run,
            events: answer.events.into_iter().map(EventView::from).collect(),
            waits: answer.waits.into_iter().map(WaitView::from).collect(),
        }
    }
}
