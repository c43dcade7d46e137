//! The gateways of a machine on the simulated network: a host of its own, because units outlive their
//! agent.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;

use meridian_domain::ServiceName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use turmoil::net::{TcpListener, TcpStream};

use crate::machine::Machine;
use crate::plan::Plan;

/// Maximum size of a request.
const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Returns the host of the gateways of an agent.
#[must_use]
pub fn host(agent: usize) -> String {
    format!("gateway-{agent}")
}

/// Serves the status document of each ready unit on its port, forever.
///
/// # Errors
/// Never: a port that cannot be opened is not served.
pub async fn serve(plan: &Plan, agent: usize, machine: Machine) -> turmoil::Result {
    let region = plan.agents[agent].to_string();
    let mut changes = machine.changes();
    let mut open: BTreeMap<(u16, ServiceName), JoinSet<io::Result<()>>> = BTreeMap::new();
    loop {
        let wanted = machine.ports();
        // Aborts the listener and its connections.
        open.retain(|port, _| wanted.contains(port));
        for (port, service) in wanted {
            let document = format!(r#"{{"service":"{service}","region":"{region}"}}"#);
            open.entry((port, service)).or_insert_with(|| {
                let mut tasks = JoinSet::new();
                tasks.spawn(listen(port, document));
                tasks
            });
        }
        changes.changed().await?;
    }
}

async fn listen(port: u16, document: String) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                connections.spawn(respond(stream, document.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Responds to each request of a connection with the document.
async fn respond(mut stream: TcpStream, document: String) -> io::Result<()> {
    let length = document.len();
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{document}");
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if request.len() > MAX_REQUEST_BYTES || stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        stream.write_all(response.as_bytes()).await?;
    }
}
