//! The ways in which backends fail, and how calls to them have to end.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use hyper::StatusCode;
use meridian_proto::v1::GatewayApi;
use socket2::{Domain, Socket, Type};

use super::super::gateway::unit::api;
use crate::load::{Counts, FailureKind, Fault, Faulty, Plan};

/// The time-outs of these APIs.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// What a slow backend takes.
const SLOW: Duration = Duration::from_millis(100);
/// How much longer than a time-out an answer may take: the machine is busy.
const GRACE: Duration = Duration::from_millis(700);
/// The pause of callers who are answered at once: not to use up the processors is a part of the
/// measurement.
const PAUSE: Duration = Duration::from_millis(20);

/// One way to fail.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    path: &'static str,
    /// Nothing: it refuses connections.
    fault: Option<Fault>,
    /// How calls have to end; nothing: with a body that is cut.
    status: Option<StatusCode>,
    /// Calls of a thousand.
    share: u64,
    callers: usize,
    pause: Duration,
}

pub(super) const ALL: &[Kind] = &[
    Kind {
        name: "slow backend",
        path: "/slow",
        fault: Some(Fault::Slow(SLOW)),
        status: Some(StatusCode::OK),
        share: 50,
        callers: 16,
        pause: Duration::ZERO,
    },
    Kind {
        name: "silent backend",
        path: "/silent",
        fault: Some(Fault::Silent),
        status: Some(StatusCode::GATEWAY_TIMEOUT),
        share: 30,
        callers: 32,
        pause: Duration::ZERO,
    },
    failing("refusing backend", "/refused", None, Some(StatusCode::BAD_GATEWAY)),
    failing("resetting backend", "/reset", Some(Fault::Resets), Some(StatusCode::BAD_GATEWAY)),
    failing("closing backend", "/closed", Some(Fault::Closes), Some(StatusCode::BAD_GATEWAY)),
    failing("garbling backend", "/garbage", Some(Fault::Garbage), Some(StatusCode::BAD_GATEWAY)),
    failing("body reset by backend", "/cut", Some(Fault::ResetsInBody), None),
];

/// A kind that fails at once: these five have the calls that the two above leave.
const fn failing(
    name: &'static str,
    path: &'static str,
    fault: Option<Fault>,
    status: Option<StatusCode>,
) -> Kind {
    Kind { name, path, fault, status, share: 184, callers: 8, pause: PAUSE }
}

/// Such a backend, until it is dropped.
pub(super) enum Running {
    Faulty(&'static Kind, Faulty),
    /// The socket has the port, and does not listen.
    Refusing(&'static Kind, Socket),
}

impl Kind {
    pub(super) async fn start(&'static self) -> anyhow::Result<Running> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        if let Some(fault) = self.fault {
            return Ok(Running::Faulty(self, Faulty::start(any, fault).await?));
        }
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&any.into())?;
        Ok(Running::Refusing(self, socket))
    }

    /// How many of these calls ended as they have to.
    pub(super) fn right(&self, counts: &Counts) -> u64 {
        match self.status {
            Some(_) => counts.successes,
            None => counts.failed_by(FailureKind::CutBody),
        }
    }
}

impl Running {
    fn kind(&self) -> &'static Kind {
        match self {
            Self::Faulty(kind, _) | Self::Refusing(kind, _) => kind,
        }
    }

    /// The API that leads there.
    pub(super) fn api(&self) -> anyhow::Result<GatewayApi> {
        let address = match self {
            Self::Faulty(_, server) => server.address(),
            Self::Refusing(_, socket) => {
                socket.local_addr()?.as_socket().context("a bound socket has an address")?
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

    /// This kind's share of so many calls.
    pub(super) fn plan(&self, gateway: SocketAddr, calls: u64) -> Plan {
        let &Kind { path, status, share, callers, pause, .. } = self.kind();
        let plan = Plan::get(gateway, path).connections(callers).pause(pause);
        let plan = plan.status(status.unwrap_or(StatusCode::OK)).requests(calls * share / 1_000);
        Plan { timeout: CONNECT_TIMEOUT + RESPONSE_TIMEOUT + GRACE, ..plan }
    }

    /// How often it was asked.
    pub(super) fn requests(&self) -> u64 {
        match self {
            Self::Faulty(_, server) => server.requests(),
            Self::Refusing(..) => 0,
        }
    }
}
