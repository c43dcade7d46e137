//! Operators: what they ask for, and what they were answered.

mod invent;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::ensure;
use meridian_domain::{Actor, Command, RegionName, RequestId, Revision, State};
use meridian_ports::{
    Consistency, Proposal, ProposeError, ReadError, ReadPoint, Receipt, Requester,
};
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::agent::{Agent, EPOCH_MS, Life};
use crate::plan::Plan;
use crate::trace;

/// A request for a change, through all its repetitions.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// What it asks for.
    pub command: Command,
    /// The newest revision that anybody was told of before it was sent first.
    pub floor: Revision,
    /// The first answer.
    pub answer: Option<Receipt>,
}

/// A linearizable read that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Sighting {
    /// What it had to see at least.
    pub floor: Revision,
    /// What it saw.
    pub saw: Revision,
}

/// How often what came out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Calls that were answered with a receipt.
    pub answered: u64,
    /// Calls that were refused for sure.
    pub refused: u64,
    /// Calls whose outcome is unknown, to whoever called.
    pub unknown: u64,
    /// Linearizable reads that were answered.
    pub reads: u64,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Change { request: usize },
    Read { floor: Revision },
}

/// A call that was not answered yet.
#[derive(Debug, Clone, Copy)]
struct Call {
    what: What,
    agent: usize,
    life: u64,
    operator: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct Operator {
    /// Rests until then.
    until: Duration,
    /// Waits for an answer.
    waits: bool,
    /// A request to ask again.
    again: Option<usize>,
}

/// What came of a call.
#[derive(Debug)]
enum Heard {
    Receipt(Result<Receipt, ProposeError>),
    Point(Result<ReadPoint, ReadError>),
}

type Inbox = Arc<Mutex<Vec<(u64, Heard)>>>;

/// All operators.
pub struct Operators {
    rng: SmallRng,
    pause: Duration,
    regions: Vec<RegionName>,
    operators: Vec<Operator>,
    calls: BTreeMap<u64, Call>,
    last_call: u64,
    inbox: Inbox,
    requests: Vec<Request>,
    told: Revision,
    sightings: Vec<Sighting>,
    contradictions: Vec<String>,
    counts: Counts,
}

impl Operators {
    /// The operators of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut regions = plan.agents.clone();
        regions.sort();
        regions.dedup();
        Self {
            rng: plan.rng(1),
            pause: plan.pause,
            regions,
            operators: vec![Operator::default(); plan.operators],
            calls: BTreeMap::new(),
            last_call: 0,
            inbox: Inbox::default(),
            requests: Vec::new(),
            told: Revision(0),
            sightings: Vec::new(),
            contradictions: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Every request, in the order of their births.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// How often what came out.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Checks that no call waits for its answer.
    ///
    /// # Errors
    /// How many do.
    pub fn are_answered(&self) -> anyhow::Result<()> {
        ensure!(self.calls.is_empty(), "{} calls wait for their answers", self.calls.len());
        Ok(())
    }

    /// The reads that were answered since the last call.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sightings)
    }

    /// Answers that contradict an earlier one to the same request, since the last call.
    pub fn take_contradictions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.contradictions)
    }

    /// Takes the answers that have come, and gives up on those that cannot come any more.
    pub fn listen(&mut self, agents: &[Arc<Agent>]) {
        let heard = std::mem::take(&mut *self.inbox.lock().expect("nobody panics there"));
        for (number, heard) in heard {
            trace::note(format_args!("call {number}: {heard:?}"));
            if let Some(call) = self.calls.remove(&number) {
                self.hear(call, heard);
            }
        }
        let broken =
            |call: &Call| agents[call.agent].life().is_none_or(|life| life.number != call.life);
        let lost: Vec<_> =
            self.calls.iter().filter(|(_, call)| broken(call)).map(|(number, _)| *number).collect();
        for call in lost.iter().filter_map(|number| self.calls.remove(number)).collect::<Vec<_>>() {
            self.unanswered(call);
        }
    }

    /// Lets idle operators do something, given the state as somebody sees it.
    pub fn work(&mut self, agents: &[Arc<Agent>], state: &State) {
        for index in 0..self.operators.len() {
            let operator = &mut self.operators[index];
            if operator.waits || operator.until > trace::now() {
                continue;
            }
            let agent = self.rng.random_range(0..agents.len());
            let Some(life) = agents[agent].life() else {
                self.rest(index);
                continue;
            };
            if let Some(request) = operator.again.take() {
                self.send(request, agent, &life, Some(index));
            } else if self.rng.random_bool(0.3) {
                self.read(agent, &life, Some(index));
            } else if self.rng.random_bool(0.05) && !self.requests.is_empty() {
                let request = self.rng.random_range(0..self.requests.len());
                self.send(request, agent, &life, Some(index));
            } else {
                let command = invent::command(&mut self.rng, &self.regions, agents, state);
                let request = self.born(command);
                self.send(request, agent, &life, Some(index));
            }
        }
    }

    /// Asks `agent` for a change, and returns the number of the request; none if it does not run.
    pub fn ask(&mut self, agents: &[Arc<Agent>], agent: usize, command: Command) -> Option<usize> {
        let life = agents[agent].life()?;
        let request = self.born(command);
        self.send(request, agent, &life, None);
        Some(request)
    }

    fn born(&mut self, command: Command) -> usize {
        let now = EPOCH_MS + u64::try_from(trace::now().as_millis()).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(now, &self.rng.random()).into_uuid();
        let id = Uuid::try_into(id).expect("it is of version 7");
        self.requests.push(Request { id, command, floor: self.told, answer: None });
        self.requests.len() - 1
    }

    fn begin(&mut self, what: What, agent: usize, life: &Life, operator: Option<usize>) -> u64 {
        self.last_call += 1;
        let call = Call { what, agent, life: life.number, operator };
        self.calls.insert(self.last_call, call);
        if let Some(operator) = operator {
            self.operators[operator].waits = true;
        }
        self.last_call
    }

    fn read(&mut self, agent: usize, life: &Life, operator: Option<usize>) {
        let call = self.begin(What::Read { floor: self.told }, agent, life, operator);
        trace::note(format_args!("call {call}: read at agent-{agent}, {} or newer", self.told));
        let (inbox, read) = (self.inbox.clone(), life.ports.read.clone());
        let patience = Duration::from_millis(self.rng.random_range(200..5_000));
        life.runtime.spawn(async move {
            let point = read.read(Consistency::Linearizable, Instant::now() + patience).await;
            inbox.lock().expect("nobody panics there").push((call, Heard::Point(point)));
        });
    }

    fn send(&mut self, request: usize, agent: usize, life: &Life, operator: Option<usize>) {
        let call = self.begin(What::Change { request }, agent, life, operator);
        let Request { id, command, .. } = self.requests[request].clone();
        trace::note(format_args!("call {call}: {id} at agent-{agent}: {command:?}"));
        let (inbox, propose) = (self.inbox.clone(), life.ports.propose.clone());
        let patience = Duration::from_millis(self.rng.random_range(200..5_000));
        life.runtime.spawn(async move {
            let actor = Actor::new("operator").expect("is an actor");
            let requester = Requester::Operator { request: id, actor, reason: None };
            let deadline = Instant::now() + patience;
            let receipt = propose.propose(Proposal { command, requester, deadline }).await;
            inbox.lock().expect("nobody panics there").push((call, Heard::Receipt(receipt)));
        });
    }

    fn hear(&mut self, call: Call, heard: Heard) {
        match (call.what, heard) {
            (What::Change { request }, Heard::Receipt(Ok(receipt))) => {
                self.counts.answered += 1;
                self.told = self.told.max(receipt.revision);
                let request = &mut self.requests[request];
                match &request.answer {
                    Some(first) if *first != receipt => self.contradictions.push(format!(
                        "S5: request {} was answered {first:?}, then {receipt:?}",
                        request.id
                    )),
                    Some(_) => {}
                    None => request.answer = Some(receipt),
                }
            }
            (What::Read { floor }, Heard::Point(Ok(point))) => {
                self.counts.reads += 1;
                self.sightings.push(Sighting { floor, saw: point.revision });
                self.told = self.told.max(point.revision);
            }
            (What::Change { .. }, Heard::Receipt(Err(error))) if !error.is_definite() => {
                return self.unanswered(call);
            }
            _ => self.counts.refused += 1,
        }
        if let Some(operator) = call.operator {
            self.rest(operator);
        }
    }

    /// The outcome of a call is unknown: some ask again, others never do.
    fn unanswered(&mut self, call: Call) {
        self.counts.unknown += 1;
        let Some(operator) = call.operator else { return };
        if let What::Change { request } = call.what
            && self.rng.random_bool(0.6)
        {
            self.operators[operator].again = Some(request);
        }
        self.rest(operator);
    }

    fn rest(&mut self, operator: usize) {
        let pause = self.pause.mul_f64(self.rng.random_range(0.0..1.0));
        let operator = &mut self.operators[operator];
        operator.until = trace::now() + pause;
        operator.waits = false;
    }
}
