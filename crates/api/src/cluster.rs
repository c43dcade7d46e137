//! The cluster and its agents.

mod status;

use std::time::Duration;

use meridian_domain::status::impact::{self, Decommission};
use meridian_domain::status::{LastContact, Member, Role, agent_of};
use meridian_domain::{AgentName, Command, NodeId, State, unknown};
use meridian_ports::{Requester, observe};
use meridian_proto::convert::agent::Registration;
use meridian_proto::convert::{ChangeRequest, Checks, Violations, field, time};
use meridian_proto::v1;
use meridian_proto::v1::cluster_server::Cluster;
use meridian_wording::{self as wording, name_of};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::{Ports, change, convert, deadline, read};

/// Time that a list of members waits for the leader's contacts.
const MEMBERS_WAIT: Duration = Duration::from_secs(1);

/// The service `Cluster` of the contract.
pub(crate) struct ClusterApi(pub(crate) Ports);

#[tonic::async_trait]
impl Cluster for ClusterApi {
    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        let deadline = deadline::within(deadline::of(request.metadata()), MEMBERS_WAIT);
        let members = observe::members(&self.0, deadline).await;
        let state = self.0.read.state();
        let mut members: Vec<_> = members.values().map(|member| row(&state, member)).collect();
        members.sort_by(|a, b| (&a.agent, &a.id).cmp(&(&b.agent, &b.id)));
        Ok(Response::new(v1::ListMembersResponse { members }))
    }

    async fn get_status(
        &self,
        request: Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        Ok(Response::new(status::get(&self.0, deadline).await))
    }

    async fn register_agent(
        &self,
        request: Request<v1::RegisterAgentRequest>,
    ) -> Result<Response<v1::RegisterAgentResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let registration = Registration::try_from(request.get_ref()).map_err(Error::from)?;
        let ours = self.0.cluster.id();
        if let Some(given) = registration.cluster.filter(|given| *given != ours) {
            return Err(Error::WrongCluster { ours, given }.into());
        }
        let (epoch, given) = (self.0.cluster.epoch(), registration.epoch);
        if registration.cluster.is_some() && given != epoch {
            return Err(Error::WrongEpoch { ours: epoch, given }.into());
        }
        let command = Command::RegisterAgent(registration.description);
        let receipt = change::propose(&self.0, command, Requester::System, deadline).await?;
        Ok(Response::new(v1::RegisterAgentResponse {
            cluster_id: ours.to_string(),
            revision: receipt.revision.0,
        }))
    }

    async fn invite_agent(
        &self,
        request: Request<v1::InviteAgentRequest>,
    ) -> Result<Response<v1::InviteAgentResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let mut checks = Checks::default();
        let peer = field::address(&mut checks, "peer_address", &request.get_ref().peer_address);
        let peer = checks.finish(peer).map_err(Error::from)?;
        let agent = self.0.cluster.invite(&peer, deadline).await.map_err(Error::from)?;
        Ok(Response::new(v1::InviteAgentResponse { agent: agent.to_string() }))
    }

    async fn readdress_agent(
        &self,
        request: Request<v1::ReaddressAgentRequest>,
    ) -> Result<Response<v1::ReaddressAgentResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let v1::ReaddressAgentRequest { agent, peer_address } = request.get_ref();
        let mut checks = Checks::default();
        let name = field::agent(&mut checks, "agent", agent);
        let peer = field::address(&mut checks, "peer_address", peer_address);
        let (name, peer) = checks.finish(name.zip(peer)).map_err(Error::from)?;
        let node = self.node_of(&name)?;
        let readdressed = self.0.cluster.readdress(&name, node, &peer, deadline).await;
        let readdressed = readdressed.map_err(Error::from)?;
        let state = self.0.read.state();
        let names = |nodes: Vec<NodeId>| {
            nodes.into_iter().map(|node| name_of(&state, node)).collect::<Vec<_>>()
        };
        Ok(Response::new(v1::ReaddressAgentResponse {
            informed: names(readdressed.informed),
            unreachable: names(readdressed.unreachable),
        }))
    }

    async fn drain_agent(
        &self,
        request: Request<v1::DrainAgentRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let message = request.get_ref();
        let agent = AgentName::new(&message.agent).ok().filter(|_| !message.undo);
        let drain = agent.and_then(|agent| Decommission::drain(&self.0.read.state(), &agent));
        self.change_agent(drain, request).await
    }

    async fn remove_agent(
        &self,
        request: Request<v1::RemoveAgentRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let agent = AgentName::new(&request.get_ref().agent).ok();
        let removal = agent.and_then(|agent| Decommission::removal(&self.0.read.state(), &agent));
        self.change_agent(removal, request).await
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let to = self.transfer_target(&request.get_ref().agent)?;
        let leader = self.0.cluster.transfer_leader(to, deadline).await.map_err(Error::from)?;
        let agent = name_of(&self.0.read.state(), leader);
        Ok(Response::new(v1::TransferLeaderResponse { agent }))
    }

    async fn take_snapshot(
        &self,
        request: Request<v1::TakeSnapshotRequest>,
    ) -> Result<Response<v1::TakeSnapshotResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let revision = self.0.cluster.snapshot(deadline).await.map_err(Error::from)?;
        Ok(Response::new(v1::TakeSnapshotResponse { revision: revision.0 }))
    }

    async fn set_limits(
        &self,
        request: Request<v1::SetLimitsRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.0, request).await
    }

    async fn get_limits(
        &self,
        request: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let read = read::wait(&self.0, request.get_ref().consistency, deadline).await?;
        let state = self.0.read.state();
        Ok(Response::new(v1::GetLimitsResponse {
            read_point: read::point(&state, &read),
            limits: Some(v1::Limits::from(&state.header.limits)),
        }))
    }

    async fn define_region(
        &self,
        request: Request<v1::DefineRegionRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.0, request).await
    }

    async fn trim_history(
        &self,
        request: Request<v1::TrimHistoryRequest>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        change::handle(&self.0, request).await
    }
}

impl ClusterApi {
    /// Handles a change of an agent, and adds the impact of its decommission to the response.
    async fn change_agent<R: ChangeRequest>(
        &self,
        decommission: Option<Decommission>,
        request: Request<R>,
    ) -> Result<Response<v1::ChangeResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let is_dry_run = request.get_ref().context().is_some_and(|context| context.dry_run);
        let mut response = change::handle(&self.0, request).await?;
        if let Some(decommission) = decommission {
            let deadline = deadline::within(deadline, MEMBERS_WAIT);
            let members = observe::members(&self.0, deadline).await;
            let state = self.0.read.state();
            let impact = if is_dry_run {
                let unreachable_after = self.0.cluster.unreachable_after();
                impact::forecast(&state, &members, &decommission, unreachable_after)
            } else {
                impact::of_decommission(&state, &members, &decommission)
            };
            let waits = impact.iter().map(|impact| convert::wait(wording::impact(&state, impact)));
            response.get_mut().waits = waits.collect();
        }
        Ok(response)
    }

    /// Returns the node of the named agent; `None` without a name.
    fn transfer_target(&self, agent: &str) -> Result<Option<NodeId>, Error> {
        if agent.is_empty() {
            return Ok(None);
        }
        self.node_of(&agent_name(agent)?).map(Some)
    }

    fn node_of(&self, agent: &AgentName) -> Result<NodeId, Error> {
        let state = self.0.read.state();
        match state.agents.get(agent) {
            Some(known) => Ok(known.description.node),
            None => Err(Error::rejected(vec![unknown::agent(&state, agent)])),
        }
    }
}

fn agent_name(given: &str) -> Result<AgentName, Violations> {
    let mut checks = Checks::default();
    let name = field::agent(&mut checks, "agent", given);
    checks.finish(name)
}

/// True if the time since the last contact is a lower bound.
fn is_bound(contact: Option<LastContact>) -> bool {
    match contact {
        Some(LastContact::NotWithin(_)) => true,
        Some(LastContact::Ago(_)) | None => false,
    }
}

fn row(state: &State, member: &Member) -> v1::Member {
    let role = match member.role {
        Role::Leader => "leader",
        Role::Follower => "follower",
        Role::Learner => "learner",
    };
    let raft = v1::Member {
        id: member.node.to_string(),
        role: role.to_owned(),
        voter: member.voter,
        last_contact: member.last_contact.map(|contact| time::duration(contact.silence())),
        last_contact_is_bound: is_bound(member.last_contact),
        next: convert::next(member.next.as_ref()).to_owned(),
        waits_for: wording::member_wait(state, member).map(convert::wait),
        ..v1::Member::default()
    };
    match agent_of(state, member.node) {
        None => raft,
        Some(agent) => v1::Member {
            agent: agent.description.name.to_string(),
            region: agent.description.region.to_string(),
            address: agent.description.client_address.to_string(),
            witness: agent.description.witness,
            drained: agent.drained,
            ..raft
        },
    }
}
