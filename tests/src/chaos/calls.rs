//! Calls that are recorded.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use meridian_domain::{Command, RequestId};
use meridian_proto::convert::{Aim, ChangeRequest};
use meridian_proto::v1;
use meridian_proto::v1::cluster_client::ClusterClient;
use meridian_proto::v1::services_client::ServicesClient;
use meridian_testkit::history::{Answer, Call, CallKind, Micros, Record, Recorder};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::cluster::Cluster;

/// How long a client waits for an answer.
const CALL: Duration = Duration::from_secs(2);
/// How much longer it waits for the agent to say so itself.
const GRACE: Duration = Duration::from_millis(500);
/// Before a call is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// A change that can be asked for.
#[derive(Debug, Clone)]
pub enum Ask {
    Create(v1::CreateServiceRequest),
    Change(v1::ChangeServiceRequest),
    Limits(v1::SetLimitsRequest),
    Remove(v1::RemoveAgentRequest),
}

impl Ask {
    fn asked(&self) -> anyhow::Result<(RequestId, Command)> {
        let asked = match self {
            Self::Create(request) => request.asked(),
            Self::Change(request) => request.asked(),
            Self::Limits(request) => request.asked(),
            Self::Remove(request) => request.asked(),
        };
        let asked =
            asked.map_err(|violations| anyhow::anyhow!("not well-formed: {violations:?}"))?;
        match asked.aim {
            Aim::Change { request } => Ok((request, asked.command)),
            Aim::DryRun => anyhow::bail!("clients here mean what they ask for"),
        }
    }

    async fn send(&self, channel: Channel) -> Result<Response<v1::ChangeResponse>, Status> {
        match self.clone() {
            Self::Create(it) => ServicesClient::new(channel).create_service(timed(it)).await,
            Self::Change(it) => ServicesClient::new(channel).change_service(timed(it)).await,
            Self::Limits(it) => ClusterClient::new(channel).set_limits(timed(it)).await,
            Self::Remove(it) => ClusterClient::new(channel).remove_agent(timed(it)).await,
        }
    }
}

/// What every change carries, under a new request id.
pub fn context() -> Option<v1::ChangeContext> {
    Some(v1::ChangeContext {
        request_id: Uuid::now_v7().to_string(),
        actor: "chaos@localhost".to_owned(),
        ..v1::ChangeContext::default()
    })
}

/// A client. Its calls come one after another.
pub struct Caller {
    cluster: Arc<Cluster>,
    recorder: Recorder,
    /// One for each member that it has called.
    sessions: Vec<Option<Session>>,
}

/// A connection that did not fail yet, to an agent that did not end meanwhile.
#[derive(Clone)]
struct Session {
    number: u64,
    life: u64,
    channel: Channel,
}

impl Caller {
    pub fn new(cluster: &Arc<Cluster>, recorder: &Recorder) -> Self {
        let sessions = vec![None; cluster.members.len()];
        Self { cluster: cluster.clone(), recorder: recorder.clone(), sessions }
    }

    fn session(&mut self, member: usize) -> anyhow::Result<Session> {
        let life = self.cluster.life(member);
        if let Some(session) = self.sessions[member].as_ref().filter(|it| it.life == life) {
            return Ok(session.clone());
        }
        let channel = self.cluster.connect(member)?;
        let session = Session { number: self.recorder.number(), life, channel };
        self.sessions[member] = Some(session.clone());
        Ok(session)
    }

    /// Reads at a member. Returns the services, if it answers.
    pub async fn read(
        &mut self,
        member: usize,
        linearizable: bool,
    ) -> anyhow::Result<Option<Vec<v1::Service>>> {
        let session = self.session(member)?;
        let invoked = self.recorder.now();
        let level =
            if linearizable { v1::Consistency::Linearizable } else { v1::Consistency::Stale };
        let request = timed(v1::ListServicesRequest { consistency: level.into() });
        let mut client = ServicesClient::new(session.channel.clone());
        let answered = bounded(client.list_services(request)).await;
        let (answer, services) = match answered.map(Response::into_inner) {
            Ok(it) => {
                let revision = it.read_point.context("an answer says where it stands")?.revision;
                (Answer::Read { revision }, Some(it.services))
            }
            Err(status) => (Answer::Unanswered { why: words(&status) }, None),
        };
        self.note(member, invoked, &session, CallKind::Read { linearizable }, answer);
        Ok(services)
    }

    /// Asks a member for a change, once.
    pub async fn attempt(&mut self, member: usize, ask: &Ask) -> anyhow::Result<Answer> {
        let (request, command) = ask.asked()?;
        let session = self.session(member)?;
        let invoked = self.recorder.now();
        let answer = match bounded(ask.send(session.channel.clone())).await {
            Ok(answer) => {
                let v1::ChangeResponse { base, revision, .. } = answer.into_inner();
                Answer::Accepted { base, revision }
            }
            Err(status) => classify(&status),
        };
        let kind = CallKind::Change { request, command };
        self.note(member, invoked, &session, kind, answer.clone());
        Ok(answer)
    }

    /// Asks for a change under one request id, at one member after another, until it is accepted or
    /// refused, or that often.
    pub async fn change(
        &mut self,
        first: usize,
        ask: &Ask,
        attempts: usize,
    ) -> anyhow::Result<Answer> {
        let mut answer = Answer::Unknown { why: "not asked".to_owned() };
        for attempt in 0..attempts {
            answer = self.attempt((first + attempt) % self.cluster.members.len(), ask).await?;
            if matches!(answer, Answer::Accepted { .. } | Answer::Refused { .. }) {
                break;
            }
            sleep(PAUSE).await;
        }
        Ok(answer)
    }

    fn note(
        &mut self,
        member: usize,
        invoked: Micros,
        session: &Session,
        kind: CallKind,
        answer: Answer,
    ) {
        if matches!(answer, Answer::Unanswered { .. } | Answer::Unknown { .. }) {
            self.sessions[member] = None;
        }
        let returned = self.recorder.now();
        let (node, session) = (self.cluster.members[member].name(), session.number);
        self.recorder.append(&Record::Call(Call {
            invoked,
            returned,
            node,
            session,
            kind,
            answer,
        }));
    }
}

/// What a status says of a change. Only an agent knows that nothing was proposed: a status without its
/// reason is made up by the client, when the connection breaks or the time is over.
fn classify(status: &Status) -> Answer {
    let why = words(status);
    let Some(info) = status.get_details_error_info() else { return Answer::Unknown { why } };
    match (status.code(), info.reason.as_str()) {
        (_, "REFUSED" | "CONFLICT") => Answer::Refused { why: status.message().to_owned() },
        (Code::InvalidArgument | Code::Unavailable | Code::ResourceExhausted, _) => {
            Answer::NotProposed { why: info.reason }
        }
        _ => Answer::Unknown { why },
    }
}

fn words(status: &Status) -> String {
    format!("{:?}: {}", status.code(), status.message())
}

/// A call that the agent ends in time.
pub fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

/// An answer, or the end of waiting for it.
pub async fn bounded<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let ended = timeout(CALL + GRACE, call).await;
    ended.unwrap_or_else(|_| Err(Status::deadline_exceeded("the client gave up")))
}
