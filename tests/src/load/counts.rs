//! How often what happened.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time that is told from longer ones: 10 minutes, in microseconds.
const LONGEST: u64 = 600_000_000;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// Nobody listened.
    Refused,
    /// The connection ended before the head of an answer was there.
    Reset,
    /// The answer was not complete in time.
    TimedOut,
    /// The body of the answer ended before its end.
    CutBody,
    /// The status is not the one that is right.
    WrongStatus,
    /// The body is complete, and not the one that is right.
    WrongBody,
    /// What came was no HTTP.
    Garbled,
    /// This machine could not connect, for a reason of its own.
    Local,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::TimedOut => "timed out",
            Self::CutBody => "cut body",
            Self::WrongStatus => "wrong status",
            Self::WrongBody => "wrong body",
            Self::Garbled => "garbled",
            Self::Local => "no connection possible",
        })
    }
}

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// What was seen, for people.
    pub seen: String,
}

/// How often what happened. Each request is counted once, at its end.
#[derive(Debug, Clone)]
pub struct Counts {
    /// Requests that were answered as they should be.
    pub successes: u64,
    /// The others, by kind, each with what was seen of the first one.
    pub failures: BTreeMap<FailureKind, (u64, String)>,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that the server closed between requests as it had said it would: by
    /// `Connection: close`, or in HTTP/2 at all.
    pub announced_closes: u64,
    /// Connections of HTTP/1.1 that the server closed between requests without saying so.
    pub silent_closes: u64,
    /// Requests of HTTP/2 that the server did not begin, or that were just being written when it said
    /// that it takes no more on that connection. They were sent on another one, and are counted above
    /// as what they became there.
    pub given_back: u64,
    /// Answers by the unit that gave them, where the answer says so.
    pub units: BTreeMap<String, u64>,
    /// How long successes took, in microseconds, within a part in a thousand.
    latency: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3);
        Self {
            successes: 0,
            failures: BTreeMap::new(),
            opened: 0,
            announced_closes: 0,
            silent_closes: 0,
            given_back: 0,
            units: BTreeMap::new(),
            latency: latency.expect("3 digits and these bounds are allowed"),
        }
    }
}

impl Counts {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.successes + self.failed()
    }

    /// All failures.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().map(|(count, _)| count).sum()
    }

    /// The failures of a kind.
    #[must_use]
    pub fn failed_by(&self, kind: FailureKind) -> u64 {
        self.failures.get(&kind).map_or(0, |(count, _)| *count)
    }

    /// The time that so many percent of the successes took at most; nothing without successes.
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Duration {
        Duration::from_micros(self.latency.value_at_percentile(percent))
    }

    /// The time that the slowest success took.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.latency.max())
    }

    /// Adds what others counted.
    pub fn add(&mut self, other: &Self) {
        self.successes += other.successes;
        self.opened += other.opened;
        self.announced_closes += other.announced_closes;
        self.silent_closes += other.silent_closes;
        self.given_back += other.given_back;
        for (kind, (count, seen)) in &other.failures {
            self.failures.entry(*kind).or_insert_with(|| (0, seen.clone())).0 += count;
        }
        for (unit, count) in &other.units {
            *self.units.entry(unit.clone()).or_default() += count;
        }
        self.latency.add(&other.latency).expect("all have the same bounds");
    }

    pub(super) fn success(&mut self, took: Duration, unit: Option<String>) {
        self.successes += 1;
        self.latency.saturating_record(took.as_micros().try_into().unwrap_or(LONGEST));
        if let Some(unit) = unit {
            *self.units.entry(unit).or_default() += 1;
        }
    }

    pub(crate) fn failure(&mut self, Failure { kind, seen }: Failure) {
        self.failures.entry(kind).or_insert((0, seen)).0 += 1;
    }
}

/// A line of figures; a further line for each kind of failure.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (p50, p99) = (self.percentile(50.0), self.percentile(99.0));
        write!(
            f,
            "{} requests, {} failed; p50 {p50:.1?}, p99 {p99:.1?}, max {:.1?}; {} connections, \
             closed between requests: {} announced, {} not",
            self.requests(),
            self.failed(),
            self.max(),
            self.opened,
            self.announced_closes,
            self.silent_closes,
        )?;
        if self.given_back > 0 {
            write!(f, "; {} given back", self.given_back)?;
        }
        if !self.units.is_empty() {
            write!(f, "; {} units", self.units.len())?;
        }
        for (kind, (count, seen)) in &self.failures {
            write!(f, "\n    {kind}: {count}, the first: {seen}")?;
        }
        Ok(())
    }
}
