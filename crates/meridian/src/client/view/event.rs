//! Events.

use std::io::{self, IsTerminal};
use std::time::SystemTime;

use meridian_domain::Event;
use meridian_domain::event::Subject;
use meridian_proto::convert::{event, json};
use meridian_proto::v1;
use meridian_wording::event::sentence;
use serde::Serialize;
use serde_json::Value;

use crate::client::output::{NONE, Row, WIDTH, cell, truncated};

use super::{text, time};

/// Event of the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventView {
    /// Revision, from 1.
    pub revision: u64,
    /// Time of the decision, RFC 3339 in UTC with milliseconds; null in a dry run.
    pub time: Option<String>,
    /// Actor that requested it.
    pub actor: String,
    /// True if `actor` was authenticated; false if it is only what the client sent.
    pub actor_verified: bool,
    /// Reason, if one was given.
    pub reason: Option<String>,
    /// Request id, if an operator requested it.
    pub request_id: Option<String>,
    /// Revision of the first event of the same change.
    pub change_id: u64,
    /// Type, such as `RegionAdded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Fields of the event.
    pub data: Value,
    /// The event itself; `None` if its type is unknown here.
    #[serde(skip)]
    pub event: Option<Event>,
    /// Time of the decision.
    #[serde(skip)]
    at: Option<SystemTime>,
}

impl From<v1::Event> for EventView {
    fn from(message: v1::Event) -> Self {
        let at = message.time.and_then(|time| SystemTime::try_from(time).ok());
        Self {
            event: event::decode(&message),
            at,
            revision: message.revision,
            time: at.map(time::rfc3339),
            actor: message.actor,
            actor_verified: message.actor_verified,
            reason: text(message.reason),
            request_id: text(message.request_id),
            change_id: message.change_id,
            kind: message.r#type,
            data: json::from_struct(message.data.unwrap_or_default()),
        }
    }
}

impl Row for EventView {
    const HEADS: &'static [&'static str] = &["REVISION", "TIME", "EVENT"];
    const WIDE_HEADS: &'static [&'static str] = &["REVISION", "TIME", "ACTOR", "TYPE", "DATA"];

    fn cells(&self) -> Vec<String> {
        let time = cell(self.at.map(|at| time::ago(time::age(at, SystemTime::now()))).as_ref());
        vec![self.revision.to_string(), time, self.sentence()]
    }

    fn wide_cells(&self) -> Vec<String> {
        vec![
            self.revision.to_string(),
            cell(self.time.as_ref()),
            self.actor.clone(),
            self.kind.clone(),
            fields(&self.data).trim_start().to_owned(),
        ]
    }
}

impl EventView {
    /// A line with the age of the event, such as `12  5 s ago  ada@host drained agent eastus-1`. At
    /// most 80 columns on a terminal, whole in a file or pipe.
    pub fn line(&self) -> String {
        self.line_at(SystemTime::now(), width())
    }

    pub(super) fn line_at(&self, now: SystemTime, width: usize) -> String {
        let age = |at| time::ago(time::age(at, now));
        self.line_with(&self.at.map(age).unwrap_or_default(), width)
    }

    /// A line with the time of the event, for output that stays on the screen: the time of day in
    /// UTC, or the date of an event that is older than a day.
    pub fn clock_line(&self) -> String {
        let now = SystemTime::now();
        let time = match self.at {
            Some(at) if time::age(at, now) < time::DAY => format!("{}Z", time::clock(at)),
            Some(_) | None => self
                .time
                .as_deref()
                .and_then(|time| time.split('T').next())
                .unwrap_or_default()
                .to_owned(),
        };
        self.line_with(&time, width())
    }

    fn line_with(&self, time: &str, width: usize) -> String {
        let line = format!("{:>6}  {time:>10}  {} {}", self.revision, self.actor, self.sentence());
        format!("{}\n", truncated(&line, width))
    }

    /// A line with the exact time and the whole sentence.
    pub fn wide_line(&self) -> String {
        let time = self.time.as_deref().unwrap_or(NONE);
        format!("{:>6}  {time}  {} {}\n", self.revision, self.actor, self.sentence())
    }

    /// A line without time and actor, for the result of a change.
    pub fn short_line(&self) -> String {
        format!("{:>6}  {}\n", self.revision, self.sentence())
    }

    /// The event as a sentence without its subject, with the reason.
    pub fn sentence(&self) -> String {
        let what = match &self.event {
            Some(event) => sentence(event),
            None => format!("{}{}", self.kind, fields(&self.data)),
        };
        match &self.reason {
            Some(reason) => format!("{what} (reason: {reason})"),
            None => what,
        }
    }

    /// True if the event is about the service or one of its units.
    pub fn is_about(&self, service: &str) -> bool {
        let Some(event) = &self.event else {
            let unit = &self.data["unit"];
            return self.data["service"] == service || unit["service"] == service;
        };
        match event.subject() {
            Subject::Service(name) | Subject::Units(name) => name.as_str() == service,
            Subject::Unit(unit) => unit.service.as_str() == service,
            Subject::Cluster | Subject::Agent(_) => false,
        }
    }

    /// True if the event was decided at `start` or later.
    pub fn is_since(&self, start: SystemTime) -> bool {
        self.at.is_none_or(|at| at >= start)
    }
}

/// Fields of an event, as ` key=value`.
fn fields(data: &Value) -> String {
    let fields = data.as_object().into_iter().flatten();
    fields.map(|(key, value)| format!(" {key}={value}")).collect()
}

/// Width of a line on standard output.
fn width() -> usize {
    if io::stdout().is_terminal() { WIDTH } else { usize::MAX }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use meridian_domain::event::EventType;

    use super::*;
    use crate::client::view::samples;

    fn view(message: v1::Event) -> EventView {
        EventView::from(message)
    }

    fn message(event: &Event) -> v1::Event {
        v1::Event {
            revision: 12,
            r#type: event.type_name().to_owned(),
            data: Some(event::data(event)),
            time: Some(prost_types::Timestamp { seconds: 1_795_000_000, nanos: 7_000_000 }),
            actor: "ada@host".to_owned(),
            ..Default::default()
        }
    }

    fn added() -> v1::Event {
        let events = samples::events();
        message(events.iter().find(|event| event.type_name() == "RegionAdded").expect("is there"))
    }

    #[test]
    fn every_event_survives_the_wire() {
        for event in samples::events() {
            assert_eq!(view(message(&event)).event, Some(event));
        }
    }

    #[test]
    fn every_event_has_a_sentence() {
        let sentences: Vec<String> = samples::events().iter().map(sentence).collect();
        assert_eq!(sentences.len(), EventType::ALL.len(), "a sample of each variant");
        assert_eq!(
            sentences,
            [
                "bootstrapped cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab",
                "raised the data version to 2",
                "set the limits to 1/2/4/12 units per region (developer/basic/standard/premium) \
                 and 5 voters",
                "defined region mars (Mars Base)",
                "deleted the events up to 4096",
                "registered agent eastus-1 in eastus",
                "updated the addresses or the version of agent eastus-1",
                "drained agent eastus-1",
                "undid the drain of agent eastus-1",
                "removed agent eastus-1",
                "created service contoso in eastus, tier premium, port 8080",
                "changed the tier of contoso to basic",
                "changed the port of contoso to 8081",
                "deleted service contoso",
                "added eastus to contoso with 2 units in zones 1,2",
                "scaled contoso in eastus to 1 unit",
                "changed the zones of contoso in eastus to none",
                "removed eastus from contoso",
                "made eastus the primary region of contoso",
                "enabled the gateway of contoso in eastus",
                "disabled the gateway of contoso in eastus",
                "assigned unit contoso/eastus/1 to agent eastus-1",
                "released unit contoso/eastus/1",
                "reported unit contoso/eastus/1 ready",
                "reported unit contoso/eastus/1 failed: exit code 1 (restarts: 3)",
                "reported unit contoso/eastus/1 stopped",
                "published API orders of contoso: /orders -> http://orders",
                "removed API orders from contoso",
                "reported unit contoso/eastus/1 on configuration 7",
                "started to roll the units of contoso in eastus",
                "recovered the cluster on one agent as epoch 1",
                "reported that unit contoso/eastus/1 refuses configuration 8: host not found",
                "changed the routing of contoso to weighted",
                "set eastus of contoso to priority 2 and weight 50",
                "set DNS to zone gateways.example.net, TTL 5 s, 0 fallback regions, name servers: \
                 one in each region",
                "assigned network 10.1.0.0/16 to eastus",
                "removed network 10.1.0.0/16",
                "measured 82 ms between eastus and westeurope",
                "lost the gateways of all services on agent eastus-1: unreachable from japaneast, \
                 westeurope (2 of 2)",
                "found the gateways of all services on agent eastus-1",
                "set disabled gateways of contoso to redirect requests",
            ]
        );
    }

    #[test]
    fn an_event_is_a_line_with_its_age() {
        let now = UNIX_EPOCH + Duration::from_millis(1_795_000_012_500);
        let with_reason = v1::Event { reason: "more load".to_owned(), ..added() };
        assert_eq!(
            view(added()).line_at(now, WIDTH),
            "    12    12 s ago  ada@host added eastus to contoso with 2 units in zones 1,2\n"
        );
        let with_reason = view(with_reason);
        assert!(
            with_reason.line_at(now, WIDTH).ends_with(" in zones 1,2…\n"),
            "{}",
            with_reason.line_at(now, WIDTH)
        );
        assert_eq!(
            with_reason.wide_line(),
            "    12  2026-11-18T11:06:40.007Z  ada@host added eastus to contoso with 2 units in zones 1,2 \
             (reason: more load)\n"
        );
    }

    #[test]
    fn an_old_event_in_a_followed_log_has_its_date() {
        assert!(view(added()).clock_line().contains("  ada@host added eastus"));
        let old = prost_types::Timestamp { seconds: 86_400, nanos: 0 };
        let line = view(v1::Event { time: Some(old), ..added() }).clock_line();
        assert!(line.starts_with("    12  1970-01-02  ada@host"), "{line}");
    }

    #[test]
    fn an_event_of_an_unknown_type_is_printed_with_its_fields() {
        let unknown = v1::Event { r#type: "RegionFrozen".to_owned(), ..added() };
        let view = view(unknown);
        assert!(view.sentence().starts_with("RegionFrozen region=\"eastus\" service="));
        assert!(view.is_about("contoso") && !view.is_about("fabrikam"));
    }

    #[test]
    fn an_event_is_about_the_service_of_its_unit() {
        let about = |event: &Event| view(message(event)).is_about("contoso");
        let types: Vec<&str> =
            samples::events().iter().filter(|event| !about(event)).map(Event::type_name).collect();
        assert_eq!(
            types,
            [
                "ClusterBootstrapped",
                "DataVersionRaised",
                "LimitsSet",
                "RegionDefined",
                "HistoryTrimmed",
                "AgentRegistered",
                "AgentUpdated",
                "AgentDrained",
                "AgentUndrained",
                "AgentRemoved",
                "ClusterRecovered",
                "DnsSet",
                "NetworkAssigned",
                "NetworkRemoved",
                "RoundTripMeasured",
                "GatewaysLost",
                "GatewaysFound",
            ]
        );
    }
}
