//! Recorded client operations.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use meridian_domain::{Command, RequestId};
use meridian_proto::convert::{ChangeRequest, Mode};
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::history::{Micros, Operation, OperationKind, Outcome, Record, Recorder};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::{NoContext, Timestamp, Uuid};

use super::cluster::Cluster;

/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Additional time for the agent to return its own timeout.
const GRACE: Duration = Duration::from_millis(500);
/// Delay before a retry.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Time by which the clock of a client is ahead.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// A change request.
#[derive(Debug, Clone)]
pub enum Mutation {
    Create(v1::CreateServiceRequest),
    Change(v1::ChangeServiceRequest),
    Delete(v1::DeleteServiceRequest),
    Roll(v1::RollUnitsRequest),
    Limits(v1::SetLimitsRequest),
    Remove(v1::RemoveAgentRequest),
}

impl Mutation {
    /// Replaces the request id of a change by one of a client whose clock is a year ahead.
    pub fn with_future_id(mut self) -> Self {
        let context = match &mut self {
            Self::Create(it) => &mut it.context,
            Self::Change(it) => &mut it.context,
            Self::Delete(it) => &mut it.context,
            Self::Roll(it) => &mut it.context,
            Self::Limits(it) => &mut it.context,
            Self::Remove(it) => &mut it.context,
        };
        if let Some(context) = context {
            let time = SystemTime::now() + YEAR;
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let time = Timestamp::from_unix(NoContext, since.as_secs(), since.subsec_nanos());
            context.request_id = Uuid::new_v7(time).to_string();
        }
        self
    }

    fn parse(&self) -> anyhow::Result<(RequestId, Command)> {
        let parsed = match self {
            Self::Create(request) => request.checked(),
            Self::Change(request) => request.checked(),
            Self::Delete(request) => request.checked(),
            Self::Roll(request) => request.checked(),
            Self::Limits(request) => request.checked(),
            Self::Remove(request) => request.checked(),
        };
        let parsed =
            parsed.map_err(|violations| anyhow::anyhow!("invalid request: {violations:?}"))?;
        match parsed.mode {
            Mode::Apply { request } => Ok((request, parsed.command)),
            Mode::DryRun => anyhow::bail!("dry runs are not supported"),
        }
    }

    async fn send(&self, channel: Channel) -> Result<Response<v1::ChangeResponse>, Status> {
        match self.clone() {
            Self::Create(it) => {
                ServicesClient::new(channel).create_service(with_deadline(it)).await
            }
            Self::Change(it) => {
                ServicesClient::new(channel).change_service(with_deadline(it)).await
            }
            Self::Delete(it) => {
                ServicesClient::new(channel).delete_service(with_deadline(it)).await
            }
            Self::Roll(it) => ServicesClient::new(channel).roll_units(with_deadline(it)).await,
            Self::Limits(it) => ClusterClient::new(channel).set_limits(with_deadline(it)).await,
            Self::Remove(it) => ClusterClient::new(channel).remove_agent(with_deadline(it)).await,
        }
    }
}

/// Returns the context of a change, with a new request id.
pub fn context() -> Option<v1::ChangeContext> {
    Some(v1::ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: "chaos@localhost".to_owned(),
        ..v1::ChangeContext::default()
    })
}

/// A client. Its operations are sequential.
pub struct Client {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    /// The current session with each member, if any.
    sessions: Vec<Option<Session>>,
}

/// A connection without failures so far, to an agent process that is still running.
#[derive(Clone)]
struct Session {
    number: u64,
    process_run: u64,
    channel: Channel,
}

impl Client {
    pub fn new(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let sessions = vec![None; cluster.members.len()];
        Self { cluster: cluster.clone(), recorder: recorder.clone(), sessions }
    }

    fn session(&mut self, member: usize) -> anyhow::Result<Session> {
        let process_run = self.cluster.process_run(member);
        if let Some(session) =
            self.sessions[member].as_ref().filter(|it| it.process_run == process_run)
        {
            return Ok(session.clone());
        }
        let channel = self.cluster.connect(member)?;
        let session = Session { number: self.recorder.number(), process_run, channel };
        self.sessions[member] = Some(session.clone());
        Ok(session)
    }

    /// Reads from a member. Returns the services if the read succeeds.
    pub async fn read(
        &mut self,
        member: usize,
        linearizable: bool,
    ) -> anyhow::Result<Option<Vec<v1::Service>>> {
        let session = self.session(member)?;
        let invoked = self.recorder.now();
        let level =
            if linearizable { v1::Consistency::Linearizable } else { v1::Consistency::Stale };
        let request = with_deadline(v1::ListServicesRequest { consistency: level.into() });
        let mut client = ServicesClient::new(session.channel.clone());
        let result = with_timeout(client.list_services(request)).await;
        let (outcome, services) = match result.map(Response::into_inner) {
            Ok(it) => {
                let revision = it.read_point.context("the response has no read point")?.revision;
                (Outcome::Read { revision }, Some(it.services))
            }
            Err(status) => (Outcome::ReadFailed { reason: describe(&status) }, None),
        };
        self.record(member, invoked, &session, OperationKind::Read { linearizable }, outcome);
        Ok(services)
    }

    /// Submits a change to a member once.
    pub async fn attempt(&mut self, member: usize, mutation: &Mutation) -> anyhow::Result<Outcome> {
        let (request, command) = mutation.parse()?;
        let session = self.session(member)?;
        let invoked = self.recorder.now();
        let outcome = match with_timeout(mutation.send(session.channel.clone())).await {
            Ok(response) => {
                let v1::ChangeResponse { base, revision, .. } = response.into_inner();
                Outcome::Accepted { base, revision }
            }
            Err(status) => classify(&status),
        };
        let kind = OperationKind::Change { request, command };
        self.record(member, invoked, &session, kind, outcome.clone());
        Ok(outcome)
    }

    /// Submits a change to one member after another, with the same request id, until it is accepted
    /// or rejected; at most `attempts` times.
    pub async fn change(
        &mut self,
        first: usize,
        mutation: &Mutation,
        attempts: usize,
    ) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Unknown { reason: "not sent".to_owned() };
        for attempt in 0..attempts {
            outcome =
                self.attempt((first + attempt) % self.cluster.members.len(), mutation).await?;
            if matches!(outcome, Outcome::Accepted { .. } | Outcome::Rejected { .. }) {
                break;
            }
            sleep(RETRY_DELAY).await;
        }
        Ok(outcome)
    }

    fn record(
        &mut self,
        member: usize,
        invoked: Micros,
        session: &Session,
        kind: OperationKind,
        outcome: Outcome,
    ) {
        if matches!(outcome, Outcome::ReadFailed { .. } | Outcome::Unknown { .. }) {
            self.sessions[member] = None;
        }
        let returned = self.recorder.now();
        let (node, session) = (self.cluster.members[member].name(), session.number);
        self.recorder.append(&Record::Operation(Operation {
            invoked,
            returned,
            node,
            session,
            kind,
            outcome,
        }));
    }
}

/// Classifies the status of a failed change. Only the agent knows that nothing was proposed. A
/// status without its error info was created by the client, after a broken connection or a timeout.
fn classify(status: &Status) -> Outcome {
    let reason = describe(status);
    let Some(info) = status.get_details_error_info() else { return Outcome::Unknown { reason } };
    match (status.code(), info.reason.as_str()) {
        (_, "REFUSED" | "CONFLICT") => Outcome::Rejected { reason: status.message().to_owned() },
        (_, "REQUEST_FROM_FUTURE" | "REQUEST_EXPIRED") => {
            Outcome::NotProposed { reason: info.reason }
        }
        (Code::InvalidArgument | Code::Unavailable | Code::ResourceExhausted, _) => {
            Outcome::NotProposed { reason: info.reason }
        }
        _ => Outcome::Unknown { reason },
    }
}

fn describe(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// Returns a request with the default deadline.
pub fn with_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(REQUEST_TIMEOUT);
    request
}

/// Waits for the response, for slightly longer than the deadline that the agent knows.
pub async fn with_timeout<T>(
    request: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let result = timeout(REQUEST_TIMEOUT + GRACE, request).await;
    result.unwrap_or_else(|_| Err(Status::deadline_exceeded("client timeout")))
}
