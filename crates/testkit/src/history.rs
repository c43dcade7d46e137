//! The history of a cluster under fault injection: JSON lines that [`check`](crate::check)
//! verifies, during the run or later.
//!
//! All times are microseconds of one monotonic clock that starts with the recording, so operations
//! on different agents, faults and observations in /proc can be ordered by time.

mod faults;
mod recorder;
mod resources;

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
pub use resources::Resources;

/// Microseconds since the recording began.
pub type Micros = u64;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum Record {
    /// Description of the cluster and of the run. Always the first line.
    Header(Header),
    /// A client operation, written when it completes.
    Operation(Operation),
    /// A watch was opened at an agent.
    Watch(Watch),
    /// A watch delivered an event.
    Event(ObservedEvent),
    /// An agent reported its position in the log and the hash of its state.
    State(StateHash),
    /// An agent was observed to be the leader.
    Leader(ObservedLeader),
    /// An agent was observed to receive a snapshot.
    Snapshot(Snapshot),
    /// All running units. Written on every change, and once a second.
    Processes(Processes),
    /// A step of a fault.
    Fault(Fault),
    /// A phase boundary: see [`mark`].
    Mark(Mark),
    /// The storage of an agent failed, or the agent is about to be restarted after such a failure.
    Storage(Storage),
    /// The condition of a process that does not belong to the cluster.
    Bystander(Bystander),
    /// The resources of an agent at rest.
    Resources(Resources),
}

/// Names of the marks that divide a history into phases.
pub mod mark {
    /// Clients start to submit changes.
    pub const LOAD: &str = "load";
    /// Clients stop.
    pub const LOAD_ENDED: &str = "load-ended";
    /// No fault is active anymore.
    pub const HEALED: &str = "healed";
    /// All agents have the same state, and all desired units run.
    pub const CONVERGED: &str = "converged";
    /// No gateway is lost, no operation is in flight and all agents had time to catch up. No event
    /// is expected from here on.
    pub const QUIESCENT: &str = "quiescent";
    /// End of the quiescent phase.
    pub const QUIESCENT_ENDED: &str = "quiescent-ended";
}

/// Description of the cluster and the bounds that the run is checked against.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Seed of the fault schedule.
    pub seed: u64,
    /// The agents.
    pub nodes: Vec<NodeInfo>,
    /// Minimum number of acknowledged changes per second of load; a slower run fails V1.
    pub min_changes_per_second: f64,
    /// Maximum time from healing to convergence, in seconds.
    pub converge_within_seconds: u64,
    /// Minimum duration of the quiescent phase, in seconds.
    pub quiescent_seconds: u64,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
}

/// A client operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Time at which the request was sent.
    pub invoked: Micros,
    /// Time at which the response arrived.
    pub returned: Micros,
    /// The agent that received the request.
    pub node: String,
    /// Identifies one client connection. Reads of a session never go back.
    pub session: u64,
    /// The requested operation.
    pub kind: OperationKind,
    /// The observed outcome.
    pub outcome: Outcome,
}

/// The requested operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum OperationKind {
    /// A change. Each retry is a separate operation with the same request id.
    Change {
        /// Request id.
        request: RequestId,
        /// The submitted command.
        command: Command,
    },
    /// A read.
    Read {
        /// True if the read must reflect everything acknowledged before it; false for a stale read.
        linearizable: bool,
    },
}

/// The observed outcome of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Outcome {
    /// The change was committed, or the state already matched it.
    Accepted {
        /// The revision before it.
        base: u64,
        /// The revision after it.
        revision: u64,
    },
    /// A domain rule rejected the change.
    Rejected {
        /// Status message.
        reason: String,
    },
    /// The agent reported that nothing was proposed.
    NotProposed {
        /// `reason` of the `ErrorInfo` in the status.
        reason: String,
    },
    /// The change may or may not have been committed: a timeout or a broken connection.
    Unknown {
        /// Status message.
        reason: String,
    },
    /// The read succeeded.
    Read {
        /// The newest revision that the response reflects.
        revision: u64,
    },
    /// The read failed.
    ReadFailed {
        /// Status message.
        reason: String,
    },
}

/// A watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Time at which it was opened.
    pub at: Micros,
    /// Stream number, unique in the history.
    pub stream: u64,
    /// The agent that serves it.
    pub node: String,
    /// The first requested revision.
    pub from: u64,
}

/// An event delivered by a watch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedEvent {
    /// Time of arrival.
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
    /// Revision of the event.
    pub revision: u64,
    /// Time of the decision by the leader's clock, in milliseconds since the Unix epoch.
    pub time: i64,
    /// The actor that requested the change.
    pub actor: String,
    /// Request id, for changes requested by an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Revision of the first event of the change set.
    pub change_id: u64,
    /// Event type, such as `RegionAdded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The event's own fields.
    pub data: Value,
}

impl LoggedEvent {
    /// Converts the event to its domain type.
    ///
    /// # Errors
    /// If the event does not decode as an event of this build's domain model.
    pub fn to_domain(&self) -> anyhow::Result<Event> {
        let fields = self.data.as_object().context("event data is not an object")?;
        // The model names the fields of an event in camel case, too, but not the fields nested in
        // them.
        let fields = fields.iter().map(|(key, value)| (key.clone(), with_underscores(value)));
        let tagged = Map::from_iter([(self.kind.clone(), Value::Object(fields.collect()))]);
        serde_json::from_value(Value::Object(tagged))
            .with_context(|| format!("unknown event {} {}", self.kind, self.data))
    }
}

/// Converts object keys from the camel case of the wire format to the snake case of the domain.
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

/// Position and state hash of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateHash {
    /// Time of the report.
    pub at: Micros,
    /// The agent.
    pub node: String,
    /// Revision of the last applied event.
    pub revision: u64,
    /// SHA-256 of the whole state, in hexadecimal. The state includes rejections, which have no
    /// revision: states at the same revision are only comparable while no operation is in flight.
    pub hash: String,
    /// Index of the last applied log entry: states at the same index are comparable at any time.
    /// `None` in histories of earlier versions, as is `events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<u64>,
    /// SHA-256 chained over all events up to `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<String>,
}

/// An observation of the leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedLeader {
    /// Time of the observation.
    pub at: Micros,
    /// The leading agent.
    pub node: String,
}

/// A snapshot sent to an agent because the log entries that it lacks were purged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Time of the observation.
    pub at: Micros,
    /// The agent that received it.
    pub node: String,
}

/// All units running at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Processes {
    /// Time of the observation.
    pub at: Micros,
    /// The units, sorted.
    pub units: Vec<ObservedUnit>,
}

/// The process of a unit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObservedUnit {
    /// Its service.
    pub service: String,
    /// Its region.
    pub region: String,
    /// Slot within the location, from 1.
    pub slot: u32,
    /// Incarnation of the unit.
    pub incarnation: u64,
    /// Process id.
    pub pid: u32,
}

/// A phase boundary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Time of the mark.
    pub at: Micros,
    /// One of the names in [`mark`].
    pub name: String,
}

/// Reads a history from a file.
///
/// # Errors
/// If the file cannot be read or a line is not a record; the message includes its number.
pub fn read(path: &Path) -> anyhow::Result<Vec<Record>> {
    let file =
        File::open(path).with_context(|| format!("cannot open history {}", path.display()))?;
    let lines = BufReader::new(file).lines().enumerate();
    let records = lines.map(|(number, line)| {
        let place = || format!("{}:{}: not a history record", path.display(), number + 1);
        serde_json::from_str(&line.with_context(place)?).with_context(place)
    });
    records.collect()
}
