//! One call, taken to whichever agent answers it.
//!
//! The endpoints are asked one after another, with the same message, until one answers or the time
//! is over. For a change that is safe because the message carries a request id: it happens once
//! however often it is asked for. What an attempt leaves behind decides how the command ends:
//!
//! | attempt | asked next | in the end, if nobody answers |
//! | --- | --- | --- |
//! | not connected, or to no agent, or the agent says that nothing was proposed | the next endpoint | exit code 4 |
//! | sent, and the answer lost or late | the next endpoint, with the same id | exit code 5 |
//! | answered, with yes or with no | nobody | - |
//! | answered, and the answer cannot be read here | nobody | exit code 5, for a change |

use std::cell::Cell;
use std::time::Duration;

use meridian_transport::{ConnectError, Dialer, root_cause, settings};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::endpoint::Endpoint;
use super::refusal::{self, Meaning};

/// How long a connection may take. Agents are a round trip away, and a dead machine answers nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause before the endpoints are gone through once more; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between rounds.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// The shortest attempt that is made once all endpoints were asked: a shorter one would rather be
/// given up than answered, and make an unknown outcome of one that is certain.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(500);

/// What may be done about a call whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing: ask anybody again.
    Read,
    /// Happens once for its request id: ask anybody again, and never say that it failed.
    Change,
    /// Would happen twice: never ask again by oneself.
    Once,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// An agent answered, with no.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// Nobody took it; certainly nothing was proposed.
    #[error("{tried}")]
    Unavailable {
        /// What each endpoint said.
        tried: Tried,
    },
    /// It was sent, and no answer came.
    #[error("{tried}")]
    Unknown {
        /// What each endpoint said.
        tried: Tried,
    },
}

/// What became of the attempts at each endpoint, the last word of each.
#[derive(Debug, Default)]
pub struct Tried {
    words: Vec<(Endpoint, String)>,
    /// Whether some agent answered that it cannot take the call now.
    pub somebody_there: bool,
    /// Whether an answer may have been lost, or come too late.
    unknown: bool,
    /// Whether a connection was given up for want of time, before it had what one may take.
    hurried: bool,
}

impl std::fmt::Display for Tried {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.words.is_empty() {
            return f.write_str("no time was left to ask any");
        }
        for (index, (endpoint, word)) in self.words.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{endpoint}: {word}")?;
        }
        Ok(())
    }
}

impl Tried {
    /// Notes what an endpoint said. Whether that is another word than its last one.
    pub(super) fn note(&mut self, endpoint: &Endpoint, word: String) -> bool {
        match self.words.iter_mut().find(|(other, _)| other == endpoint) {
            Some((_, last)) => std::mem::replace(last, word) != *last,
            None => {
                self.words.push((endpoint.clone(), word));
                true
            }
        }
    }

    /// Whether more time might have brought an answer.
    pub fn lacked_time(&self) -> bool {
        self.unknown || self.hurried || self.words.is_empty()
    }

    fn give_up(self, kind: Kind) -> CallError {
        if self.unknown && kind != Kind::Read {
            CallError::Unknown { tried: self }
        } else {
            CallError::Unavailable { tried: self }
        }
    }
}

/// What one attempt left behind.
enum Attempt<R> {
    Answered(R),
    Refused(Box<Status>),
    /// No connection came about, or none to an agent.
    NotConnected(String),
    /// The agent cannot take it now, and nothing was proposed.
    NotTaken {
        word: String,
        retry_after: Option<Duration>,
    },
    /// It was answered, and the answer cannot be read.
    Unreadable(Box<Status>),
    /// It was sent; what became of it is not known.
    Unknown(String),
}

/// Takes calls to the endpoints of a cluster, beginning with the one that answered last.
#[derive(Debug)]
pub struct Caller {
    endpoints: Vec<Endpoint>,
    timeout: Duration,
    deadline: Cell<Instant>,
    preferred: Cell<usize>,
}

impl Caller {
    /// A caller that takes `timeout` from now on for all of its calls together.
    pub fn new(endpoints: Vec<Endpoint>, timeout: Duration) -> Self {
        let deadline = Cell::new(Instant::now() + timeout);
        Self { endpoints, timeout, deadline, preferred: Cell::new(0) }
    }

    /// How long the calls may take together.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Lets the time begin anew: what was waited for until now was no agent.
    pub fn restart_clock(&self) {
        self.deadline.set(Instant::now() + self.timeout);
    }

    fn left(&self) -> Duration {
        self.deadline.get().saturating_duration_since(Instant::now())
    }

    /// The endpoints, the preferred one first.
    pub fn in_order(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.preferred.get();
        let indexed = self.endpoints.iter().enumerate();
        indexed.clone().skip(first).chain(indexed.take(first))
    }

    /// Begins with this endpoint from now on.
    pub fn prefer(&self, index: usize) {
        self.preferred.set(index % self.endpoints.len().max(1));
    }

    /// The endpoint that answered last.
    pub fn answering(&self) -> &Endpoint {
        &self.endpoints[self.preferred.get()]
    }

    /// Sends `message` by `rpc` to one endpoint after another until one answers.
    ///
    /// # Errors
    /// A [`CallError`], at the latest when the time-out is over.
    pub async fn call<M: Clone, R>(
        &self,
        kind: Kind,
        message: M,
        rpc: impl AsyncFn(Channel, Request<M>) -> Result<Response<R>, Status>,
    ) -> Result<R, CallError> {
        let mut tried = Tried::default();
        let mut pause = FIRST_PAUSE;
        loop {
            let mut nobody_there = true;
            let mut wanted_pause = pause;
            let places: Vec<_> = self.in_order().collect();
            for (turn, (index, endpoint)) in places.iter().enumerate() {
                let share = share(self.left(), places.len() - turn);
                if share.is_zero() {
                    return Err(tried.give_up(kind));
                }
                let begun = Instant::now();
                let attempt = attempt(endpoint, share, message.clone(), &rpc).await;
                nobody_there &= matches!(attempt, Attempt::NotConnected(_));
                match attempt {
                    Attempt::Answered(answer) => {
                        self.prefer(*index);
                        return Ok(answer);
                    }
                    Attempt::Refused(status) => {
                        self.prefer(*index);
                        return Err(CallError::Refused(status));
                    }
                    Attempt::NotConnected(word) => {
                        tried.hurried |= share < CONNECT_TIMEOUT && begun.elapsed() >= share;
                        tried.note(endpoint, word);
                    }
                    Attempt::NotTaken { word, retry_after } => {
                        tried.somebody_there = true;
                        wanted_pause = wanted_pause.max(retry_after.unwrap_or_default());
                        tried.note(endpoint, word);
                    }
                    Attempt::Unreadable(status) => {
                        self.prefer(*index);
                        if kind == Kind::Read {
                            return Err(CallError::Refused(status));
                        }
                        tried.unknown = true;
                        tried.note(endpoint, status.message().to_owned());
                        return Err(tried.give_up(kind));
                    }
                    Attempt::Unknown(word) => {
                        tried.unknown = true;
                        tried.note(endpoint, word);
                        if kind == Kind::Once {
                            return Err(tried.give_up(kind));
                        }
                    }
                }
            }
            // Where no agent runs at all, none will appear while a person waits for an answer. An
            // unknown outcome is worth every attempt that there is time for.
            let left = self.left().saturating_sub(wanted_pause);
            let is_futile = nobody_there || share(left, places.len()) < SHORTEST_ATTEMPT;
            if left.is_zero() || (is_futile && !tried.unknown) {
                return Err(tried.give_up(kind));
            }
            tokio::time::sleep(wanted_pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// How long the next attempt may take: all the time that is left for the last endpoint of a round,
/// half of it before, so that an agent that hangs does not keep the others from being asked.
pub(super) fn share(left: Duration, endpoints_left: usize) -> Duration {
    if endpoints_left > 1 { left / 2 } else { left }
}

/// Connects to an endpoint.
///
/// # Errors
/// What kept the connection from coming about; nothing was sent.
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
    let begun = Instant::now();
    let channel = match connect(endpoint, share).await {
        Ok(channel) => channel,
        Err(error) => return Attempt::NotConnected(error.to_string()),
    };
    let left = share.saturating_sub(begun.elapsed());
    let mut request = Request::new(message);
    request.set_timeout(left);
    match timeout(left, rpc(channel, request)).await {
        Ok(Ok(response)) => Attempt::Answered(response.into_inner()),
        Ok(Err(status)) => judge(status),
        Err(_) => Attempt::Unknown(format!("no answer within {left:.1?}")),
    }
}

fn judge<R>(status: Status) -> Attempt<R> {
    match refusal::meaning(&status) {
        Meaning::Answer => Attempt::Refused(Box::new(status)),
        Meaning::Unreadable => Attempt::Unreadable(Box::new(status)),
        Meaning::NotTaken { retry_after } => {
            Attempt::NotTaken { word: status.message().to_owned(), retry_after }
        }
        Meaning::NotAnAgent => Attempt::NotConnected(refusal::NOT_AN_AGENT.to_owned()),
        Meaning::NotSent => Attempt::NotConnected(root_cause(&status)),
        Meaning::Unknown => Attempt::Unknown(refusal::loss(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hanging_endpoint_takes_half_of_the_time_and_the_last_one_all_that_is_left() {
        let left = Duration::from_secs(5);
        assert_eq!(share(left, 3), Duration::from_millis(2_500));
        assert_eq!(share(left, 1), left);
    }

    #[test]
    fn the_endpoint_that_answered_last_is_asked_first() {
        let endpoints = ["a:1", "b:2", "c:3"].map(|text| text.parse().expect("is an endpoint"));
        let caller = Caller::new(endpoints.to_vec(), Duration::from_secs(5));
        caller.prefer(1);
        let order: Vec<_> = caller.in_order().map(|(_, endpoint)| endpoint.to_string()).collect();
        assert_eq!(order, ["b:2", "c:3", "a:1"]);
    }
}
