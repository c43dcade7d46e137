//! One connection to another member.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_proto::v1::peer_client::PeerClient;
use meridian_transport::{Dialer, settings};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::identity::Headers;

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

/// Opens a connection with `dialer`. The address is resolved at each call.
///
/// # Errors
/// If it is not established within `limit`.
pub async fn connect(
    dialer: &Dialer,
    address: &Address,
    headers: Headers,
    limit: Duration,
) -> Result<Client, String> {
    let channel = meridian_transport::connect(dialer, address, &settings::PEER, limit)
        .await
        .map_err(|error| format!("{address} is unreachable: {error}"))?;
    Ok(PeerClient::with_interceptor(channel, headers)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES))
}
