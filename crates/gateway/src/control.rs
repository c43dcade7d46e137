//! The control socket, by which any life of the agent finds, asks and stops the unit. The contract
//! is `proto/meridian/v1/control.proto`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use meridian_domain::{Generation, Incarnation};
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Answer;
use meridian_proto::v1::{
    Configured, DrainStarted, ListenerHandedOver, UnitRefusal, UnitRefusalReason, UnitRequest,
    UnitResponse,
};
use meridian_proto::{frame, hand_over};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shared::{Shared, Stale};

/// Connections at a time: the agent keeps one, an operator's tools may open a few.
const CONNECTIONS: usize = 16;
/// For the rest of a frame, once it began, and for taking an answer.
const FRAME_LIMIT: Duration = Duration::from_secs(5);
/// The pause after the system refused a connection for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Opens the control socket. The caller holds the incarnation's lock, so a socket that is there
/// already is a dead process's.
pub(crate) fn bind(directory: &Path, incarnation: Incarnation) -> io::Result<UnixListener> {
    let path = directory.join(format!("u{incarnation}.sock"));
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(path),
    }
}

/// Answers on `socket`, for ever: a draining unit answers too.
pub(crate) async fn serve(socket: UnixListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (mut stream, _) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        let place = Arc::clone(&places).try_acquire_owned();
        tokio::spawn(async move {
            let ended = match place {
                Ok(_place) => connection(&mut stream, &shared).await,
                Err(_) => {
                    let busy = refusal(&shared, UnitRefusalReason::Busy, "too many connections");
                    send(&mut stream, &UnitResponse { answer: Some(busy) }, None).await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a control connection broke");
            }
        });
    }
}

/// Answers the requests of one connection until it ends.
async fn connection(stream: &mut UnixStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        let request = match receive(stream, &mut buffer).await {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(fault) => {
                tracing::warn!(fault, "a control connection is closed");
                let malformed = refusal(shared, UnitRefusalReason::Malformed, &fault);
                return send(stream, &UnitResponse { answer: Some(malformed) }, None).await;
            }
        };
        let (answer, listener) = answer(request, shared);
        send(stream, &UnitResponse { answer: Some(answer) }, listener.as_deref()).await?;
    }
}

/// The next request; `None` at the end of the connection; what is wrong with it, for people.
async fn receive(
    stream: &mut UnixStream,
    buffer: &mut BytesMut,
) -> Result<Option<UnitRequest>, String> {
    // Between requests there is no limit: an agent's connection lives as long as the two of them.
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
                return Err("the connection ended within a frame".to_owned());
            }
        }
    };
    match timeout(FRAME_LIMIT, rest).await {
        Ok(received) => received,
        Err(_) => Err(format!("a frame took more than {FRAME_LIMIT:?} to arrive")),
    }
}

/// Does what is asked. The listening socket beside the answer is to go with it.
fn answer(request: UnitRequest, shared: &Shared) -> (Answer, Option<Arc<TcpListener>>) {
    let generation = Generation(request.generation);
    if let Err(Stale(newest)) = shared.admit(generation) {
        tracing::warn!(%generation, %newest, "a request of an older agent generation is refused");
        let said = format!("generation {generation} is older than {newest}");
        return (refusal(shared, UnitRefusalReason::StaleGeneration, &said), None);
    }
    match request.command {
        Some(Command::Describe(_)) => (Answer::Identity(shared.identity()), None),
        Some(Command::HandOverListener(_)) => match shared.listener() {
            Some(listener) => (Answer::Listener(ListenerHandedOver {}), Some(listener)),
            None => {
                let said = "a draining unit has no listening socket";
                (refusal(shared, UnitRefusalReason::Draining, said), None)
            }
        },
        Some(Command::Drain(_)) => {
            tracing::info!(%generation, "the agent stops this unit");
            shared.start_drain();
            (Answer::Draining(DrainStarted {}), None)
        }
        Some(Command::Configure(given)) => match shared.configure(given.configuration) {
            Ok(revision) => (Answer::Configured(Configured { revision }), None),
            Err(error) => {
                tracing::warn!(%error, "a configuration is refused");
                let reason = UnitRefusalReason::InvalidConfiguration;
                (refusal(shared, reason, &error.to_string()), None)
            }
        },
        Some(Command::ReadMetrics(_)) => {
            (Answer::Metrics(shared.metrics().read(shared.read_load())), None)
        }
        None => {
            let said = format!("build {} knows no such command", shared.identity().build);
            (refusal(shared, UnitRefusalReason::UnknownCommand, &said), None)
        }
    }
}

fn refusal(shared: &Shared, reason: UnitRefusalReason, message: &str) -> Answer {
    Answer::Refusal(UnitRefusal {
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
    let sent = timeout(FRAME_LIMIT, async {
        let done = match listener {
            Some(listener) => {
                let send = || hand_over::send(&*stream, &bytes, listener);
                stream.async_io(Interest::WRITABLE, send).await?
            }
            None => 0,
        };
        stream.write_all(&bytes[done..]).await
    });
    sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
