//! The agent's side of a unit's control socket (`proto/meridian/v1/control.proto`).

use std::io;
use std::net::{AddrParseError, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, NameError, RegionName, Revision, ServiceName,
    UnitId,
};
use meridian_proto::frame::{self, FrameError};
use meridian_proto::fd_passing;
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{
    ConfigureUnit, DescribeUnit, DrainUnit, GatewayConfiguration, SendListener, ReadMetrics,
    UnitIdentity, UnitMetrics, UnitRefusal, UnitRefusalReason, UnitRequest, UnitResponse,
    UnitState,
};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use meridian_ports::UnitLoad;

/// For an answer: a unit computes none, it only has to be scheduled.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Bytes read at a time.
const READ_BYTES: usize = 4096;

/// Why a unit did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(in crate::driver) enum CallError {
    #[error("the control socket broke")]
    Io(#[from] io::Error),
    #[error("the unit does not answer")]
    Silent,
    #[error("the unit's answer cannot be understood")]
    Frame(#[from] FrameError),
    #[error("the unit's answer is not to what was asked")]
    Beside,
    #[error("the unit refuses: {}", .0.message)]
    Refused(UnitRefusal),
    #[error("the unit does not say who it is")]
    Identity(#[from] IdentityError),
    #[error("it is a unit of agent {agent} in cluster {cluster}")]
    Foreign { cluster: ClusterId, agent: AgentName },
    #[error("the unit handed over something else than its listening socket")]
    NoListener,
}

impl CallError {
    /// Whether the unit is well and will not do what was asked, however often it is.
    pub(in crate::driver) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_)) && !self.is_final()
    }

    /// Whether the unit has made clear that it obeys somebody else.
    pub(in crate::driver) fn is_final(&self) -> bool {
        match self {
            Self::Foreign { .. } => true,
            Self::Refused(refusal) => refusal.reason() == UnitRefusalReason::StaleGeneration,
            Self::Io(_)
            | Self::Silent
            | Self::Frame(_)
            | Self::Beside
            | Self::Identity(_)
            | Self::NoListener => false,
        }
    }
}

/// What of an identity is not well-formed.
#[derive(Debug, thiserror::Error)]
pub(in crate::driver) enum IdentityError {
    #[error(transparent)]
    Cluster(#[from] uuid::Error),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Slot(#[from] std::num::TryFromIntError),
    #[error(transparent)]
    Address(#[from] AddrParseError),
}

/// Who a unit says it is.
#[derive(Debug, Clone)]
pub(in crate::driver) struct Identity {
    pub(in crate::driver) cluster: ClusterId,
    pub(in crate::driver) agent: AgentName,
    pub(in crate::driver) unit: UnitId,
    pub(in crate::driver) incarnation: Incarnation,
    pub(in crate::driver) build: String,
    pub(in crate::driver) configuration: Revision,
    pub(in crate::driver) address: SocketAddr,
    pub(in crate::driver) load: UnitLoad,
    pub(in crate::driver) draining: bool,
    /// It serves nothing before it is told what.
    pub(in crate::driver) waiting: bool,
}

/// A connection to a unit.
#[derive(Debug)]
pub(in crate::driver) struct Control {
    stream: UnixStream,
    generation: Generation,
    buffer: BytesMut,
    descriptor: Option<OwnedFd>,
}

impl Control {
    /// Connects to the socket at `path`; requests carry `generation`.
    pub(in crate::driver) async fn connect(
        path: &Path,
        generation: Generation,
    ) -> io::Result<Self> {
        let stream = UnixStream::connect(path).await?;
        Ok(Self { stream, generation, buffer: BytesMut::new(), descriptor: None })
    }

    /// The process that listens on the socket, as the system knows it.
    pub(in crate::driver) fn peer(&self) -> io::Result<Option<rustix::process::Pid>> {
        let pid = self.stream.peer_cred()?.pid();
        Ok(pid.and_then(rustix::process::Pid::from_raw))
    }

    /// Asks who the unit is.
    pub(in crate::driver) async fn describe(&mut self) -> Result<Identity, CallError> {
        match self.call(Command::Describe(DescribeUnit {})).await? {
            Response::Identity(identity) => Ok(Identity::try_from(identity)?),
            _ => Err(CallError::Beside),
        }
    }

    /// Has the unit serve a configuration. The revision that it then serves, which may be a newer one.
    pub(in crate::driver) async fn configure(
        &mut self,
        configuration: GatewayConfiguration,
    ) -> Result<Revision, CallError> {
        let configuration = Some(configuration);
        match self.call(Command::Configure(ConfigureUnit { configuration })).await? {
            Response::Configured(configured) => Ok(Revision(configured.revision)),
            _ => Err(CallError::Beside),
        }
    }

    /// Asks what the unit counted.
    pub(in crate::driver) async fn metrics(&mut self) -> Result<UnitMetrics, CallError> {
        match self.call(Command::ReadMetrics(ReadMetrics {})).await? {
            Response::Metrics(metrics) => Ok(metrics),
            _ => Err(CallError::Beside),
        }
    }

    /// Has the unit drain and exit.
    pub(in crate::driver) async fn drain(&mut self) -> Result<(), CallError> {
        match self.call(Command::Drain(DrainUnit {})).await? {
            Response::Draining(_) => Ok(()),
            _ => Err(CallError::Beside),
        }
    }

    /// Takes a duplicate of the unit's listening socket.
    pub(in crate::driver) async fn take_listener(
        &mut self,
        address: SocketAddr,
    ) -> Result<TcpListener, CallError> {
        match self.call(Command::SendListener(SendListener {})).await? {
            Response::Listener(_) => {}
            _ => return Err(CallError::Beside),
        }
        let descriptor = self.descriptor.take().ok_or(CallError::NoListener)?;
        let listens = rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false);
        let listener = TcpListener::from(descriptor);
        match listener.local_addr() {
            Ok(found) if listens && found == address => Ok(listener),
            _ => Err(CallError::NoListener),
        }
    }

    /// Returns once the unit has ended the connection, or said something that it was not asked.
    ///
    /// Safe to cancel, unlike the calls.
    pub(in crate::driver) async fn ended(&mut self) {
        // Either way the connection is of no more use.
        if let Ok(()) = self.stream.readable().await
            && let Err(error) = self.read().await
        {
            tracing::debug!(%error, "a control connection broke");
        }
    }

    /// Not safe to cancel: the answer would be taken for the next call's.
    async fn call(&mut self, command: Command) -> Result<Response, CallError> {
        let request = UnitRequest { generation: self.generation.0, command: Some(command) };
        let answered = timeout(ANSWER_LIMIT, async {
            self.stream.write_all(&frame::encode(&request)).await?;
            loop {
                if let Some(response) = frame::decode::<UnitResponse>(&mut self.buffer)? {
                    return Ok(response);
                }
                if self.read().await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        });
        match answered.await.unwrap_or(Err(CallError::Silent))?.response {
            Some(Response::Refusal(refusal)) => Err(CallError::Refused(refusal)),
            Some(answer) => Ok(answer),
            None => Err(CallError::Beside),
        }
    }

    /// Reads what is there, and the descriptor that came with it.
    async fn read(&mut self) -> io::Result<usize> {
        let mut bytes = [0; READ_BYTES];
        let receive = || fd_passing::receive(&self.stream, &mut bytes);
        let (read, descriptor) = self.stream.async_io(Interest::READABLE, receive).await?;
        self.buffer.extend_from_slice(&bytes[..read]);
        self.descriptor = descriptor.or_else(|| self.descriptor.take());
        Ok(read)
    }
}

impl TryFrom<UnitIdentity> for Identity {
    type Error = IdentityError;

    fn try_from(identity: UnitIdentity) -> Result<Self, IdentityError> {
        let draining = identity.state() == UnitState::Draining;
        let waiting = identity.state() == UnitState::Waiting;
        let load = identity.load.unwrap_or_default();
        Ok(Self {
            cluster: ClusterId(identity.cluster.parse()?),
            agent: AgentName::new(identity.agent)?,
            unit: UnitId {
                service: ServiceName::new(identity.service)?,
                region: RegionName::new(identity.region)?,
                slot: identity.slot.try_into()?,
            },
            incarnation: Incarnation(identity.incarnation),
            build: identity.build,
            configuration: Revision(identity.configuration_revision),
            address: identity.address.parse()?,
            load: UnitLoad {
                in_flight: load.in_flight,
                utilisation_permille: load.utilization_permille,
            },
            draining,
            waiting,
        })
    }
}
