//! The log as one node sees it: the real domain behind the real ports, without a disk.

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

/// Quorum, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    Reachable,
    Unreachable,
    /// A majority is reachable and confirms that this agent was removed.
    Removed,
}

#[derive(Debug)]
pub struct Log {
    /// State of the leader.
    newest: Mutex<State>,
    /// State applied on this node.
    state: Arc<RwLock<State>>,
    /// Time from the leader's response until this node applies the change.
    lag: Mutex<Duration>,
    durable: watch::Sender<Revision>,
    quorum: Mutex<Quorum>,
    /// True if applied changes are durable immediately.
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
            quorum: Mutex::new(Quorum::Reachable),
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

    /// From now on, changes are durable only up to the revision given to [`Log::flush`].
    pub fn stop_flushing(&self) {
        *self.disk_keeps_up.lock().unwrap() = false;
    }

    pub fn flush(&self, revision: Revision) {
        self.durable.send_replace(revision);
    }

    pub fn revision(&self) -> Revision {
        self.state.read().unwrap().header.revision
    }

    /// Replaces the log with that of another time or another node.
    pub fn replace(&self, state: State) {
        let revision = state.header.revision;
        *self.newest.lock().unwrap() = state.clone();
        *self.state.write().unwrap() = state;
        self.flush(revision);
    }

    /// Commits a command that must be accepted.
    pub fn commit(&self, command: Command) {
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
            Err(rejections) => (vec![], Verdict::Rejected(rejections)),
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

/// A report in flight, until its response or until its agent is killed.
struct InFlight<'a>(&'a AtomicU32);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        assert_eq!(count.fetch_add(1, Ordering::Relaxed), 0, "more than one report in flight");
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Propose for Log {
    async fn propose(&self, proposal: Proposal) -> Result<Receipt, ProposeError> {
        assert_eq!(proposal.requester, Requester::Agent);
        self.proposals.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight::new(&self.in_flight);
        let started = Instant::now();
        sleep(Duration::from_millis(2)).await;
        if self.quorum() != Quorum::Reachable {
            sleep_until(proposal.deadline).await;
        }
        if self.quorum() != Quorum::Reachable {
            return Err(ProposeError::NoLeader { waited: started.elapsed() });
        }
        let Command::Report(report) = &proposal.command else {
            panic!("agents propose only reports")
        };
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
        let started = Instant::now();
        match self.quorum() {
            Quorum::Reachable => Ok(ReadPoint { revision: self.revision(), leader_contact: None }),
            Quorum::Removed => Err(ReadError::Removed),
            Quorum::Unreachable => {
                sleep_until(deadline).await;
                Err(ReadError::NoLeader { waited: started.elapsed() })
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
