//! The failure modes of backends, and the expected results of requests to them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use hyper::StatusCode;
use meridian_proto::v1::GatewayApi;
use socket2::{Domain, Socket, Type};

use super::super::gateway::unit::api;
use crate::load::{Counts, FailureKind, Fault, FaultyServer, Plan};

/// Timeouts of these APIs.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Response time of a slow backend.
const SLOW: Duration = Duration::from_millis(100);
/// Tolerance for responses after a timeout, because the machine is busy.
const TOLERANCE: Duration = Duration::from_millis(700);
/// Think time of clients that receive a response immediately. The benchmark must not saturate the
/// CPUs.
const THINK_TIME: Duration = Duration::from_millis(20);

/// A failure mode.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    path: &'static str,
    /// The injected fault; `None` for a backend that refuses connections.
    fault: Option<Fault>,
    /// The expected status; `None` for a body that is cut off.
    status: Option<StatusCode>,
    /// Share of the requests, in parts per thousand.
    share: u64,
    connections: usize,
    think_time: Duration,
}

pub(super) const ALL: &[Kind] = &[
    Kind {
        name: "slow backend",
        path: "/slow",
        fault: Some(Fault::Slow(SLOW)),
        status: Some(StatusCode::OK),
        share: 50,
        connections: 16,
        think_time: Duration::ZERO,
    },
    Kind {
        name: "silent backend",
        path: "/silent",
        fault: Some(Fault::Silent),
        status: Some(StatusCode::GATEWAY_TIMEOUT),
        share: 30,
        connections: 32,
        think_time: Duration::ZERO,
    },
    failing("refusing backend", "/refused", None, Some(StatusCode::BAD_GATEWAY)),
    failing("resetting backend", "/reset", Some(Fault::Resets), Some(StatusCode::BAD_GATEWAY)),
    failing("closing backend", "/closed", Some(Fault::Closes), Some(StatusCode::BAD_GATEWAY)),
    failing("garbling backend", "/garbage", Some(Fault::Garbage), Some(StatusCode::BAD_GATEWAY)),
    failing("body reset by backend", "/cut", Some(Fault::ResetsInBody), None),
];

/// A kind that fails immediately. These five share the requests that the two above leave.
const fn failing(
    name: &'static str,
    path: &'static str,
    fault: Option<Fault>,
    status: Option<StatusCode>,
) -> Kind {
    Kind { name, path, fault, status, share: 184, connections: 8, think_time: THINK_TIME }
}

/// A failing backend, until it is dropped.
pub(super) enum Running {
    Faulty(&'static Kind, FaultyServer),
    /// The socket is bound but does not listen.
    Refusing(&'static Kind, Socket),
}

impl Kind {
    pub(super) async fn start(&'static self) -> anyhow::Result<Running> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        if let Some(fault) = self.fault {
            return Ok(Running::Faulty(self, FaultyServer::start(any, fault).await?));
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&any.into())?;
        Ok(Running::Refusing(self, socket))
    }

    /// Returns the number of requests that ended as expected.
    pub(super) fn expected(&self, counts: &Counts) -> u64 {
        match self.status {
            Some(_) => counts.successes,
            None => counts.failed_by(FailureKind::TruncatedBody),
        }
    }
}

impl Running {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Faulty(kind, _) | Self::Refusing(kind, _) => kind,
        }
    }

    /// Returns an API with this backend.
    pub(super) fn api(&self) -> anyhow::Result<GatewayApi> {
        let address = match self {
            Self::Faulty(_, server) => server.address(),
            Self::Refusing(_, socket) => {
                socket.local_addr()?.as_socket().context("the socket has no IP address")?
            }
        };
        let ms = |time: Duration| time.as_millis().try_into().unwrap_or(u32::MAX);
        let path = self.kind().path;
        Ok(GatewayApi {
            connect_timeout_ms: ms(CONNECT_TIMEOUT),
            response_timeout_ms: ms(RESPONSE_TIMEOUT),
            idle_timeout_ms: ms(RESPONSE_TIMEOUT),
            ..api(&path[1..], path, address)
        })
    }

    /// Returns the load plan for this kind's share of `total` requests.
    pub(super) fn plan(&self, gateway: SocketAddr, total: u64) -> Plan {
        let &Kind { path, status, share, connections, think_time, .. } = self.kind();
        let plan = Plan::get(gateway, path).connections(connections).think_time(think_time);
        let plan = plan.status(status.unwrap_or(StatusCode::OK)).requests(total * share / 1_000);
        Plan { timeout: CONNECT_TIMEOUT + RESPONSE_TIMEOUT + TOLERANCE, ..plan }
    }

    /// Returns the number of requests that the backend received.
    pub(super) fn requests(&self) -> u64 {
        match self {
            Self::Faulty(_, server) => server.requests(),
            Self::Refusing(..) => 0,
        }
    }
}
