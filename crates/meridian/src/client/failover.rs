//! Sends one request to the agents in turn until one responds.
//!
//! The endpoints are tried in order, with the same message, until one responds or the timeout has
//! passed. For a change that is safe: its request id makes it happen at most once, however often it
//! is sent. The attempts decide how the command ends:
//!
//! | attempt | next attempt | if no agent responds |
//! | --- | --- | --- |
//! | not connected, not an agent, or the agent did not submit the change | next endpoint | exit code 4 |
//! | sent, and the response lost or late | next endpoint, same request id | exit code 5 |
//! | accepted or rejected | none | - |
//! | responded, and the response cannot be decoded | none | exit code 5 for a change |

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use meridian_transport::{ConnectError, Dialer, root_cause, settings};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::endpoint::Endpoint;
use super::grpc_status::{self, Class};

/// Maximum time to connect. Agents are one round trip away, and a dead machine does not respond.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Backoff after the first round over all endpoints; it doubles with each round.
const INITIAL_BACKOFF: Duration = Duration::from_millis(50);
/// Maximum backoff between two rounds.
const MAX_BACKOFF: Duration = Duration::from_millis(800);

/// Minimum time for an attempt after the first round. A shorter attempt would probably time out,
/// and would turn a certain outcome into an unknown one.
const MIN_ATTEMPT: Duration = Duration::from_millis(500);

/// Kind of a request: determines how it may be retried after its response was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// Changes nothing: retried on any agent.
    Read,
    /// Happens once per request id: retried on any agent, and never reported as failed.
    Change,
    /// Would happen twice: never retried.
    Once,
}

/// Error of a request without a successful response.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// An agent rejected it.
    #[error("{}", .0.message())]
    Rejected(Box<Status>),
    /// No agent accepted it; it certainly changed nothing.
    #[error("{attempts}")]
    Unavailable {
        /// Last error of each endpoint.
        attempts: Attempts,
    },
    /// It was sent, and no response arrived.
    #[error("{attempts}")]
    Unknown {
        /// Last error of each endpoint.
        attempts: Attempts,
    },
}

/// Attempts at each endpoint.
#[derive(Debug, Default)]
pub struct Attempts {
    last_errors: Vec<(Endpoint, String)>,
    /// Reasons that agents gave for not serving the request now.
    pub refusals: BTreeSet<String>,
    /// True if a response may have been lost or late.
    maybe_executed: bool,
    /// True if a connection attempt was cut short by the timeout.
    connect_cut_short: bool,
}

impl std::fmt::Display for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.last_errors.is_empty() {
            return f.write_str("the timeout passed before the first attempt");
        }
        let mut rest = self.last_errors.as_slice();
        while let [(first, error), ..] = rest {
            let alike = rest.iter().take_while(|(_, other)| other == error).count();
            write!(f, "{first}")?;
            rest[1..alike].iter().try_for_each(|(endpoint, _)| write!(f, ", {endpoint}"))?;
            rest = &rest[alike..];
            write!(f, ": {error}{}", if rest.is_empty() { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Attempts {
    /// Records an error of an endpoint. Returns true if it differs from the endpoint's last one.
    pub(super) fn record(&mut self, endpoint: &Endpoint, error: String) -> bool {
        match self.last_errors.iter_mut().find(|(other, _)| other == endpoint) {
            Some((_, last)) => std::mem::replace(last, error) != *last,
            None => {
                self.last_errors.push((endpoint.clone(), error));
                true
            }
        }
    }

    /// True if a longer timeout might have brought a response.
    pub fn timed_out(&self) -> bool {
        self.maybe_executed || self.connect_cut_short || self.last_errors.is_empty()
    }

    fn into_error(self, kind: RequestKind) -> RequestError {
        if self.maybe_executed && kind != RequestKind::Read {
            RequestError::Unknown { attempts: self }
        } else {
            RequestError::Unavailable { attempts: self }
        }
    }
}

/// Result of one attempt.
enum Attempt<R> {
    Accepted(R),
    Rejected(Box<Status>),
    /// No connection, or none to an agent.
    NotConnected(String),
    /// The agent cannot serve the request now, and changed nothing.
    NotAccepted {
        error: String,
        reason: String,
        retry_after: Option<Duration>,
    },
    /// The response cannot be decoded.
    Undecodable(Box<Status>),
    /// It was sent; the outcome is unknown.
    Unknown(String),
}

/// Sends requests to the endpoints of a cluster, starting with the one that responded last.
#[derive(Debug)]
pub struct FailoverClient {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
    deadline: Cell<Instant>,
    preferred: Cell<usize>,
}

impl FailoverClient {
    /// Creates a client with a timeout for all of its requests together, which starts now.
    pub fn new(endpoints: Vec<Endpoint>, timeout: Duration) -> Self {
        let deadline = Cell::new(Instant::now() + timeout);
        Self { endpoints, timeout, deadline, preferred: Cell::new(0) }
    }

    /// Timeout of all requests together.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Restarts the timeout, after a wait for something other than an agent.
    pub fn restart_timeout(&self) {
        self.deadline.set(Instant::now() + self.timeout);
    }

    fn remaining(&self) -> Duration {
        self.deadline.get().saturating_duration_since(Instant::now())
    }

    /// The endpoints with their indices, the preferred one first.
    pub fn in_order(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.preferred.get();
        let indexed = self.endpoints.iter().enumerate();
        indexed.clone().skip(first).chain(indexed.take(first))
    }

    /// Makes this endpoint the preferred one.
    pub fn prefer(&self, index: usize) {
        self.preferred.set(index % self.endpoints.len().max(1));
    }

    /// The endpoint that responded last.
    pub fn last_endpoint(&self) -> &Endpoint {
        &self.endpoints[self.preferred.get()]
    }

    /// True if these are exactly the endpoints.
    pub fn has_endpoints(&self, endpoints: &[&str]) -> bool {
        self.endpoints.iter().map(ToString::to_string).eq(endpoints.iter().copied())
    }

    /// Sends `message` to one endpoint after another until one responds.
    ///
    /// # Errors
    /// A [`RequestError`], at the latest at the timeout.
    pub async fn send<M: Clone, R>(
        &self,
        kind: RequestKind,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, RequestError> {
        let mut attempts = Attempts::default();
        let mut backoff = INITIAL_BACKOFF;
        loop {
            let mut none_connected = true;
            let mut suggested: Option<Duration> = None;
            let endpoints: Vec<_> = self.in_order().collect();
            for (turn, (index, endpoint)) in endpoints.iter().enumerate() {
                let share = share(self.remaining(), endpoints.len() - turn);
                if share.is_zero() {
                    return Err(attempts.into_error(kind));
                }
                let started = Instant::now();
                let attempt = attempt(endpoint, share, message.clone(), &rpc).await;
                none_connected &= matches!(attempt, Attempt::NotConnected(_));
                match attempt {
                    Attempt::Accepted(response) => {
                        self.prefer(*index);
                        return Ok(response);
                    }
                    Attempt::Rejected(status) => {
                        self.prefer(*index);
                        return Err(RequestError::Rejected(status));
                    }
                    Attempt::NotConnected(error) => {
                        attempts.connect_cut_short |=
                            share < CONNECT_TIMEOUT && started.elapsed() >= share;
                        attempts.record(endpoint, error);
                    }
                    Attempt::NotAccepted { error, reason, retry_after } => {
                        attempts.refusals.insert(reason);
                        let delay = retry_after.unwrap_or_default();
                        suggested = Some(suggested.map_or(delay, |least| least.min(delay)));
                        attempts.record(endpoint, error);
                    }
                    Attempt::Undecodable(status) => {
                        self.prefer(*index);
                        if kind == RequestKind::Read {
                            return Err(RequestError::Rejected(status));
                        }
                        attempts.maybe_executed = true;
                        attempts.record(endpoint, status.message().to_owned());
                        return Err(attempts.into_error(kind));
                    }
                    Attempt::Unknown(error) => {
                        attempts.maybe_executed = true;
                        attempts.record(endpoint, error);
                        if kind == RequestKind::Once {
                            return Err(attempts.into_error(kind));
                        }
                    }
                }
            }
            let pause = backoff.max(suggested.unwrap_or_default());
            // If no agent runs at all, none will appear within the timeout. An unknown outcome is
            // worth every attempt that the timeout allows.
            let remaining = self.remaining().saturating_sub(pause);
            let is_futile = none_connected || share(remaining, endpoints.len()) < MIN_ATTEMPT;
            if remaining.is_zero() || (is_futile && !attempts.maybe_executed) {
                return Err(attempts.into_error(kind));
            }
            tokio::time::sleep(pause).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }
}

/// Maximum time of the next attempt: all that remains for the last endpoint of a round, half of it
/// otherwise, so that an agent that hangs leaves time for the others.
pub(super) fn share(remaining: Duration, endpoints_left: usize) -> Duration {
    if endpoints_left > 1 { remaining / 2 } else { remaining }
}

/// Connects to an endpoint.
///
/// # Errors
/// The reason; nothing was sent.
pub(super) async fn connect(
    endpoint: &Endpoint,
    within: Duration,
) -> Result<Channel, ConnectError> {
    let limit = within.min(CONNECT_TIMEOUT);
    meridian_transport::connect(&Dialer::default(), endpoint, &settings::CLIENT, limit).await
}

async fn attempt<M, R>(
    endpoint: &Endpoint,
    share: Duration,
    message: M,
    rpc: &impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
) -> Attempt<R> {
    let started = Instant::now();
    let channel = match connect(endpoint, share).await {
        Ok(channel) => channel,
        Err(error) => return Attempt::NotConnected(error.to_string()),
    };
    let remaining = share.saturating_sub(started.elapsed());
    let mut request = Request::new(message);
    request.set_timeout(remaining);
    match timeout(remaining, rpc(channel, request)).await {
        Ok(Ok(response)) => Attempt::Accepted(response.into_inner()),
        Ok(Err(status)) => failed_attempt(status),
        Err(_) => Attempt::Unknown(format!("no response within {share:.1?}")),
    }
}

fn failed_attempt<R>(status: Status) -> Attempt<R> {
    match grpc_status::classify(&status) {
        Class::Rejected => Attempt::Rejected(Box::new(status)),
        Class::Undecodable => Attempt::Undecodable(Box::new(status)),
        Class::NotAccepted { reason, retry_after } => {
            Attempt::NotAccepted { error: status.message().to_owned(), reason, retry_after }
        }
        Class::NotAnAgent => Attempt::NotConnected(grpc_status::NOT_AN_AGENT.to_owned()),
        Class::NotSent => Attempt::NotConnected(root_cause(&status)),
        Class::Unknown => Attempt::Unknown(grpc_status::loss(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_gets_half_of_the_remaining_time_and_the_last_one_all_of_it() {
        let remaining = Duration::from_secs(5);
        assert_eq!(share(remaining, 3), Duration::from_millis(2_500));
        assert_eq!(share(remaining, 1), remaining);
    }

    #[test]
    fn endpoints_with_the_same_error_are_listed_together() {
        let mut attempts = Attempts::default();
        for (endpoint, error) in [("a:1", "refused"), ("b:1", "refused"), ("c:1", "late")] {
            attempts.record(&endpoint.parse().expect("is an endpoint"), error.to_owned());
        }
        assert_eq!(attempts.to_string(), "a:1, b:1: refused; c:1: late");
    }

    #[test]
    fn the_endpoint_that_responded_last_is_tried_first() {
        let endpoints = ["a:1", "b:2", "c:3"].map(|text| text.parse().expect("is an endpoint"));
        let client = FailoverClient::new(endpoints.to_vec(), Duration::from_secs(5));
        client.prefer(1);
        let order: Vec<_> = client.in_order().map(|(_, endpoint)| endpoint.to_string()).collect();
        assert_eq!(order, ["b:2", "c:3", "a:1"]);
    }
}
