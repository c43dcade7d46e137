//! The control socket, over which every process run of the agent identifies, configures and stops
//! the unit. The contract is `proto/meridian/v1/control.proto`.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use meridian_domain::{Generation, Incarnation};
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{
    Configured, DrainStarted, ListenerSent, UnitRefusal, UnitRefusalReason, UnitRequest,
    UnitResponse,
};
use meridian_proto::{fd_passing, frame};
use meridian_transport::accept::AcceptFailures;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::shared::{Shared, Stale};

/// Maximum number of concurrent connections: the agent keeps one, an operator's tools may open a
/// few.
const MAX_CONNECTIONS: usize = 16;
/// Mode of the socket: only its user can connect (unix(7)).
const SOCKET_MODE: u32 = 0o600;
/// User id of root.
const ROOT: u32 = 0;
/// Timeout for receiving the rest of a frame after its first byte, and for sending a response.
const FRAME_TIMEOUT: Duration = Duration::from_secs(5);

/// Binds the control socket, which only this user can connect to. The unit holds the incarnation's
/// lock, so an existing socket is a leftover of a dead process.
pub(crate) fn bind(directory: &Path, incarnation: Incarnation) -> io::Result<UnixListener> {
    let path = directory.join(format!("u{incarnation}.sock"));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&path)?;
    std::fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    Ok(socket)
}

/// Returns true if a process of this user may control a unit that runs as `own`: the unit's own user,
/// and root, as which an agent runs whose units have another user.
fn may_control(user: u32, own: u32) -> bool {
    user == own || user == ROOT
}

/// Checks the user of the process at the other end.
fn is_admitted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if may_control(peer.uid(), own) => true,
        Ok(peer) => {
            tracing::warn!(user = peer.uid(), "refused a control connection of another user");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "refused a control connection of an unknown user");
            false
        }
    }
}

/// Serves requests on `socket`; never returns. A draining unit is served too.
pub(crate) async fn serve(socket: UnixListener, shared: Arc<Shared>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let failures = AcceptFailures::new("control socket");
    loop {
        let (mut stream, _) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                failures.back_off(&error).await;
                continue;
            }
        };
        if !is_admitted(&stream) {
            continue;
        }
        let shared = Arc::clone(&shared);
        let permit = Arc::clone(&permits).try_acquire_owned();
        tokio::spawn(async move {
            let ended = match permit {
                Ok(_permit) => connection(&mut stream, &shared).await,
                Err(_) => {
                    let busy = refusal(&shared, UnitRefusalReason::Busy, "too many connections");
                    send(&mut stream, &UnitResponse { response: Some(busy) }, None).await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "control connection failed");
            }
        });
    }
}

/// Serves the requests of one connection until it ends, or the unit drains without a request.
async fn connection(stream: &mut UnixStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    // A connection that is opened later learns of the drain by its first request.
    let unrequested = match shared.unrequested_drain().is_cancelled() {
        true => CancellationToken::new(),
        false => shared.unrequested_drain().clone(),
    };
    loop {
        let received = tokio::select! {
            received = receive(stream, &mut buffer) => received,
            () = unrequested.cancelled() => return Ok(()),
        };
        let request = match received {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(error, "closing a control connection: malformed request");
                let malformed = refusal(shared, UnitRefusalReason::Malformed, &error);
                return send(stream, &UnitResponse { response: Some(malformed) }, None).await;
            }
        };
        let (response, listener) = execute(request, shared);
        send(stream, &UnitResponse { response: Some(response) }, listener.as_deref()).await?;
    }
}

/// Returns the next request, or `None` at the end of the connection.
///
/// # Errors
/// A human-readable description of the malformed frame or I/O error.
async fn receive(
    stream: &mut UnixStream,
    buffer: &mut BytesMut,
) -> Result<Option<UnitRequest>, String> {
    // No timeout applies between requests: an agent keeps its connection as long as both processes
    // run.
    if buffer.is_empty() && stream.read_buf(buffer).await.map_err(|e| e.to_string())? == 0 {
        return Ok(None);
    }
    let rest = async {
        loop {
            match frame::decode(buffer) {
                Ok(Some(request)) => return Ok(Some(request)),
                Ok(None) => {}
                Err(error) => return Err(error.to_string()),
            }
            if stream.read_buf(buffer).await.map_err(|e| e.to_string())? == 0 {
                return Err("the connection ended in the middle of a frame".to_owned());
            }
        }
    };
    match timeout(FRAME_TIMEOUT, rest).await {
        Ok(received) => received,
        Err(_) => Err(format!("incomplete frame after {FRAME_TIMEOUT:?}")),
    }
}

/// Executes a request. A returned listening socket must be sent along with the response.
fn execute(request: UnitRequest, shared: &Shared) -> (Response, Option<Arc<TcpListener>>) {
    let generation = Generation(request.generation);
    if let Err(Stale(newest)) = shared.admit(generation) {
        tracing::warn!(%generation, %newest, "refused a request of a stale agent generation");
        let message = format!("stale agent generation {generation}: the unit has seen {newest}");
        return (refusal(shared, UnitRefusalReason::StaleGeneration, &message), None);
    }
    match request.command {
        Some(Command::Describe(_)) => (Response::Identity(shared.identity()), None),
        Some(Command::SendListener(_)) => match shared.listener() {
            Some(listener) => (Response::Listener(ListenerSent {}), Some(listener)),
            None => {
                let message = "the unit is draining and has closed its listening socket";
                (refusal(shared, UnitRefusalReason::Draining, message), None)
            }
        },
        Some(Command::Drain(_)) => {
            tracing::info!(%generation, "drain requested by the agent");
            shared.start_drain();
            (Response::Draining(DrainStarted {}), None)
        }
        Some(Command::Configure(command)) => match shared.configure(command.configuration) {
            Ok(revision) => (Response::Configured(Configured { revision }), None),
            Err(error) => {
                tracing::warn!(%error, "refused an invalid configuration");
                let reason = UnitRefusalReason::InvalidConfiguration;
                (refusal(shared, reason, &error.to_string()), None)
            }
        },
        Some(Command::ReadMetrics(_)) => {
            (Response::Metrics(shared.metrics().read(shared.read_load())), None)
        }
        None => {
            let message =
                format!("unknown command: the unit runs build {}", shared.identity().build);
            (refusal(shared, UnitRefusalReason::UnknownCommand, &message), None)
        }
    }
}

fn refusal(shared: &Shared, reason: UnitRefusalReason, message: &str) -> Response {
    Response::Refusal(UnitRefusal {
        reason: reason.into(),
        message: message.to_owned(),
        newest_generation: shared.newest_generation().0,
    })
}

async fn send(
    stream: &mut UnixStream,
    response: &UnitResponse,
    listener: Option<&TcpListener>,
) -> io::Result<()> {
    let bytes = frame::encode(response);
    let sending = timeout(FRAME_TIMEOUT, async {
        let sent = match listener {
            Some(listener) => {
                let send = || fd_passing::send(&*stream, &bytes, listener);
                stream.async_io(Interest::WRITABLE, send).await?
            }
            None => 0,
        };
        stream.write_all(&bytes[sent..]).await
    });
    sending.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_user_of_the_unit_and_root_may_control_it() {
        let (unit, other) = (1_000, 1_001);
        assert!(may_control(unit, unit) && may_control(ROOT, unit) && may_control(ROOT, ROOT));
        assert!(!may_control(other, unit) && !may_control(unit, ROOT));
    }
}
