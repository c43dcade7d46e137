//! Opening gRPC connections.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::{Dialer, Settings};

/// A connection was not opened; nothing was sent on it. The messages do not repeat the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The address is not a valid authority of a URI.
    #[error("invalid address: {cause}")]
    Invalid {
        /// Cause, as the URI parser states it.
        cause: String,
    },
    /// The connection was not established in time.
    #[error("no connection within {limit:.1?}")]
    TimedOut {
        /// Timeout of the attempt.
        limit: Duration,
    },
    /// Name resolution, TCP or HTTP/2 failed.
    #[error("{cause}")]
    Failed {
        /// Innermost cause.
        cause: String,
    },
}

/// Opens a connection to `address` (`HOST:PORT`) within `limit`. A host name is resolved at each
/// call; one that was resolved before is resolved in the background, for the next call.
///
/// Cancel-safe: dropping the future abandons the connection.
///
/// # Errors
/// A [`ConnectError`]; nothing was sent.
pub async fn connect(
    dialer: &Dialer,
    address: impl Display,
    settings: &Settings,
    limit: Duration,
) -> Result<Channel, ConnectError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| ConnectError::Invalid { cause: root_cause(&error) })?
        .connect_timeout(limit);
    match timeout(limit, dialer.dial(settings.apply(endpoint), limit)).await {
        Ok(Ok(channel)) => Ok(channel),
        // The timeout of the endpoint has the same length, and may elapse first.
        Ok(Err(error)) if io_error_kind(&error) != Some(io::ErrorKind::TimedOut) => {
            Err(ConnectError::Failed { cause: root_cause(&error) })
        }
        Ok(Err(_)) | Err(_) => Err(ConnectError::TimedOut { limit }),
    }
}

/// Returns the innermost cause of a connection error. The outer ones state only that it failed.
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    match io_error_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
        _ => innermost(error).to_string(),
    }
}

pub(crate) fn io_error_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    innermost(error).downcast_ref::<io::Error>().map(io::Error::kind)
}

fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    std::iter::successors(Some(error), |&error| error.source()).last().unwrap_or(error)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::settings::CLIENT;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_refused_connection_is_reported_without_the_operating_systems_code() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = free.local_addr().expect("is bound");
        drop(free);
        let error = connect(&Dialer::default(), address, &CLIENT, LIMIT).await.expect_err("fails");
        assert_eq!(error, ConnectError::Failed { cause: "connection refused".to_owned() });
    }

    #[tokio::test]
    async fn a_refused_stream_has_the_kind_of_its_cause() {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = free.local_addr().expect("is bound").to_string();
        Dialer::default().open(&address, LIMIT).await.map(drop).expect("is accepted");
        drop(free);
        let error = Dialer::default().open(&address, LIMIT).await.map(drop).expect_err("fails");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_connection_that_is_never_established_ends_at_its_timeout() {
        let never = Dialer::new(|_| Box::pin(std::future::pending()));
        // As if the timeout of the endpoint had elapsed first.
        let timed_out = Dialer::new(|_| Box::pin(async { Err(io::ErrorKind::TimedOut.into()) }));
        let limit = Duration::from_millis(20);
        for dialer in [never, timed_out] {
            let error = connect(&dialer, "a:1", &CLIENT, limit).await.expect_err("times out");
            assert_eq!(error, ConnectError::TimedOut { limit });
        }
    }

    #[tokio::test]
    async fn an_invalid_address_is_not_dialed() {
        let dialer = Dialer::new(|_| unreachable!("is not dialed"));
        let error = connect(&dialer, "a b:1", &CLIENT, LIMIT).await.expect_err("is invalid");
        assert!(matches!(error, ConnectError::Invalid { .. }));
    }
}
