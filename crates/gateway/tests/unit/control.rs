use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use meridian_proto::frame;
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Response;
use meridian_proto::v1::{
    ConfigureUnit, Configured, DescribeUnit, DrainUnit, GatewayConfiguration, ReadMetrics,
    SendListener, UnitIdentity, UnitMetrics, UnitRefusal, UnitRefusalReason, UnitRequest,
    UnitResponse, UnitState,
};

use crate::support::{Client, Running, api, configuration};

fn connect(unit: &Running) -> UnixStream {
    connect_in(unit.directory.path())
}

fn connect_in(directory: &Path) -> UnixStream {
    let stream = UnixStream::connect(directory.join("u7.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Receives the next response, or `None` if the unit closed the connection.
fn receive(stream: &mut UnixStream) -> Option<Response> {
    let mut buffer = bytes::BytesMut::new();
    loop {
        if let Some(response) = frame::decode::<UnitResponse>(&mut buffer).unwrap() {
            return Some(response.response.unwrap());
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) | Err(_) => return None,
            Ok(_) => buffer.extend_from_slice(&byte),
        }
    }
}

fn send(stream: &mut UnixStream, generation: u64, command: Command) -> Response {
    let request = UnitRequest { generation, command: Some(command) };
    stream.write_all(&frame::encode(&request)).unwrap();
    receive(stream).expect("the unit responds")
}

/// A control connection that is open until the unit closes it.
pub struct Open(UnixStream);

impl Open {
    pub fn to(directory: &Path) -> Self {
        Self(connect_in(directory))
    }

    /// Waits until the unit has closed the connection.
    pub fn until_closed(mut self) {
        assert!(receive(&mut self.0).is_none());
    }

    pub fn state(&mut self) -> UnitState {
        let response = send(&mut self.0, 3, Command::Describe(DescribeUnit {}));
        let Response::Identity(identity) = response else { panic!("{response:?}") };
        identity.state()
    }
}

/// Configures the unit in `directory`.
pub fn configure(directory: &Path, configuration: GatewayConfiguration) -> Response {
    let command = ConfigureUnit { configuration: Some(configuration) };
    send(&mut connect_in(directory), 3, Command::Configure(command))
}

pub fn metrics(unit: &Running) -> UnitMetrics {
    let response = send(&mut connect(unit), 3, Command::ReadMetrics(ReadMetrics {}));
    let Response::Metrics(metrics) = response else { panic!("{response:?}") };
    metrics
}

pub fn identity(unit: &Running) -> UnitIdentity {
    let response = send(&mut connect(unit), 3, Command::Describe(DescribeUnit {}));
    let Response::Identity(identity) = response else { panic!("{response:?}") };
    identity
}

fn refusal(response: Response) -> UnitRefusal {
    let Response::Refusal(refusal) = response else { panic!("not a refusal: {response:?}") };
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_returns_its_identity() {
    let unit = Running::start();
    let identity = identity(&unit);
    assert_eq!(identity.cluster, "01932f5e-8b1a-7c3d-9e4f-0123456789ab");
    assert_eq!((identity.service.as_str(), identity.slot), ("contoso", 2));
    assert_eq!((identity.incarnation, identity.configuration_revision), (7, 9));
    assert_eq!(identity.address, unit.address.to_string());
    assert_eq!(identity.state(), UnitState::Serving);
    assert_eq!(identity.load.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_accepts_nothing_before_its_first_configuration() {
    let unit = Running::waiting();
    assert_eq!(identity(&unit).state(), UnitState::Waiting);
    assert_eq!(identity(&unit).configuration_revision, 0);
    // The kernel accepts the connection, which another unit on the same socket would serve.
    let mut client = Client::connect(unit.address).unwrap();
    client.send("GET /status-0123456789abcdef HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(client.stays_silent(Duration::from_millis(200)));
    unit.configure(configuration(1, Vec::new()));
    assert_eq!(client.receive().unwrap().status(), 200);
    assert_eq!(identity(&unit).state(), UnitState::Serving);
    unit.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_unit_can_be_stopped() {
    let unit = Running::waiting();
    assert!(matches!(
        send(&mut connect(&unit), 3, Command::Drain(DrainUnit {})),
        Response::Draining(_)
    ));
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_configuration_never_replaces_a_newer_one() {
    let unit = Running::start();
    let revision = |response| match response {
        Response::Configured(Configured { revision }) => revision,
        other => panic!("{other:?}"),
    };
    let apply = |revision| configure(unit.directory.path(), configuration(revision, Vec::new()));
    assert_eq!(revision(apply(8)), 9);
    assert_eq!(identity(&unit).configuration_revision, 9);
    assert_eq!(revision(apply(10)), 10);
    assert_eq!(identity(&unit).configuration_revision, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_leaves_the_previous_one_in_force() {
    let unit = Running::start();
    let invalid = configuration(10, vec![api("orders", "http://127.0.0.1:1".to_owned())]);
    let refused = refusal(configure(unit.directory.path(), invalid));
    assert_eq!(refused.reason(), UnitRefusalReason::InvalidConfiguration);
    assert!(refused.message.contains("must start with \"/\""), "{}", refused.message);
    let nothing = Command::Configure(ConfigureUnit { configuration: None });
    let refused = refusal(send(&mut connect(&unit), 3, nothing));
    assert_eq!(refused.reason(), UnitRefusalReason::InvalidConfiguration);
    assert_eq!(identity(&unit).configuration_revision, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_stale_agent_generation_are_refused() {
    let unit = Running::start();
    let mut old = connect(&unit);
    let mut new = connect(&unit);
    assert!(matches!(send(&mut old, 3, Command::Describe(DescribeUnit {})), Response::Identity(_)));
    assert!(matches!(send(&mut new, 4, Command::Describe(DescribeUnit {})), Response::Identity(_)));
    for command in [
        Command::Describe(DescribeUnit {}),
        Command::Drain(DrainUnit {}),
        Command::SendListener(SendListener {}),
    ] {
        let refused = refusal(send(&mut old, 3, command));
        assert_eq!(refused.reason(), UnitRefusalReason::StaleGeneration);
        assert_eq!(
            (refused.newest_generation, refused.message.as_str()),
            (4, "stale agent generation 3: the unit has seen 4")
        );
    }
    assert!(!unit.ended.is_finished());
    assert!(matches!(send(&mut new, 4, Command::Drain(DrainUnit {})), Response::Draining(_)));
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_command_is_refused_and_the_connection_stays_open() {
    let unit = Running::start();
    let mut stream = connect(&unit);
    // Generation 3 and an empty command with number 15.
    stream.write_all(&[4, 0x08, 3, 0x7a, 0]).unwrap();
    let refused = refusal(receive(&mut stream).unwrap());
    assert_eq!(refused.reason(), UnitRefusalReason::UnknownCommand);
    assert!(matches!(
        send(&mut stream, 3, Command::Describe(DescribeUnit {})),
        Response::Identity(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_frame_is_refused_and_the_connection_closed() {
    let unit = Running::start();
    let malformed: [&[u8]; 6] = [
        // An announced length of two gigabytes.
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        // A length that never ends.
        &[0xff; 64],
        // The right length, and a field whose wire type does not exist.
        &[2, 0x0f, 0x01],
        // A command whose inner length exceeds the frame.
        &[3, 0x12, 0x7f, 0x00],
        // HTTP on the wrong socket: an announced length of 71 bytes, which do not arrive.
        b"GET / HTTP/1.1\r\n\r\n",
        // Half a frame.
        &[9, 0x08],
    ];
    for bytes in malformed {
        let mut stream = connect(&unit);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let refused = refusal(receive(&mut stream).unwrap());
        assert_eq!(refused.reason(), UnitRefusalReason::Malformed, "{bytes:?}: {refused:?}");
        assert!(!refused.message.is_empty());
        assert!(receive(&mut stream).is_none(), "the connection stayed open");
    }
    let response = send(&mut connect(&unit), 3, Command::Describe(DescribeUnit {}));
    assert!(matches!(response, Response::Identity(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_over_the_limit_is_refused() {
    let unit = Running::waiting();
    let mut held: Vec<UnixStream> = (0..16).map(|_| connect(&unit)).collect();
    for stream in &mut held {
        send(stream, 3, Command::Describe(DescribeUnit {}));
    }
    let mut surplus = connect(&unit);
    let refused = refusal(receive(&mut surplus).unwrap());
    assert_eq!(refused.reason(), UnitRefusalReason::Busy);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_user_of_the_unit_can_connect_to_its_socket() {
    let unit = Running::start();
    let socket = std::fs::metadata(unit.directory.path().join("u7.sock")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
}
