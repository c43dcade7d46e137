//! Measured round trips, as the log records them. [`routing`](crate::routing) uses them.

use serde::{Deserialize, Serialize};

use crate::id::Timestamp;

/// Round trip measured between agents of two regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredRoundTrip {
    /// Median in microseconds.
    pub micros: u32,
    /// Time of the event that recorded it.
    pub recorded: Timestamp,
}
