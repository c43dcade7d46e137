//! The log as one node has it: the real domain behind the real ports, on no disk.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};

use async_trait::async_trait;
use meridian_domain::evolve::apply_change;
use meridian_domain::{Change, Command, Event, Origin, Revision, State, Verdict, decide};
use meridian_ports::{
    Consistency, Proposal, Propose, ProposeError, Read, ReadError, ReadPoint, Receipt, Requester,
};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, sleep_until};

/// What this node can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    Here,
    Away,
    /// A majority, which says that this agent was removed.
    Removed,
}

#[derive(Debug)]
pub struct Log {
    /// The leader's.
    newest: Mutex<State>,
    /// This node's.
    state: Arc<RwLock<State>>,
    /// How long this node takes to apply what the leader has answered.
    lag: Mutex<Duration>,
    durable: watch::Sender<Revision>,
    quorum: Mutex<Quorum>,
    /// Whether what is applied is durable at once.
    disk_keeps_up: Mutex<bool>,
    events: Mutex<Vec<Event>>,
    proposals: AtomicU32,
    in_flight: AtomicU32,
}

impl Log {
    pub fn new(state: State) -> Self {
        Self {
            durable: watch::Sender::new(state.header.revision),
            newest: Mutex::new(state.clone()),
            state: Arc::new(RwLock::new(state)),
            lag: Mutex::default(),
            quorum: Mutex::new(Quorum::Here),
            disk_keeps_up: Mutex::new(true),
            events: Mutex::default(),
            proposals: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
        }
    }

    pub fn set_quorum(&self, quorum: Quorum) {
        *self.quorum.lock().unwrap() = quorum;
    }

    pub fn quorum(&self) -> Quorum {
        *self.quorum.lock().unwrap()
    }

    pub fn set_lag(&self, lag: Duration) {
        *self.lag.lock().unwrap() = lag;
    }

    /// From here on, what is applied is durable only up to what [`Log::flush`] is told.
    pub fn hold_the_disk(&self) {
        *self.disk_keeps_up.lock().unwrap() = false;
    }

    pub fn flush(&self, revision: Revision) {
        self.durable.send_replace(revision);
    }

    pub fn revision(&self) -> Revision {
        self.state.read().unwrap().header.revision
    }

    /// The log of another time or another node.
    pub fn replace(&self, state: State) {
        let revision = state.header.revision;
        *self.newest.lock().unwrap() = state.clone();
        *self.state.write().unwrap() = state;
        self.flush(revision);
    }

    /// Has a command happen.
    pub fn does(&self, command: Command) {
        let verdict = self.append(&command, Origin::System);
        assert_eq!(verdict, Verdict::Accepted, "{command:?}");
    }

    pub fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub fn proposals(&self) -> u32 {
        self.proposals.load(Ordering::Relaxed)
    }

    fn append(&self, command: &Command, origin: Origin) -> Verdict {
        let mut state = self.newest.lock().unwrap();
        let (events, verdict) = match decide(&state, command) {
            Ok(events) => (events, Verdict::Accepted),
            Err(faults) => (vec![], Verdict::Rejected(faults)),
        };
        self.events.lock().unwrap().extend(events.clone());
        apply_change(&mut state, &Change { origin, events, verdict: verdict.clone() });
        let lag = *self.lag.lock().unwrap();
        let keeps_up = *self.disk_keeps_up.lock().unwrap();
        let (here, durable, state) = (self.state.clone(), self.durable.clone(), state.clone());
        let apply = move || {
            let revision = state.header.revision;
            *here.write().unwrap() = state;
            if keeps_up {
                durable.send_replace(revision);
            }
        };
        if lag.is_zero() {
            apply();
        } else {
            tokio::spawn(async move {
                sleep(lag).await;
                apply();
            });
        }
        verdict
    }
}

/// A report on its way, until it is answered or its agent is killed.
struct Flight<'a>(&'a AtomicU32);

impl<'a> Flight<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        assert_eq!(count.fetch_add(1, Ordering::Relaxed), 0, "one report at a time");
        Self(count)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Propose for Log {
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError> {
        assert_eq!(proposal.requester, Requester::Agent);
        self.proposals.fetch_add(1, Ordering::Relaxed);
        let _flight = Flight::new(&self.in_flight);
        let began = Instant::now();
        sleep(Duration::from_millis(2)).await;
        if self.quorum() != Quorum::Here {
            sleep_until(proposal.deadline).await;
        }
        if self.quorum() != Quorum::Here {
            return Err(ProposeError::NoLeader { waited: began.elapsed() });
        }
        let Command::Report(report) = &proposal.command else { panic!("agents only report") };
        let newest = || self.newest.lock().unwrap().header.revision;
        let base = newest();
        let origin = Origin::Report {
            agent: report.agent.clone(),
            generation: report.generation,
            sequence: report.sequence,
        };
        let verdict = self.append(&proposal.command, origin);
        Ok(Receipt { verdict, base, revision: newest() })
    }
}

#[async_trait]
impl Read for Log {
    async fn read(&self, wanted: Consistency, deadline: Instant) -> Result<ReadPoint, ReadError> {
        assert_eq!(wanted, Consistency::Linearizable);
        let began = Instant::now();
        match self.quorum() {
            Quorum::Here => Ok(ReadPoint { revision: self.revision(), leader_contact: None }),
            Quorum::Removed => Err(ReadError::Removed),
            Quorum::Away => {
                sleep_until(deadline).await;
                Err(ReadError::NoLeader { waited: began.elapsed() })
            }
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap()
    }

    fn durable(&self) -> watch::Receiver<Revision> {
        self.durable.subscribe()
    }
}
