//! A unit without an agent.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::BytesMut;
use meridian_proto::frame;
use meridian_proto::v1::unit_request::Command as UnitCommand;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{
    AccessLog, ConfigureUnit, GatewayApi, GatewayConfiguration, GatewayLimits, UnitRequest,
    UnitResponse,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use uuid::Uuid;

use super::super::process::Process;
use super::cores::command;
use super::until;

/// Incarnation of the unit, also part of its file names.
const INCARNATION: u64 = 1;
/// Generation of the agent that this program stands in for.
const GENERATION: u64 = 1;
/// Listen backlog, the same as that of nginx.
const BACKLOG: i32 = 1024;

/// A running unit, until it is dropped.
pub struct GatewayUnit {
    address: SocketAddr,
    control: PathBuf,
    process: Process,
    // Kept open, as an agent does.
    _listener: TcpListener,
}

/// Returns an API with the default timeouts.
#[must_use]
pub fn api(name: &str, path: &str, backend: SocketAddr) -> GatewayApi {
    let ms = |time: Duration| time.as_millis().try_into().unwrap_or(u32::MAX);
    GatewayApi {
        name: name.to_owned(),
        path: path.to_owned(),
        backend: format!("http://{backend}"),
        connect_timeout_ms: ms(Duration::from_secs(5)),
        response_timeout_ms: ms(Duration::from_secs(30)),
        idle_timeout_ms: ms(Duration::from_secs(60)),
    }
}

impl GatewayUnit {
    /// Starts a unit on the given cores, if any, with one thread per core. It serves no API yet.
    ///
    /// # Errors
    /// If it does not become ready in time.
    pub async fn start(
        program: &Path,
        directory: &Path,
        cores: Option<&str>,
    ) -> anyhow::Result<Self> {
        fs::create_dir(directory)?;
        // The intent file of the agent; the unit only reads the generation.
        let intent = format!("00000000 {{\"generation\":{GENERATION}}}\n");
        fs::write(directory.join(format!("u{INCARNATION}.json")), intent)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&listener, BACKLOG)?;
        let address = listener.local_addr()?;
        let input = OwnedFd::from(listener.try_clone()?);
        let mut command = command(cores, program);
        let (incarnation, generation) = (INCARNATION.to_string(), GENERATION.to_string());
        command
            .args(["unit", "--cluster", &Uuid::new_v4().to_string(), "--agent", "bench"])
            .args(["--service", "contoso", "--region", "westeurope", "--slot", "1"])
            .args(["--incarnation", &incarnation, "--generation", &generation])
            .current_dir(directory);
        let log = directory.join(format!("u{INCARNATION}.log"));
        let mut process = Process::start_with(&mut command, input.into(), &log)?;
        let control = directory.join(format!("u{INCARNATION}.sock"));
        until(async || {
            process.check(&log)?;
            UnixStream::connect(&control).await?;
            Ok(())
        })
        .await
        .context("the unit did not become ready")?;
        Ok(Self { address, control, process, _listener: listener })
    }

    /// Returns the listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Configures the unit with these APIs, without limits and access log.
    ///
    /// # Errors
    /// If the unit rejects the configuration.
    pub async fn configure(&self, apis: &[GatewayApi]) -> anyhow::Result<()> {
        let configuration = GatewayConfiguration {
            revision: 1,
            enabled: true,
            apis: apis.to_vec(),
            limits: Some(GatewayLimits::default()),
            access_log: AccessLog::Off.into(),
            redirect: String::new(),
        };
        let command = UnitCommand::Configure(ConfigureUnit { configuration: Some(configuration) });
        let request = UnitRequest { generation: GENERATION, command: Some(command) };
        let mut stream = UnixStream::connect(&self.control).await?;
        stream.write_all(&frame::encode(&request)).await?;
        let mut buffer = BytesMut::new();
        loop {
            if let Some(response) = frame::decode::<UnitResponse>(&mut buffer)? {
                match response.response {
                    Some(Response::Configured(_)) => return Ok(()),
                    other => bail!("the unit rejected the configuration: {other:?}"),
                }
            }
            let read = stream.read_buf(&mut buffer).await?;
            anyhow::ensure!(read > 0, "the unit closed its control socket without a response");
        }
    }
}
