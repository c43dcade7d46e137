//! nginx with a generated configuration: as a proxy, and as the backend of both proxies.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use tokio::process::Command;

use super::super::process::Process;
use super::cores::command;
use super::{free_address, until};
use crate::load::pattern;

/// A running nginx, until it is dropped.
pub struct Nginx {
    address: SocketAddr,
    process: Process,
}

/// Returns true if nginx is installed.
pub async fn is_installed() -> bool {
    Command::new("nginx").arg("-v").output().await.is_ok_and(|output| output.status.success())
}

impl Nginx {
    /// Starts nginx as a backend that serves bodies of the given sizes, like `load::Backend`.
    ///
    /// # Errors
    /// If it does not become ready in time.
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

    /// Starts nginx as a proxy with persistent connections to the backend.
    ///
    /// # Errors
    /// If it does not become ready in time.
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
        // The buffers hold a whole response; otherwise nginx would write it to a temporary file.
        let server = format!(
            "location {path}/ {{ proxy_pass http://backend/; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_buffers 16 16k; \
             proxy_max_temp_file_size 0; }}"
        );
        Self::start(directory, cores, workers, &upstream, &server).await
    }

    /// Returns the listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the master process; the workers are its children.
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
        .context("nginx did not become ready")?;
        Ok(Self { address, process })
    }
}

/// SIGTERM, because the workers survive a killed master.
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
