//! Results of changes.

use meridian_proto::v1;
use serde::Serialize;

use super::{EventView, text};

/// Result of a change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeView {
    /// The revision after the change; equal to `base` if it had no effect.
    pub revision: u64,
    /// The revision before it.
    pub base: u64,
    /// The request id for retries; null in a dry run.
    pub request_id: Option<String>,
    /// True if nothing was changed, and the events are those that would happen.
    pub dry_run: bool,
    /// The events of the change, in order.
    pub events: Vec<EventView>,
    /// Conditions that the change still waits for, or that it cannot reach on its own.
    pub waits: Vec<WaitView>,
}

/// Condition that a change waits for.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitView {
    /// Stable reason, such as `NO_AGENT`.
    pub reason: String,
    /// The object that waits, as a path.
    pub subject: String,
    /// Sentence with the waiting object and the missing condition.
    pub cause: String,
    /// Next step for an operator.
    pub next_step: String,
}

impl From<v1::Wait> for WaitView {
    fn from(wait: v1::Wait) -> Self {
        Self {
            reason: wait.reason,
            subject: wait.subject,
            cause: wait.cause,
            next_step: wait.next_step,
        }
    }
}

impl ChangeView {
    /// Converts the response to the request with this context.
    pub fn new(response: v1::ChangeResponse, context: v1::ChangeContext) -> Self {
        Self {
            revision: response.revision,
            base: response.base,
            request_id: text(context.request_id),
            dry_run: context.dry_run,
            events: response.events.into_iter().map(EventView::from).collect(),
            waits: response.waits.into_iter().map(WaitView::from).collect(),
        }
    }
}
