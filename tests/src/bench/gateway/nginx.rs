//! nginx with a generated configuration: as a proxy, and as the backend of both.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use super::super::process::Process;
use super::cores::command;
use super::{free_address, until};
use crate::load::pattern;

/// An nginx, until it is dropped.
pub struct Nginx {
    address: SocketAddr,
    process: Process,
}

/// Whether there is one.
pub async fn is_installed() -> bool {
    Command::new("nginx").arg("-v").output().await.is_ok_and(|output| output.status.success())
}

impl Nginx {
    /// One that gives bodies of these sizes, as a `load::Backend` does, on these cores.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn backend(directory: &Path, cores: &str, sizes: &[usize]) -> anyhow::Result<Self> {
        let files = directory.join("files/bytes");
        fs::create_dir_all(&files)?;
        for size in sizes {
            fs::write(files.join(size.to_string()), pattern(*size))?;
        }
        let server = format!(
            "sendfile on; tcp_nopush on; open_file_cache max=100; \
             root {}/files; location / {{ }}",
            directory.display()
        );
        Self::start(directory, cores, 1, "", &server).await
    }

    /// A proxy of so many workers on these cores, which keeps its connections to the backend.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn proxy(
        directory: &Path,
        cores: &str,
        workers: usize,
        path: &str,
        backend: SocketAddr,
    ) -> anyhow::Result<Self> {
        fs::create_dir(directory)?;
        let upstream = format!(
            "upstream backend {{ server {backend}; keepalive 128; keepalive_requests 100000000; }}"
        );
        // The buffers hold a whole answer: nginx would otherwise write to a disk.
        let server = format!(
            "location {path}/ {{ proxy_pass http://backend/; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_buffers 16 16k; \
             proxy_max_temp_file_size 0; }}"
        );
        Self::start(directory, cores, workers, &upstream, &server).await
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its master, whose children are the workers.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    async fn start(
        directory: &Path,
        cores: &str,
        workers: usize,
        http: &str,
        server: &str,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let config = directory.join("nginx.conf");
        fs::write(&config, configuration(directory, workers, http, address, server))?;
        let mut command = command(Some(cores), Path::new("nginx"));
        command.arg("-p").arg(directory).arg("-c").arg(&config).args(["-e", "error.log"]);
        let log = directory.join("nginx.log");
        let mut process = Process::start(&mut command, &log)?;
        until(async || {
            process.check(&log)?;
            tokio::net::TcpStream::connect(address).await?;
            Ok(())
        })
        .await
        .context("nginx does not get ready")?;
        Ok(Self { address, process })
    }
}

/// Its workers outlive a master that is killed.
impl Drop for Nginx {
    fn drop(&mut self) {
        self.process.terminate();
    }
}

fn configuration(
    directory: &Path,
    workers: usize,
    http: &str,
    address: SocketAddr,
    server: &str,
) -> String {
    // Workers of another user could not read the directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let directory = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {directory}/{kind};\n"))
        .concat();
    format!(
        "{user}\nworker_processes {workers};\ndaemon off;\npid {directory}/nginx.pid;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n{temporary}    access_log off;\n    \
         keepalive_requests 100000000;\n    default_type application/octet-stream;\n    {http}\n    \
         server {{\n        listen {address} backlog=1024;\n        {server}\n    }}\n}}\n"
    )
}
