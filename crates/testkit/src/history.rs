//! What happened to a cluster while faults were injected, as lines of JSON that
//! [`check`](crate::check) judges, now or later.
//!
//! Every time is in microseconds of one monotonic clock, which begins with the recording. So "before"
//! means the same for calls at different agents, for faults and for what was seen in /proc.

mod faults;
mod recorder;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use meridian_domain::{Command, Event, RequestId};
use meridian_proto::convert::json;
use meridian_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use faults::{Bystander, Fault, Step, Storage};
pub use recorder::{Recorder, Tally};

/// Microseconds since the recording began.
pub type Micros = u64;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// What the cluster was. The first line.
    Header(Header),
    /// A client's call, written when it returned.
    Call(Call),
    /// A watch began at an agent.
    Watch(Watch),
    /// A watch delivered an event.
    Event(Observed),
    /// An agent said how far it is, and what state that makes.
    State(StateHash),
    /// An agent was seen to lead.
    Leader(Leads),
    /// An agent was seen to receive a snapshot.
    Snapshot(Snapshot),
    /// All units that ran. Written where that changed, and each second.
    Processes(Processes),
    /// A step of a fault.
    Fault(Fault),
    /// A named moment: see [`mark`].
    Mark(Mark),
    /// What an agent keeps its data on failed, or its next life began.
    Storage(Storage),
    /// A process that is nobody's business was looked after.
    Bystander(Bystander),
}

/// The moments that divide a history.
pub mod mark {
    /// Clients begin to ask for changes.
    pub const LOAD: &str = "load";
    /// They are told to stop.
    pub const LOAD_ENDED: &str = "load-ended";
    /// No fault is in force any more.
    pub const HEALED: &str = "healed";
    /// No call runs any more, and all agents had time to catch up: nothing should happen from here.
    pub const CALM: &str = "calm";
    /// The end of that.
    pub const CALM_ENDED: &str = "calm-ended";
}

/// What the cluster was, and what is asked of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What the schedule was generated from.
    pub seed: u64,
    /// The agents.
    pub nodes: Vec<NodeInfo>,
    /// The fewest acknowledged changes in a second of load that make a run worth something.
    pub least_changes_per_second: f64,
    /// How long all may take after the healing, in seconds.
    pub converge_within_seconds: u64,
    /// How long nothing may happen at the end, in seconds.
    pub calm_seconds: u64,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
}

/// A client's call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// When it was sent.
    pub invoked: Micros,
    /// When its answer was there.
    pub returned: Micros,
    /// The agent that was asked.
    pub node: String,
    /// Calls of one client over one connection: what it read once it may rely on.
    pub session: u64,
    /// What was asked.
    pub kind: CallKind,
    /// What was answered.
    pub answer: Answer,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum CallKind {
    /// A change. A repetition is a call of its own, under the same request id.
    Change {
        /// Its request id.
        request: RequestId,
        /// What is to change.
        command: Command,
    },
    /// A read.
    Read {
        /// Whether it has to be as fresh as everything acknowledged before; stale otherwise.
        linearizable: bool,
    },
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum Answer {
    /// The change happened, or was so already.
    Accepted {
        /// The revision before it.
        base: u64,
        /// The revision after it.
        revision: u64,
    },
    /// A rule refuses the change.
    Refused {
        /// The status, in words.
        why: String,
    },
    /// The agent says that certainly nothing was proposed.
    NotProposed {
        /// The reason of its status.
        why: String,
    },
    /// The change may have happened, or may happen yet: a time-out, a broken connection.
    Unknown {
        /// The status, in words.
        why: String,
    },
    /// The read was answered.
    Read {
        /// The newest revision that the answer includes.
        revision: u64,
    },
    /// The read was not answered.
    Unanswered {
        /// The status, in words.
        why: String,
    },
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// When it began.
    pub at: Micros,
    /// Its number, unique in the history.
    pub stream: u64,
    /// The agent that serves it.
    pub node: String,
    /// The first revision that was asked for.
    pub from: u64,
}

/// An event as a watch delivered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// When it arrived.
    pub at: Micros,
    /// The watch that delivered it.
    pub stream: u64,
    /// The event.
    #[serde(flatten)]
    pub event: LoggedEvent,
}

/// An event of the log, as clients see it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedEvent {
    /// Its number.
    pub revision: u64,
    /// When it was decided, in milliseconds since 1970 by the leader's clock.
    pub time: i64,
    /// Who asked.
    pub actor: String,
    /// The request, where an operator asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The revision of the first event of its change.
    pub change_id: u64,
    /// Such as `RegionAdded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's own fields.
    pub data: Value,
}

impl LoggedEvent {
    /// The event as the model knows it.
    ///
    /// # Errors
    /// If this build's model knows no such event.
    pub fn to_domain(&self) -> anyhow::Result<Event> {
        let fields = self.data.as_object().context("the fields of an event are an object")?;
        // Fields of events are in camel case in the model, too; those within them are not.
        let fields = fields.iter().map(|(key, value)| (key.clone(), with_underscores(value)));
        let tagged = Map::from_iter([(self.kind.clone(), Value::Object(fields.collect()))]);
        serde_json::from_value(Value::Object(tagged))
            .with_context(|| format!("the model knows no event {} {}", self.kind, self.data))
    }
}

/// The value with the keys that the domain's fields have: the contract writes them in camel case.
fn with_underscores(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| (snake(key), with_underscores(value)));
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.iter().map(with_underscores).collect(),
        other => other.clone(),
    }
}

fn snake(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 2);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl From<v1::Event> for LoggedEvent {
    fn from(event: v1::Event) -> Self {
        let time = event.time.unwrap_or_default();
        Self {
            revision: event.revision,
            time: time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000,
            actor: event.actor,
            request_id: Some(event.request_id).filter(|request| !request.is_empty()),
            change_id: event.change_id,
            kind: event.r#type,
            data: json::from_struct(event.data.unwrap_or_default()),
        }
    }
}

/// How far an agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateHash {
    /// When it said so.
    pub at: Micros,
    /// The agent.
    pub node: String,
    /// The last event of its state.
    pub revision: u64,
    /// SHA-256 of the whole state, in hexadecimal. Refusals are part of it and have no revision, so two
    /// states of one revision are only comparable when no call runs.
    pub hash: String,
    /// The last log index of its state: two states of one index are comparable at any time. None in
    /// histories of earlier versions, as the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// SHA-256 over all events up to that revision, each with the hash before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
}

/// Who leads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leads {
    /// When that was seen.
    pub at: Micros,
    /// The agent that leads.
    pub node: String,
}

/// A snapshot on its way to an agent that lacks entries which are no longer kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When that was seen.
    pub at: Micros,
    /// The agent that received it.
    pub node: String,
}

/// All units that ran at a moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// When that was so.
    pub at: Micros,
    /// The units, in order.
    pub units: Vec<UnitSeen>,
}

/// A unit's process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnitSeen {
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// Its number within the location, from 1.
    pub slot: u32,
    /// Its assignment.
    pub incarnation: u64,
    /// Its process.
    pub pid: u32,
}

/// A named moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When.
    pub at: Micros,
    /// Which.
    pub name: String,
}

/// Reads a history.
///
/// # Errors
/// If it cannot be read, naming the line that is none.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let file = File::open(path).with_context(|| format!("no history at {}", path.display()))?;
    let lines = BufReader::new(file).lines().enumerate();
    let records = lines.map(|(number, line)| {
        let place = || format!("{}:{}: is no record", path.display(), number + 1);
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    });
    records.collect()
}
