//! What a unit is told to serve: a protobuf, sent over its control socket to a unit that runs.

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

use super::world::{RUNTIME, directory};

const ARGUMENTS: &str = "--cluster 01932f5e-8b1a-7c3d-9e4f-0123456789ab --agent we-1 \
     --service contoso --region westeurope --slot 2 --incarnation 7 --generation 3";
/// As in the arguments.
const GENERATION: u64 = 3;
/// Around a configuration in its frame, at most.
const AROUND_BYTES: usize = 64;

/// Whether a unit would serve that.
pub fn understands(data: &[u8]) -> bool {
    let Ok(configuration) = GatewayConfiguration::decode(data) else { return false };
    if configuration.encoded_len() > MAX_FRAME_BYTES - AROUND_BYTES {
        return false;
    }
    let configuration = Some(configuration);
    let command = Some(Command::Configure(ConfigureUnit { configuration }));
    let request = UnitRequest { generation: GENERATION, command };
    let mut unit = Running::start();
    let first = unit.call(&request);
    // Again: now it has that configuration already.
    let again = unit.call(&request);
    match (first, again) {
        (Response::Configured(_), Response::Configured(_)) => true,
        (Response::Refusal(first), Response::Refusal(again)) => {
            assert!(!first.message.is_empty(), "a refusal says why");
            assert_eq!(first, again);
            false
        }
        others => panic!("{others:?} are no answers to that"),
    }
}

/// A unit within this process.
struct Running {
    task: JoinHandle<()>,
    control: UnixStream,
    /// Deleted only after the unit has ended: without its lock file it would drain first.
    _directory: TempDir,
}

impl Running {
    fn start() -> Self {
        let directory = directory();
        let run = directory.path();
        let intent = format!("00000000 {{\"generation\":{GENERATION}}}\n");
        std::fs::write(run.join("u7.json"), intent).expect("can be written");
        let arguments = ARGUMENTS.split(' ').map(str::to_owned);
        let mut config = UnitConfig::from_arguments(arguments).expect("are its arguments");
        config.directory = run.to_owned();
        config.workers = NonZeroUsize::MIN;
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener.set_nonblocking(true).expect("is a socket");
        let _context = RUNTIME.enter();
        let unit = Unit::build(config, listener).expect("nothing is in its way");
        let task = RUNTIME.spawn(unit.run(std::future::pending()));
        let control = UnixStream::connect(run.join("u7.sock")).expect("it listens");
        Self { task, control, _directory: directory }
    }

    fn call(&mut self, request: &UnitRequest) -> Response {
        self.control.write_all(&frame::encode(request)).expect("the unit reads");
        let mut buffer = BytesMut::new();
        let mut piece = vec![0; 4096];
        loop {
            let read = self.control.read(&mut piece).expect("the unit answers");
            assert!(read > 0, "the unit hung up");
            buffer.extend_from_slice(&piece[..read]);
            if let Some(response) = frame::decode::<UnitResponse>(&mut buffer).expect("is a frame")
            {
                return response.response.expect("a response has a value");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
