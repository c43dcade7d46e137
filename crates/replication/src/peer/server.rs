//! gRPC service `Peer`: requests from the other members.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Stream, StreamExt};
use meridian_domain::NodeId;
use meridian_ports::{DiskSpace, ProposeError, SharedSettings, UnitLoads};
use meridian_proto::v1 as proto;
use meridian_proto::v1::peer_server::{Peer, PeerServer};
use meridian_proto::v1::read_index_response::Result as ReadIndexResult;
use meridian_storage::store::Store;
use tokio::sync::watch;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

use super::epoch::ClusterEpoch;
use super::identity::Check;
use super::introductions::Introductions;
use super::membership::{membership_response, milliseconds};
use super::message::{decode, encode, parse_propose_request, propose_response};
use super::pool::MAX_MESSAGE_BYTES;
use super::proposals::MAX_IN_FLIGHT;
use super::snapshot;
use super::votes::{parse_report, report_response, votes_response};
use crate::attempt::Attempt;
use crate::contact::ContactTracker;
use crate::disk_space::DiskSpaceRecord;
use crate::environment::Clock;
use crate::instance::Raft;
use crate::leader_watch::LeaderWatch;
use crate::membership::Membership;
use crate::proposer::origin;
use crate::reachability::Votes;
use crate::reader::{ReadIndex, read_index};
use crate::sequencer::Sequencer;
use crate::suspension::Suspension;

/// Implements the gRPC service `Peer`. Cheap to clone.
#[derive(Clone)]
pub struct PeerService {
    pub(crate) raft: Raft,
    pub(crate) store: Store,
    pub(crate) sequencer: Sequencer,
    pub(crate) leader_watch: LeaderWatch,
    pub(crate) contact: ContactTracker,
    pub(crate) membership: Membership,
    /// Clock of this machine.
    pub(crate) clock: Clock,
    /// Loads of the units of this node's agent, as the agent publishes them.
    pub(crate) loads: watch::Receiver<UnitLoads>,
    /// Settings of this node that are to be equal on all members.
    pub(crate) settings: watch::Receiver<SharedSettings>,
    pub(crate) introductions: Introductions,
    pub(crate) space: Arc<DiskSpaceRecord>,
    pub(crate) votes: Votes,
    /// Refuses requests of Raft and for the leader while this node is suspended.
    pub(crate) suspension: Suspension,
}

/// Peer service that rejects requests intended for another node or cluster, or of another epoch.
pub type CheckedPeerService = InterceptedService<PeerServer<PeerService>, Check>;

impl PeerService {
    pub(crate) fn checked(self, cluster: &ClusterEpoch, node: NodeId) -> CheckedPeerService {
        let check = Check::new(cluster, node, self.introductions.clone());
        let server = PeerServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        InterceptedService::new(server, check)
    }

    async fn submit(
        self,
        request: proto::ProposeRequest,
    ) -> Result<proto::ProposeResponse, Status> {
        let number = request.number;
        let attempt = match parse_propose_request(request) {
            Ok((command, requester)) => {
                let origin = origin(&command, &requester);
                Attempt::from(self.sequencer.submit(command, origin).await)
            }
            Err(status) => {
                let cause = status.message().to_owned();
                Attempt::Done(Err(ProposeError::Internal { cause }))
            }
        };
        Ok(propose_response(number, attempt, self.leader_watch.known_leader()))
    }

    fn not_leader(&self) -> proto::NotLeader {
        proto::NotLeader { leader: self.leader_watch.known_leader().map(|node| node.0) }
    }
}

/// Returns the status after Raft has stopped, which happens only when the node stops.
fn stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(format!("this node is shutting down: {error}"))
}

#[async_trait]
impl Peer for PeerService {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<proto::RaftMessage, Status>> + Send>>;
    type ProposeStream = Pin<Box<dyn Stream<Item = Result<proto::ProposeResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<proto::RaftMessage>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        self.suspension.check()?;
        // A corrupt message ends the stream of requests, and with it the responses. The leader then
        // opens a new stream.
        let requests = request.into_inner().scan((), |(), message| {
            let request = message.and_then(|message| decode(&message));
            let request = request.map_err(|status| tracing::debug!(%status, "append stream ended"));
            async move { request.ok() }
        });
        let contact = self.contact.clone();
        let results = self.raft.stream_append(requests).map(move |result| match result {
            Ok(result) => {
                if result.is_ok() {
                    contact.record_append();
                }
                Ok(encode(result))
            }
            Err(fatal) => Err(stopped(fatal)),
        });
        Ok(Response::new(self.suspension.interrupt(results)))
    }

    async fn vote(
        &self,
        request: Request<proto::RaftMessage>,
    ) -> Result<Response<proto::RaftMessage>, Status> {
        let request = decode(request.get_ref())?;
        let vote = async { self.raft.vote(request).await.map_err(stopped) };
        let response = self.suspension.unless_active(vote).await?;
        Ok(Response::new(encode(response)))
    }

    async fn pre_vote(
        &self,
        request: Request<proto::RaftMessage>,
    ) -> Result<Response<proto::RaftMessage>, Status> {
        let request = decode(request.get_ref())?;
        let pre_vote = async { self.raft.pre_vote(request).await.map_err(stopped) };
        let response = self.suspension.unless_active(pre_vote).await?;
        Ok(Response::new(encode(response)))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::RaftMessage>,
    ) -> Result<Response<proto::RaftMessage>, Status> {
        let request = decode(request.get_ref())?;
        let transfer = async { self.raft.handle_transfer_leader(request).await.map_err(stopped) };
        let response = self.suspension.unless_active(transfer).await?;
        Ok(Response::new(encode(response)))
    }

    async fn describe_history(
        &self,
        _: Request<proto::DescribeHistoryRequest>,
    ) -> Result<Response<proto::DescribeHistoryResponse>, Status> {
        let (revision, chain) = self.store.chain();
        let chain = chain.0.to_vec().into();
        Ok(Response::new(proto::DescribeHistoryResponse { revision: revision.0, chain }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotPart>>,
    ) -> Result<Response<proto::RaftMessage>, Status> {
        let installation = async {
            let (vote, snapshot) = snapshot::receive(&self.store, request.into_inner()).await?;
            self.raft.install_full_snapshot(vote, snapshot).await.map_err(stopped)
        };
        let response = self.suspension.unless_active(installation).await?;
        Ok(Response::new(encode(response)))
    }

    async fn propose(
        &self,
        request: Request<Streaming<proto::ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        self.suspension.check()?;
        let service = self.clone();
        let responses = request
            .into_inner()
            .scan((), |(), message| std::future::ready(message.ok()))
            .map(move |request| service.clone().submit(request))
            .buffer_unordered(MAX_IN_FLIGHT);
        Ok(Response::new(self.suspension.interrupt(responses)))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Result<Response<proto::ReadIndexResponse>, Status> {
        let requester = NodeId(request.get_ref().node);
        let read = async { Ok(read_index(&self.raft, &self.store, requester).await) };
        let result = match self.suspension.unless_active(read).await? {
            ReadIndex::Index(index) => ReadIndexResult::Index(index),
            ReadIndex::NotLeader => ReadIndexResult::NotLeader(self.not_leader()),
            ReadIndex::Removed => ReadIndexResult::Removed(proto::Removed {}),
        };
        Ok(Response::new(proto::ReadIndexResponse { result: Some(result) }))
    }

    async fn position(
        &self,
        _: Request<proto::PositionRequest>,
    ) -> Result<Response<proto::PositionResponse>, Status> {
        let progress = self.store.progress().await;
        let leader_contact = self.contact.since_leader_contact();
        let settings = self.settings.borrow().clone();
        let settings =
            settings.into_iter().map(|(setting, value)| (setting.key().to_owned(), value));
        Ok(Response::new(proto::PositionResponse {
            revision: progress.revision.0,
            state_hash: progress.state.0.to_vec().into(),
            applied: progress.applied,
            leader_contact_ms: leader_contact.map(milliseconds),
            events_hash: progress.events.0.to_vec().into(),
            disk: self
                .space
                .measured()
                .map(|DiskSpace { free, minimum }| proto::DiskSpace { free, minimum }),
            settings: settings.collect(),
        }))
    }

    async fn ping(
        &self,
        _: Request<proto::PingRequest>,
    ) -> Result<Response<proto::PingResponse>, Status> {
        let members = self.introductions.addresses();
        Ok(Response::new(proto::PingResponse { time_ms: self.clock.now().0, members }))
    }

    async fn introduce(
        &self,
        request: Request<proto::IntroduceRequest>,
    ) -> Result<Response<proto::IntroduceResponse>, Status> {
        let introduced = request.get_ref();
        self.introductions.record(NodeId(introduced.node), &introduced.address, None);
        Ok(Response::new(proto::IntroduceResponse {}))
    }

    async fn loads(
        &self,
        _: Request<proto::LoadsRequest>,
    ) -> Result<Response<proto::LoadsResponse>, Status> {
        let loads = self.loads.borrow();
        let units = loads.iter().map(|(incarnation, load)| proto::UnitLoadRow {
            incarnation: incarnation.0,
            in_flight: load.in_flight,
            utilization_permille: load.utilization_permille,
        });
        Ok(Response::new(proto::LoadsResponse { units: units.collect() }))
    }

    async fn membership(
        &self,
        _: Request<proto::MembershipRequest>,
    ) -> Result<Response<proto::MembershipResponse>, Status> {
        Ok(Response::new(membership_response(self.membership.view())))
    }

    async fn report_probes(
        &self,
        request: Request<proto::ReportProbesRequest>,
    ) -> Result<Response<proto::ReportProbesResponse>, Status> {
        self.suspension.check()?;
        let (prober, report) = parse_report(request.into_inner())?;
        Ok(Response::new(report_response(self.votes.receive(prober, report))))
    }

    async fn count_votes(
        &self,
        _: Request<proto::CountVotesRequest>,
    ) -> Result<Response<proto::CountVotesResponse>, Status> {
        Ok(Response::new(votes_response(self.votes.counted())))
    }

    async fn transfer_leadership(
        &self,
        request: Request<proto::TransferLeadershipRequest>,
    ) -> Result<Response<proto::TransferLeadershipResponse>, Status> {
        let leads = self.raft.is_leader();
        let to = NodeId(request.get_ref().to);
        let transfer = async { self.membership.transfer_leadership(to).await.map_err(stopped) };
        self.suspension.unless_active(transfer).await?;
        Ok(Response::new(proto::TransferLeadershipResponse { leads }))
    }
}
