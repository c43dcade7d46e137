//! Simulated operators: their requests, and the responses.

mod generate;

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

use crate::agent::{Agent, EPOCH_MS, ProcessRun};
use crate::plan::Plan;
use crate::trace;

/// A change request with all its retries.
#[derive(Debug, Clone)]
pub struct Request {
    /// Request id.
    pub id: RequestId,
    /// The command.
    pub command: Command,
    /// The newest revision that any operator had observed before the request was first sent.
    pub floor: Revision,
    /// The first receipt.
    pub receipt: Option<Receipt>,
}

/// A successful linearizable read.
#[derive(Debug, Clone, Copy)]
pub struct ReadObservation {
    /// Minimum revision that it had to return.
    pub floor: Revision,
    /// Revision that it returned.
    pub observed: Revision,
}

/// Numbers of operations by result.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Changes with a receipt.
    pub decided: u64,
    /// Operations with a definite error.
    pub failed: u64,
    /// Changes with an unknown outcome.
    pub unknown: u64,
    /// Successful linearizable reads.
    pub reads: u64,
}

#[derive(Debug, Clone, Copy)]
enum OperationKind {
    Change { request: usize },
    Read { floor: Revision },
}

/// An operation in flight.
#[derive(Debug, Clone, Copy)]
struct Operation {
    kind: OperationKind,
    agent: usize,
    process_run: u64,
    operator: Option<usize>,
}

#[derive(Debug, Clone, Default)]
struct Operator {
    /// Time at which it becomes active again.
    idle_until: Duration,
    /// Set while an operation is in flight.
    busy: bool,
    /// Request to retry.
    retry: Option<usize>,
}

/// Response to an operation.
#[derive(Debug)]
enum Response {
    Receipt(Result<Receipt, ProposeError>),
    Point(Result<ReadPoint, ReadError>),
}

type Responses = Arc<Mutex<Vec<(u64, Response)>>>;

/// All operators.
pub struct Operators {
    rng: SmallRng,
    think_time: Duration,
    regions: Vec<RegionName>,
    operators: Vec<Operator>,
    operations: BTreeMap<u64, Operation>,
    last_operation: u64,
    responses: Responses,
    requests: Vec<Request>,
    newest_observed: Revision,
    reads: Vec<ReadObservation>,
    contradictions: Vec<String>,
    counts: Counts,
}

impl Operators {
    /// Creates the operators of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let mut regions = plan.agents.clone();
        regions.sort();
        regions.dedup();
        Self {
            rng: plan.rng(1),
            think_time: plan.think_time,
            regions,
            operators: vec![Operator::default(); plan.operators],
            operations: BTreeMap::new(),
            last_operation: 0,
            responses: Responses::default(),
            requests: Vec::new(),
            newest_observed: Revision(0),
            reads: Vec::new(),
            contradictions: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Returns all requests in order of creation.
    #[must_use]
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Returns the numbers of operations by result.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Checks that no operation is in flight.
    ///
    /// # Errors
    /// If there are operations in flight.
    pub fn check_idle(&self) -> anyhow::Result<()> {
        ensure!(
            self.operations.is_empty(),
            "{} operations are still in flight",
            self.operations.len()
        );
        Ok(())
    }

    /// Returns and clears the recorded reads.
    pub fn take_reads(&mut self) -> Vec<ReadObservation> {
        std::mem::take(&mut self.reads)
    }

    /// Returns and clears the recorded pairs of contradictory receipts for the same request.
    pub fn take_contradictions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.contradictions)
    }

    /// Processes received responses. Operations whose agent has stopped have an unknown outcome.
    pub fn receive(&mut self, agents: &[Arc<Agent>]) {
        let responses = std::mem::take(
            &mut *self.responses.lock().expect("no thread panics while holding the lock"),
        );
        for (number, response) in responses {
            trace::note(format_args!("operation {number}: {response:?}"));
            if let Some(operation) = self.operations.remove(&number) {
                self.complete(operation, response);
            }
        }
        let lost = |operation: &Operation| {
            let process = agents[operation.agent].process();
            process.is_none_or(|process| process.number != operation.process_run)
        };
        let lost: Vec<_> = self
            .operations
            .iter()
            .filter(|(_, operation)| lost(operation))
            .map(|(number, _)| *number)
            .collect();
        let lost: Vec<_> =
            lost.iter().filter_map(|number| self.operations.remove(number)).collect();
        for operation in lost {
            self.complete_unknown(operation);
        }
    }

    /// Starts operations of idle operators. Commands are generated for the given state.
    pub fn work(&mut self, agents: &[Arc<Agent>], state: &State) {
        for index in 0..self.operators.len() {
            let operator = &mut self.operators[index];
            if operator.busy || operator.idle_until > trace::now() {
                continue;
            }
            let agent = self.rng.random_range(0..agents.len());
            let Some(process) = agents[agent].process() else {
                self.idle(index);
                continue;
            };
            if let Some(request) = operator.retry.take() {
                self.send(request, agent, &process, Some(index));
            } else if self.rng.random_bool(0.3) {
                self.read(agent, &process, Some(index));
            } else if self.rng.random_bool(0.05) && !self.requests.is_empty() {
                let request = self.rng.random_range(0..self.requests.len());
                self.send(request, agent, &process, Some(index));
            } else {
                let command = generate::command(&mut self.rng, &self.regions, agents, state);
                let request = self.new_request(command);
                self.send(request, agent, &process, Some(index));
            }
        }
    }

    /// Submits a change to `agent`, and returns the index of the request, or `None` if the agent is
    /// not running.
    pub fn submit(
        &mut self,
        agents: &[Arc<Agent>],
        agent: usize,
        command: Command,
    ) -> Option<usize> {
        let process = agents[agent].process()?;
        let request = self.new_request(command);
        self.send(request, agent, &process, None);
        Some(request)
    }

    fn new_request(&mut self, command: Command) -> usize {
        let now = EPOCH_MS + u64::try_from(trace::now().as_millis()).unwrap_or(0);
        let id = uuid::Builder::from_unix_timestamp_millis(now, &self.rng.random()).into_uuid();
        let id = Uuid::try_into(id).expect("a UUID of version 7");
        self.requests.push(Request { id, command, floor: self.newest_observed, receipt: None });
        self.requests.len() - 1
    }

    fn start(
        &mut self,
        kind: OperationKind,
        agent: usize,
        process: &ProcessRun,
        operator: Option<usize>,
    ) -> u64 {
        self.last_operation += 1;
        let operation = Operation { kind, agent, process_run: process.number, operator };
        self.operations.insert(self.last_operation, operation);
        if let Some(operator) = operator {
            self.operators[operator].busy = true;
        }
        self.last_operation
    }

    fn read(&mut self, agent: usize, process: &ProcessRun, operator: Option<usize>) {
        let floor = self.newest_observed;
        let number = self.start(OperationKind::Read { floor }, agent, process, operator);
        trace::note(format_args!("operation {number}: read from agent-{agent}, {floor} or newer"));
        let (responses, read) = (self.responses.clone(), process.ports.read.clone());
        let timeout = Duration::from_millis(self.rng.random_range(200..5_000));
        process.runtime.spawn(async move {
            let point = read.read(Consistency::Linearizable, Instant::now() + timeout).await;
            let mut responses = responses.lock().expect("no thread panics while holding the lock");
            responses.push((number, Response::Point(point)));
        });
    }

    fn send(
        &mut self,
        request: usize,
        agent: usize,
        process: &ProcessRun,
        operator: Option<usize>,
    ) {
        let number = self.start(OperationKind::Change { request }, agent, process, operator);
        let Request { id, command, .. } = self.requests[request].clone();
        trace::note(format_args!("operation {number}: {id} to agent-{agent}: {command:?}"));
        let (responses, propose) = (self.responses.clone(), process.ports.propose.clone());
        let timeout = Duration::from_millis(self.rng.random_range(200..5_000));
        process.runtime.spawn(async move {
            let actor = Actor::new("operator").expect("a valid actor");
            let requester = Requester::Operator { request: id, actor, reason: None };
            let deadline = Instant::now() + timeout;
            let receipt = propose.propose(Proposal { command, requester, deadline }).await;
            let mut responses = responses.lock().expect("no thread panics while holding the lock");
            responses.push((number, Response::Receipt(receipt)));
        });
    }

    fn complete(&mut self, operation: Operation, response: Response) {
        match (operation.kind, response) {
            (OperationKind::Change { request }, Response::Receipt(Ok(receipt))) => {
                self.counts.decided += 1;
                self.newest_observed = self.newest_observed.max(receipt.revision);
                let request = &mut self.requests[request];
                match &request.receipt {
                    Some(first) if *first != receipt => self.contradictions.push(format!(
                        "S5: request {} has receipts {first:?} and {receipt:?}",
                        request.id
                    )),
                    Some(_) => {}
                    None => request.receipt = Some(receipt),
                }
            }
            (OperationKind::Read { floor }, Response::Point(Ok(point))) => {
                self.counts.reads += 1;
                self.reads.push(ReadObservation { floor, observed: point.revision });
                self.newest_observed = self.newest_observed.max(point.revision);
            }
            (OperationKind::Change { .. }, Response::Receipt(Err(error)))
                if !error.is_definite() =>
            {
                return self.complete_unknown(operation);
            }
            _ => self.counts.failed += 1,
        }
        if let Some(operator) = operation.operator {
            self.idle(operator);
        }
    }

    /// Completes an operation with an unknown outcome: some operators retry, others do not.
    fn complete_unknown(&mut self, operation: Operation) {
        self.counts.unknown += 1;
        let Some(operator) = operation.operator else { return };
        if let OperationKind::Change { request } = operation.kind
            && self.rng.random_bool(0.6)
        {
            self.operators[operator].retry = Some(request);
        }
        self.idle(operator);
    }

    fn idle(&mut self, operator: usize) {
        let think_time = self.think_time.mul_f64(self.rng.random_range(0.0..1.0));
        let operator = &mut self.operators[operator];
        operator.idle_until = trace::now() + think_time;
        operator.busy = false;
    }
}
