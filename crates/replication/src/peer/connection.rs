//! Connection to another member.

use std::time::Duration;

use meridian_domain::agent::Address;
use meridian_proto::v1::peer_client::PeerClient;
use meridian_transport::{Dialer, settings};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use super::identity::Headers;

/// Maximum size of a message between agents in bytes: far above the entries of an append, which the
/// log store limits to 1 MiB or one entry, and one part of a snapshot.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Connection that adds the identity headers to every request.
pub type Client = PeerClient<InterceptedService<Channel, Headers>>;

/// Error of a request without a response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The receiver definitely did not process the request.
    #[error("{0}")]
    NotSent(String),
    /// The receiver may have processed the request.
    #[error("{0}")]
    OutcomeUnknown(String),
}

/// Opens a connection within `timeout`. The address is resolved at each call.
///
/// # Errors
/// A message with the address and the cause; nothing was sent.
pub async fn connect(
    dialer: &Dialer,
    address: &Address,
    headers: Headers,
    timeout: Duration,
) -> Result<Client, String> {
    let channel = meridian_transport::connect(dialer, address, &settings::PEER, timeout)
        .await
        .map_err(|error| format!("{address} is unreachable: {error}"))?;
    Ok(PeerClient::with_interceptor(channel, headers)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES))
}
