//! Opening the ports of an agent: all of them before anything else begins, so that one that is taken
//! is known before anything was changed.

use std::io;
use std::net::SocketAddr;

use meridian_agent::driver::Holder;
use tokio::net::TcpListener;

/// Why a port cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error("{key} {address} is in use{}", by(holder.as_ref()))]
    InUse {
        /// The configuration key of the port.
        key: &'static str,
        /// Where the agent was to listen.
        address: SocketAddr,
        /// Who listens there, where that can be known.
        holder: Option<Holder>,
    },
    /// The operating system refuses.
    #[error("{key} {address} cannot be listened on: {source}")]
    Refused {
        /// The configuration key of the port.
        key: &'static str,
        /// Where the agent was to listen.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Listens on the address that the configuration has under `key`.
///
/// # Errors
/// If the address is in use, or is not one of this machine's.
pub async fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, ListenError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = tokio::task::spawn_blocking(move || Holder::of(address)).await;
            Err(ListenError::InUse { key, address, holder: holder.ok().flatten() })
        }
        Err(source) => Err(ListenError::Refused { key, address, source }),
    }
}

fn by(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!(" by process {} ({})", holder.pid, holder.command),
        None => ", and it cannot be known by whom".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_its_holder() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = held.local_addr().expect("is bound");
        let error = bind("peer_listen", address).await.expect_err("is in use").to_string();
        let expected = format!("peer_listen {address} is in use by process {}", std::process::id());
        assert!(error.starts_with(&expected), "{error}");
    }
}
