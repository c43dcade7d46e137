//! `meridian events`: the log in order, without a gap or a repeat, whatever happens to the agent that
//! it is read from.

use std::time::Duration;

use meridian_proto::v1;
use tokio::time::{Instant, timeout};
use tonic::{Request, Status, Streaming};

use crate::cli::EventsArgs;

use super::call::{self, Kind, Tried};
use super::contract;
use super::endpoint::Endpoint;
use super::explain::{explain_refusal, unavailable};
use super::failure::Failure;
use super::output;
use super::refusal::{self, Meaning};
use super::session::Session;
use super::view::EventView;

/// An agent says at least every five seconds that it is there; one that is silent for three times as
/// long hangs.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);
/// The first pause before the endpoints are gone through once more; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between rounds.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Prints the events that were asked for. Ends at the present, or with Ctrl-C where they are followed.
///
/// # Errors
/// The agent's refusal, or that nobody answers.
pub async fn events(session: &Session, args: &EventsArgs) -> Result<(), Failure> {
    let reader = Reader {
        session,
        follow: args.follow,
        next: args.from.max(1),
        heard: false,
        last_heard: Instant::now(),
        tried: Tried::default(),
    };
    tokio::select! {
        result = reader.run() => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

/// How the reading at one agent ended.
enum End {
    /// Everything up to the present was printed.
    CaughtUp,
    /// The agent refuses, and so would every other.
    Refused(Box<Status>),
    /// The agent cannot, or was lost.
    Lost { word: String, somebody_there: bool },
}

impl End {
    fn lost(word: String) -> Self {
        Self::Lost { word, somebody_there: false }
    }
}

struct Reader<'a> {
    session: &'a Session,
    follow: bool,
    /// The first revision that was not printed yet.
    next: u64,
    /// Whether any agent ever answered.
    heard: bool,
    last_heard: Instant,
    tried: Tried,
}

impl Reader<'_> {
    async fn run(mut self) -> Result<(), Failure> {
        if !self.session.output.is_json() {
            output::write(&EventView::head_line())?;
        }
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.last_heard;
            let places: Vec<_> = self.session.caller.in_order().collect();
            for (turn, (index, endpoint)) in places.iter().enumerate() {
                let share = self.share(places.len() - turn);
                if share.is_zero() {
                    return Err(unavailable(&self.tried, Kind::Read));
                }
                match self.read_at(endpoint, *index, share).await? {
                    End::CaughtUp => return Ok(()),
                    End::Refused(status) => return Err(explain_refusal(&status)),
                    End::Lost { word, somebody_there } => {
                        self.note(endpoint, word, somebody_there);
                    }
                }
            }
            if self.last_heard > before {
                pause = FIRST_PAUSE;
            } else if !self.heard && !self.tried.somebody_there {
                return Err(unavailable(&self.tried, Kind::Read));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// How long the next agent may take to begin. Who follows an answering cluster wants to see it
    /// come back, however long that takes.
    fn share(&self, endpoints_left: usize) -> Duration {
        let whole = self.session.caller.timeout();
        if self.follow && self.heard {
            return whole / 2;
        }
        call::share(whole.saturating_sub(self.last_heard.elapsed()), endpoints_left)
    }

    fn note(&mut self, endpoint: &Endpoint, word: String, somebody_there: bool) {
        let said = format!("note: {endpoint}: {word}; going on at another agent");
        if self.tried.note(endpoint, word) && self.follow && self.heard {
            anstream::eprintln!("{said}");
        }
        self.tried.somebody_there |= somebody_there;
    }

    async fn read_at(
        &mut self,
        endpoint: &Endpoint,
        index: usize,
        share: Duration,
    ) -> Result<End, Failure> {
        let mut stream = match self.open(endpoint, share).await {
            Ok(stream) => stream,
            Err(end) => return Ok(end),
        };
        let patience = if self.follow { LONGEST_SILENCE } else { self.session.caller.timeout() };
        loop {
            let frame = match timeout(patience, stream.message()).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return Ok(End::lost("it ended the stream".to_owned())),
                Ok(Err(status)) => return Ok(judge(status)),
                Err(_) => return Ok(End::lost(format!("silent for {patience:.1?}"))),
            };
            self.heard = true;
            self.last_heard = Instant::now();
            self.tried = Tried::default();
            self.session.caller.prefer(index);
            let caught_up = frame.caught_up;
            if let Some(gap) = self.print(frame.events)? {
                return Ok(End::lost(gap));
            }
            if caught_up && !self.follow {
                return Ok(End::CaughtUp);
            }
        }
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        share: Duration,
    ) -> Result<Streaming<v1::WatchResponse>, End> {
        let begun = Instant::now();
        let channel =
            call::connect(endpoint, share).await.map_err(|error| End::lost(error.to_string()))?;
        let left = share.saturating_sub(begun.elapsed());
        let mut request = Request::new(v1::WatchRequest {
            from: self.next,
            follow: self.follow,
            consistency: self.session.consistency().into(),
        });
        request.set_timeout(left);
        let mut client = contract::events(channel);
        match timeout(left, client.watch(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(judge(status)),
            Err(_) => Err(End::lost(format!("no answer within {left:.1?}"))),
        }
    }

    /// Prints the events that were not printed yet; returns what is wrong with the frame, if an event
    /// is missing in it.
    fn print(&mut self, events: Vec<v1::Event>) -> Result<Option<String>, Failure> {
        let mut lines = String::new();
        let mut gap = None;
        for event in events {
            if event.revision < self.next {
                continue;
            }
            if event.revision > self.next {
                gap = Some(format!("it left out revision {}", self.next));
                break;
            }
            self.next += 1;
            let view = EventView::from(event);
            lines += &if self.session.output.is_json() {
                output::json_line(&view)?
            } else {
                view.line()
            };
        }
        output::write(&lines)?;
        Ok(gap)
    }
}

fn judge(status: Status) -> End {
    match refusal::meaning(&status) {
        Meaning::Answer | Meaning::Unreadable => End::Refused(Box::new(status)),
        Meaning::NotTaken { .. } => {
            End::Lost { word: status.message().to_owned(), somebody_there: true }
        }
        Meaning::NotAnAgent => End::lost(refusal::NOT_AN_AGENT.to_owned()),
        Meaning::NotSent | Meaning::Unknown => End::lost(refusal::loss(&status)),
    }
}
