//! Client of a unit's control socket (`proto/meridian/v1/control.proto`).

use std::io;
use std::net::{AddrParseError, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use meridian_domain::{
    AgentName, ClusterId, Generation, Incarnation, NameError, RegionName, Revision, ServiceName,
    UnitId,
};
use meridian_proto::fd_passing;
use meridian_proto::frame::{self, FrameError};
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{
    ConfigureUnit, DescribeUnit, DrainUnit, GatewayConfiguration, ReadMetrics, SendListener,
    UnitIdentity, UnitMetrics, UnitRefusal, UnitRefusalReason, UnitRequest, UnitResponse,
    UnitState,
};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use meridian_ports::UnitLoad;

/// Timeout of a request. The unit only has to be scheduled: no request needs computation.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// Size of a read in bytes.
const READ_BYTES: usize = 4096;

/// Error of a control request.
#[derive(Debug, thiserror::Error)]
pub(in crate::driver) enum ControlError {
    #[error("control connection failed")]
    Io(#[from] io::Error),
    #[error("no response from the unit")]
    Timeout,
    #[error("invalid response from the unit")]
    Frame(#[from] FrameError),
    #[error("unexpected response from the unit")]
    UnexpectedResponse,
    #[error("refused by the unit: {}", .0.message)]
    Refused(UnitRefusal),
    #[error("invalid identity in the unit's response")]
    Identity(#[from] IdentityError),
    #[error("the unit belongs to agent {agent} in cluster {cluster}")]
    Foreign { cluster: ClusterId, agent: AgentName },
    #[error("the unit sent no listening socket, or another one")]
    NoListener,
    #[error(
        "its process runs as user {found}, not as user {expected} as its files: end that process, \
         then the unit starts again"
    )]
    OtherUser { found: u32, expected: u32 },
}

impl ControlError {
    /// True if the unit works, and will refuse the same request again.
    pub(in crate::driver) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_)) && !self.is_permanent()
    }

    /// True if the unit did not respond, or cannot be reached by its socket. False for a lack of
    /// descriptors or memory on this side, which says nothing about the unit.
    pub(in crate::driver) fn is_silence(&self) -> bool {
        use io::ErrorKind::{
            BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof, WouldBlock,
        };
        match self {
            Self::Timeout => true,
            Self::Io(error) => matches!(
                error.kind(),
                BrokenPipe
                    | ConnectionRefused
                    | ConnectionReset
                    | NotFound
                    | UnexpectedEof
                    | WouldBlock
            ),
            Self::Frame(_)
            | Self::UnexpectedResponse
            | Self::Refused(_)
            | Self::Identity(_)
            | Self::Foreign { .. }
            | Self::NoListener
            | Self::OtherUser { .. } => false,
        }
    }

    /// Describes a process that runs as another user, which this agent must not trust.
    pub(in crate::driver) fn other_user(&self) -> Option<String> {
        matches!(self, Self::OtherUser { .. }).then(|| self.to_string())
    }

    /// True if the unit obeys another agent, or a newer generation of this one.
    pub(in crate::driver) fn is_permanent(&self) -> bool {
        match self {
            Self::Foreign { .. } => true,
            Self::Refused(refusal) => refusal.reason() == UnitRefusalReason::StaleGeneration,
            Self::Io(_)
            | Self::Timeout
            | Self::Frame(_)
            | Self::UnexpectedResponse
            | Self::Identity(_)
            | Self::NoListener
            | Self::OtherUser { .. } => false,
        }
    }
}

/// Invalid field of an identity.
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

/// Identity and state that a unit reports.
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
    /// True if the unit has no configuration yet and therefore serves nothing.
    pub(in crate::driver) waiting: bool,
}

/// A connection to a unit's control socket.
#[derive(Debug)]
pub(in crate::driver) struct Control {
    stream: UnixStream,
    generation: Generation,
    buffer: BytesMut,
    descriptor: Option<OwnedFd>,
}

impl Control {
    /// Connects to the socket at `path`. Requests carry `generation`.
    ///
    /// # Errors
    /// If the connection fails, or the process at the other end has another user than the directory
    /// of the socket: a unit with its own user could have put another socket in the place of its own,
    /// and this agent may kill the process at the other end.
    pub(in crate::driver) async fn connect(
        path: &Path,
        generation: Generation,
    ) -> Result<Self, ControlError> {
        let stream = UnixStream::connect(path).await?;
        let directory = path.parent().unwrap_or(path);
        let (found, expected) = (stream.peer_cred()?.uid(), std::fs::metadata(directory)?.uid());
        if found != expected {
            return Err(ControlError::OtherUser { found, expected });
        }
        Ok(Self { stream, generation, buffer: BytesMut::new(), descriptor: None })
    }

    /// Returns the process that listens on the socket, from the credentials of the connection.
    pub(in crate::driver) fn peer(&self) -> io::Result<Option<rustix::process::Pid>> {
        let pid = self.stream.peer_cred()?.pid();
        Ok(pid.and_then(rustix::process::Pid::from_raw))
    }

    /// Requests the unit's identity.
    pub(in crate::driver) async fn describe(&mut self) -> Result<Identity, ControlError> {
        let Response::Identity(identity) = self.request(Command::Describe(DescribeUnit {})).await?
        else {
            return Err(ControlError::UnexpectedResponse);
        };
        Ok(Identity::try_from(identity)?)
    }

    /// Makes the unit serve a configuration. Returns the revision that it then serves, which may be
    /// a newer one.
    pub(in crate::driver) async fn configure(
        &mut self,
        configuration: GatewayConfiguration,
    ) -> Result<Revision, ControlError> {
        let configuration = Some(configuration);
        let command = Command::Configure(ConfigureUnit { configuration });
        let Response::Configured(configured) = self.request(command).await? else {
            return Err(ControlError::UnexpectedResponse);
        };
        Ok(Revision(configured.revision))
    }

    /// Requests the unit's counters.
    pub(in crate::driver) async fn metrics(&mut self) -> Result<UnitMetrics, ControlError> {
        let Response::Metrics(metrics) = self.request(Command::ReadMetrics(ReadMetrics {})).await?
        else {
            return Err(ControlError::UnexpectedResponse);
        };
        Ok(metrics)
    }

    /// Makes the unit drain and exit.
    pub(in crate::driver) async fn drain(&mut self) -> Result<(), ControlError> {
        let Response::Draining(_) = self.request(Command::Drain(DrainUnit {})).await? else {
            return Err(ControlError::UnexpectedResponse);
        };
        Ok(())
    }

    /// Requests a duplicate of the unit's listening socket, which must be bound to `address`.
    pub(in crate::driver) async fn take_listener(
        &mut self,
        address: SocketAddr,
    ) -> Result<TcpListener, ControlError> {
        let command = Command::SendListener(SendListener {});
        let Response::Listener(_) = self.request(command).await? else {
            return Err(ControlError::UnexpectedResponse);
        };
        let descriptor = self.descriptor.take().ok_or(ControlError::NoListener)?;
        let listens = rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false);
        let listener = TcpListener::from(descriptor);
        match listener.local_addr() {
            Ok(found) if listens && found == address => Ok(listener),
            _ => Err(ControlError::NoListener),
        }
    }

    /// Returns once the unit has closed the connection, or sent something unrequested.
    ///
    /// Cancel-safe, unlike the requests.
    pub(in crate::driver) async fn closed(&mut self) {
        // The connection is of no use in either case.
        if let Ok(()) = self.stream.readable().await
            && let Err(error) = self.read().await
        {
            tracing::debug!(%error, "control connection failed");
        }
    }

    /// Not cancel-safe: the response would be read as the response to the next request.
    async fn request(&mut self, command: Command) -> Result<Response, ControlError> {
        let request = UnitRequest { generation: self.generation.0, command: Some(command) };
        let response = timeout(RESPONSE_TIMEOUT, async {
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
        match response.await.unwrap_or(Err(ControlError::Timeout))?.response {
            Some(Response::Refusal(refusal)) => Err(ControlError::Refused(refusal)),
            Some(response) => Ok(response),
            None => Err(ControlError::UnexpectedResponse),
        }
    }

    /// Reads available bytes, and a file descriptor sent with them.
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
                utilization_permille: load.utilization_permille,
            },
            draining,
            waiting,
        })
    }
}
