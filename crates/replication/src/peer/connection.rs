//! One connection to another member.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_proto::v1::peer_client::PeerClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use super::identity::Headers;
use crate::environment::Dialer;

/// Bytes of the largest message between agents: sixteen entries, or a part of a snapshot.
pub const MESSAGE_BYTES: usize = 4 << 20;

/// A connection on which every call carries the identity headers.
pub type Client = PeerClient<InterceptedService<Channel, Headers>>;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The other side certainly did not act on it.
    #[error("{0}")]
    NotSent(String),
    /// It may have acted on it.
    #[error("{0}")]
    Unanswered(String),
}

/// Opens a connection with `dialer` now. The address is resolved anew each time.
///
/// # Errors
/// If that fails or takes longer than `patience`.
pub async fn connect(
    dialer: &Dialer,
    address: &Address,
    headers: Headers,
    patience: Duration,
) -> Result<Client, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("{address}: {error}"))?
        .connect_timeout(patience)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(4 << 20));
    let channel = tokio::time::timeout(patience, dialer.connect(endpoint))
        .await
        .map_err(|_| format!("{address} did not answer within {patience:?}"))?
        .map_err(|error| format!("{address} cannot be reached: {}", root_cause(&error)))?;
    Ok(PeerClient::with_interceptor(channel, headers)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}

/// The innermost cause: the outer ones say only that something failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
