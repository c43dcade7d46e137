//! The configuration of a unit: a protobuf message, sent over the control socket of a running unit.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;

use bytes::BytesMut;
use meridian_gateway::{Unit, UnitConfig};
use meridian_proto::frame::{self, MAX_FRAME_BYTES};
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{ConfigureUnit, GatewayConfiguration, UnitRequest, UnitResponse};
use prost::Message;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::environment::{RUNTIME, directory};

const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
     --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";
/// The generation in the arguments.
const GENERATION: u64 = 3;
/// Maximum overhead of a configuration in its frame.
const OVERHEAD_BYTES: usize = 64;

/// Returns true if a unit accepts the configuration.
pub fn accepts(data: &[u8]) -> bool {
    let Ok(configuration) = GatewayConfiguration::decode(data) else { return false };
    if configuration.encoded_len() > MAX_FRAME_BYTES - OVERHEAD_BYTES {
        return false;
    }
    let configuration = Some(configuration);
    let command = Some(Command::Configure(ConfigureUnit { configuration }));
    let request = UnitRequest { generation: GENERATION, command };
    let mut unit = Running::start();
    let first = unit.send(&request);
    // The second time, the unit already has the configuration.
    let again = unit.send(&request);
    match (first, again) {
        (Response::Configured(_), Response::Configured(_)) => true,
        (Response::Refusal(first), Response::Refusal(again)) => {
            assert!(!first.message.is_empty(), "the rejection has no reason");
            assert_eq!(first, again);
            false
        }
        others => panic!("unexpected responses: {others:?}"),
    }
}

/// A unit running in this process.
struct Running {
    task: JoinHandle<()>,
    control: UnixStream,
    /// Deleted after the unit has stopped: a unit without its lock file would drain first.
    _directory: TempDir,
}

impl Running {
    fn start() -> Self {
        let directory = directory();
        let run = directory.path();
        let intent = format!("00000000 {{\"generation\":{GENERATION}}}\n");
        std::fs::write(run.join("u7.json"), intent).expect("the intent is written");
        let arguments = ARGUMENTS.split(' ').map(str::to_owned);
        let mut config = UnitConfig::from_arguments(arguments).expect("valid arguments");
        config.directory = run.to_owned();
        config.workers = NonZeroUsize::MIN;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("the socket can be made non-blocking");
        let _context = RUNTIME.enter();
        let unit = Unit::build(config, listener).expect("the unit starts");
        let task = RUNTIME.spawn(unit.run(std::future::pending()));
        let control = UnixStream::connect(run.join("u7.sock")).expect("the control socket is open");
        Self { task, control, _directory: directory }
    }

    fn send(&mut self, request: &UnitRequest) -> Response {
        self.control.write_all(&frame::encode(request)).expect("the unit reads");
        let mut buffer = BytesMut::new();
        let mut chunk = vec![0; 4096];
        loop {
            let read = self.control.read(&mut chunk).expect("the unit responds");
            assert!(read > 0, "the unit closed the connection");
            buffer.extend_from_slice(&chunk[..read]);
            if let Some(response) =
                frame::decode::<UnitResponse>(&mut buffer).expect("the frame decodes")
            {
                return response.response.expect("the response is not empty");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
