//! `meridian events`: the event log in order, without gaps or duplicates, whichever agents fail.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use meridian_proto::v1;
use tokio::time::{Instant, timeout};
use tonic::{Request, Status, Streaming};

use crate::cli::{EventsArgs, Format};
use crate::exit;

use super::contract;
use super::endpoint::Endpoint;
use super::explain::{explain_rejection, unavailable};
use super::failover::{self, Attempts, RequestKind};
use super::failure::Failure;
use super::grpc_status::{self, Class};
use super::output::{self, Output};
use super::session::Session;
use super::view::EventView;

/// Maximum silence of an agent while following. Agents send a frame at least every five seconds;
/// one that is silent three times as long hangs.
const MAX_SILENCE: Duration = Duration::from_secs(15);
/// Backoff after the first round over all endpoints; it doubles with each round.
const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
/// Maximum backoff between two rounds.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// Prints the selected events. Ends with the last one, or with Ctrl-C if it follows the log.
///
/// # Errors
/// The rejection, or that no agent responded.
pub async fn events(session: &Session, args: &EventsArgs) -> Result<(), Failure> {
    let reader = Reader {
        session,
        follow: args.follow,
        next: args.from,
        connected: false,
        last_frame: Instant::now(),
        attempts: Attempts::default(),
        printer: Printer::new(session, args),
    };
    tokio::select! {
        result = reader.run() => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

/// End of a stream from one agent.
enum End {
    /// Everything up to the present was read.
    CaughtUp,
    /// The agent rejected the request; every other agent would, too.
    Rejected(Box<Status>),
    /// The agent failed, or cannot serve the request.
    Lost { error: String, refusal: Option<String> },
}

impl End {
    fn lost(error: String) -> Self {
        Self::Lost { error, refusal: None }
    }
}

struct Reader<'a> {
    session: &'a Session,
    follow: bool,
    /// Next revision to read; `None` for the oldest.
    next: Option<u64>,
    /// True once any agent sent a frame.
    connected: bool,
    last_frame: Instant,
    attempts: Attempts,
    printer: Printer<'a>,
}

impl Reader<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut backoff = INITIAL_BACKOFF;
        loop {
            let before = self.last_frame;
            let endpoints: Vec<_> = self.session.client.in_order().collect();
            for (turn, (index, endpoint)) in endpoints.iter().enumerate() {
                let share = self.share(endpoints.len() - turn);
                if share.is_zero() {
                    return Err(self.unavailable());
                }
                match self.read_from(endpoint, *index, share).await? {
                    End::CaughtUp => return Ok(()),
                    End::Rejected(status) => return Err(explain_rejection(&status)),
                    End::Lost { error, refusal } => {
                        self.record(endpoint, error, refusal);
                    }
                }
            }
            if self.last_frame > before {
                backoff = INITIAL_BACKOFF;
            } else if !self.connected && self.attempts.refusals.is_empty() {
                return Err(self.unavailable());
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    fn unavailable(&self) -> Failure {
        unavailable(&self.attempts, &self.session.request_info(RequestKind::Read, None))
    }

    /// Maximum time for the next agent to start its stream. A follower that has once been connected
    /// waits for the cluster to return, however long that takes.
    fn share(&self, endpoints_left: usize) -> Duration {
        let timeout = self.session.client.timeout();
        if self.follow && self.connected {
            return timeout / 2;
        }
        failover::share(timeout.saturating_sub(self.last_frame.elapsed()), endpoints_left)
    }

    fn record(&mut self, endpoint: &Endpoint, error: String, refusal: Option<String>) {
        let line = format!("note: {endpoint}: {error}; reconnecting");
        if self.attempts.record(endpoint, error) && self.follow && self.connected {
            exit::message(format_args!("{line}"));
        }
        self.attempts.refusals.extend(refusal);
    }

    async fn read_from(
        &mut self,
        endpoint: &Endpoint,
        index: usize,
        share: Duration,
    ) -> Result<End, Failure> {
        let mut stream = match self.open(endpoint, share).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        let max_silence = if self.follow { MAX_SILENCE } else { self.session.client.timeout() };
        loop {
            let frame = match timeout(max_silence, stream.message()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return Ok(End::lost("stream ended early".to_owned())),
                Ok(Err(status)) => return Ok(end_of(status)),
                Err(_) => return Ok(End::lost(format!("no event within {max_silence:.1?}"))),
            };
            self.connected = true;
            self.last_frame = Instant::now();
            self.attempts = Attempts::default();
            self.session.client.prefer(index);
            let caught_up = frame.caught_up;
            if let Some(gap) = self.print(frame.events)? {
                return Ok(End::lost(gap));
            }
            if caught_up {
                self.printer.caught_up()?;
                if !self.follow {
                    return Ok(End::CaughtUp);
                }
            }
        }
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        share: Duration,
    ) -> Result<Streaming<v1::WatchResponse>, End> {
        let started = Instant::now();
        let channel = failover::connect(endpoint, share)
            .await
            .map_err(|error| End::lost(error.to_string()))?;
        let remaining = share.saturating_sub(started.elapsed());
        let mut request = Request::new(v1::WatchRequest {
            from: self.next.unwrap_or_default(),
            follow: self.follow,
            consistency: self.session.consistency().into(),
        });
        request.set_timeout(remaining);
        let mut client = contract::events(channel);
        match timeout(remaining, client.watch(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(end_of(status)),
            Err(_) => Err(End::lost(format!("no response within {share:.1?}"))),
        }
    }

    /// Prints the events of a frame that are new. Returns an error of the agent if one is missing.
    fn print(&mut self, events: Vec<v1::Event>) -> Result<Option<String>, Failure> {
        let mut new = Vec::new();
        let mut gap = None;
        for event in events {
            let next = self.next.unwrap_or(event.revision);
            if event.revision < next {
                continue;
            }
            if event.revision > next {
                gap = Some(format!("revision {next} is missing"));
                break;
            }
            self.next = Some(next + 1);
            new.push(EventView::from(event));
        }
        self.printer.add(new)?;
        Ok(gap)
    }
}

fn end_of(status: Status) -> End {
    match grpc_status::classify(&status) {
        Class::Rejected | Class::Undecodable => End::Rejected(Box::new(status)),
        Class::NotAccepted { reason, .. } => {
            End::Lost { error: status.message().to_owned(), refusal: Some(reason) }
        }
        Class::NotAnAgent => End::lost(grpc_status::NOT_AN_AGENT.to_owned()),
        Class::NotSent | Class::Unknown => End::lost(grpc_status::loss(&status)),
    }
}

/// Selects events and prints them.
struct Printer<'a> {
    output: Output,
    /// Set if the log is followed: ages would become wrong on the screen, so times of day are printed.
    follow: bool,
    since: Option<SystemTime>,
    service: Option<&'a str>,
    types: &'a [String],
    /// Maximum number of events until the present.
    limit: Option<usize>,
    /// The newest selected events, while there is a limit.
    backlog: VecDeque<EventView>,
    /// True once an event was selected.
    selected_any: bool,
}

impl<'a> Printer<'a> {
    fn new(session: &Session, args: &'a EventsArgs) -> Self {
        let limit = args.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Self {
            output: session.output,
            follow: args.follow,
            since: args.since.map(|since| since.instant(SystemTime::now())),
            service: args.service.as_deref(),
            types: &args.types,
            limit,
            backlog: VecDeque::new(),
            selected_any: false,
        }
    }

    fn selects(&self, event: &EventView) -> bool {
        self.since.is_none_or(|start| event.is_since(start))
            && self.service.is_none_or(|service| event.is_about(service))
            && (self.types.is_empty() || self.types.contains(&event.kind))
    }

    /// Adds events: prints them, or keeps the newest ones until the present if there is a limit.
    fn add(&mut self, events: Vec<EventView>) -> Result<(), Failure> {
        let selected = events.into_iter().filter(|event| self.selects(event));
        let mut selected: VecDeque<EventView> = selected.collect();
        self.selected_any |= !selected.is_empty();
        let Some(limit) = self.limit else {
            return self.print(&selected);
        };
        self.backlog.append(&mut selected);
        let excess = self.backlog.len().saturating_sub(limit);
        self.backlog.drain(..excess);
        Ok(())
    }

    /// Prints the kept events. Later ones are printed as they come.
    fn caught_up(&mut self) -> Result<(), Failure> {
        self.limit = None;
        let backlog = std::mem::take(&mut self.backlog);
        if !self.selected_any && !self.follow && !self.output.is_json() {
            exit::message(format_args!("no event matches"));
        }
        self.print(&backlog)
    }

    fn print(&self, events: &VecDeque<EventView>) -> Result<(), Failure> {
        let mut lines = String::new();
        for event in events {
            lines += &match (self.output.format(), self.follow) {
                (Format::Json, _) => output::json_line(event)?,
                (Format::Wide, _) => event.wide_line(),
                (Format::Table, true) => event.clock_line(),
                (Format::Table, false) => event.line(),
            };
        }
        output::write(&lines)
    }
}
