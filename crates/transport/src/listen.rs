//! Opening the ports of an agent. All are opened before anything else starts, so that a conflict is
//! known before anything has changed.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::port_holder::{PortHolder, held_by};

/// A port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process listens on it.
    #[error("{key} {address} is in use{}", held_by(holder.as_ref()))]
    InUse {
        /// Configuration key of the port.
        key: &'static str,
        /// Address to listen on.
        address: SocketAddr,
        /// Process that listens there, if it is visible.
        holder: Option<PortHolder>,
    },
    /// The operating system refused.
    #[error("{key} {address}: cannot listen")]
    Refused {
        /// Configuration key of the port.
        key: &'static str,
        /// Address to listen on.
        address: SocketAddr,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Listens on `address`, which the configuration has under `key`.
///
/// # Errors
/// If the address is in use, or does not belong to this machine.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = tokio::task::spawn_blocking(move || PortHolder::of(address)).await;
            Err(ListenError::InUse { key, address, holder: holder.ok().flatten() })
        }
        Err(source) => Err(ListenError::Refused { key, address, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_reported_with_its_holder() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = held.local_addr().expect("is bound");
        let error = bind("peer_listen", address).await.expect_err("is in use").to_string();
        let expected = format!("peer_listen {address} is in use by process {}", std::process::id());
        assert!(error.starts_with(&expected), "{error}");
    }
}
