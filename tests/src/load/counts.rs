//! Counters of the results.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Upper bound of the latency histogram: 10 minutes, in microseconds.
const MAX_LATENCY: u64 = 600_000_000;

/// Reasons for a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The connection was refused.
    Refused,
    /// The connection ended before the response head.
    Reset,
    /// The response was not complete in time.
    TimedOut,
    /// The response body was truncated.
    TruncatedBody,
    /// The status is not the expected one.
    UnexpectedStatus,
    /// The body is complete but not the expected one.
    UnexpectedBody,
    /// The response is not valid HTTP.
    InvalidResponse,
    /// This machine could not connect, for a local reason.
    Local,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::TruncatedBody => "truncated body",
            Self::UnexpectedStatus => "unexpected status",
            Self::UnexpectedBody => "unexpected body",
            Self::InvalidResponse => "invalid response",
            Self::Local => "local error",
        })
    }
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Reason.
    pub kind: FailureKind,
    /// Details for the output.
    pub detail: String,
}

/// Counters of the results. Each request is counted once, when it ends.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Requests with the expected response.
    pub successes: u64,
    /// Failed requests by kind, each with the details of the first one.
    pub failures: BTreeMap<FailureKind, (u64, String)>,
    /// Opened connections.
    pub opened: u64,
    /// Connections that the server closed between requests with an announcement: `Connection:
    /// close`, or any close in HTTP/2.
    pub announced_closes: u64,
    /// HTTP/1.1 connections that the server closed between requests without an announcement.
    pub unannounced_closes: u64,
    /// HTTP/2 requests that the server did not process, or that were being sent when it announced
    /// that the connection takes no further ones. They were sent again on another connection, and
    /// the result is counted above.
    pub unprocessed: u64,
    /// Responses by unit, for responses that name their unit.
    pub units: BTreeMap<String, u64>,
    /// Latency of successes in microseconds, with a precision of three digits.
    latency: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MAX_LATENCY, 3);
        Self {
            successes: 0,
            failures: BTreeMap::new(),
            opened: 0,
            announced_closes: 0,
            unannounced_closes: 0,
            unprocessed: 0,
            units: BTreeMap::new(),
            latency: latency.expect("the bounds and 3 digits are valid"),
        }
    }
}

impl Counts {
    /// Returns the number of requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.successes + self.failed()
    }

    /// Returns the number of failures.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }

    /// Returns the number of failures of a kind.
    #[must_use]
    pub fn failed_by(&self, kind: FailureKind) -> u64 {
        self.failures.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// Returns a percentile of the latency of successes; zero without successes.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_percentile(percent))
    }

    /// Returns the maximum latency of a success.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.latency.max())
    }

    /// Adds other counters to these.
    pub fn add(&mut self, other: &Self) {
        self.successes += other.successes;
        self.opened += other.opened;
        self.announced_closes += other.announced_closes;
        self.unannounced_closes += other.unannounced_closes;
        self.unprocessed += other.unprocessed;
        for (kind, (count, detail)) in &other.failures {
            self.failures.entry(*kind).or_insert_with(|| (0, detail.clone())).0 += count;
        }
        for (unit, count) in &other.units {
            *self.units.entry(unit.clone()).or_default() += count;
        }
        self.latency.add(&other.latency).expect("the histograms have the same bounds");
    }

    pub(super) fn success(&mut self, latency: Duration, unit: Option<String>) {
        self.successes += 1;
        self.latency.saturating_record(latency.as_micros().try_into().unwrap_or(MAX_LATENCY));
        if let Some(unit) = unit {
            *self.units.entry(unit).or_default() += 1;
        }
    }

    pub(crate) fn failure(&mut self, Failure { kind, detail }: Failure) {
        self.failures.entry(kind).or_insert((0, detail)).0 += 1;
    }
}

/// One line of counters, and one line for each kind of failure.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.percentile(50.0), self.percentile(99.0));
        write!(
            f,
            "{} requests, {} failed; p50 {p50:.1?}, p99 {p99:.1?}, max {:.1?}; {} connections, \
             closed between requests: {} announced, {} unannounced",
            self.requests(),
            self.failed(),
            self.max(),
            self.opened,
            self.announced_closes,
            self.unannounced_closes,
        )?;
        if self.unprocessed > 0 {
            write!(f, "; {} unprocessed", self.unprocessed)?;
        }
        if !self.units.is_empty() {
            write!(f, "; {} units", self.units.len())?;
        }
        for (kind, (count, detail)) in &self.failures {
            write!(f, "\n    {kind}: {count}, first: {detail}")?;
        }
        Ok(())
    }
}
