use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use meridian_proto::frame;
use meridian_proto::v1::unit_request::Command;
use meridian_proto::v1::unit_response::Answer;
use meridian_proto::v1::{
    ConfigureUnit, Configured, DescribeUnit, DrainUnit, GatewayConfiguration, HandOverListener,
    ReadMetrics, UnitIdentity, UnitMetrics, UnitRefusal, UnitRefusalReason, UnitRequest,
    UnitResponse, UnitState,
};

use crate::support::{Caller, Running, api, configuration};

fn connect(unit: &Running) -> UnixStream {
    connect_in(unit.directory.path())
}

fn connect_in(directory: &Path) -> UnixStream {
    let stream = UnixStream::connect(directory.join("u7.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// The next answer; `None` if the unit closed the connection instead.
fn receive(stream: &mut UnixStream) -> Option<Answer> {
    let mut buffer = bytes::BytesMut::new();
    loop {
        if let Some(response) = frame::decode::<UnitResponse>(&mut buffer).unwrap() {
            return Some(response.answer.unwrap());
        }
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) | Err(_) => return None,
            Ok(_) => buffer.extend_from_slice(&byte),
        }
    }
}

fn call(stream: &mut UnixStream, generation: u64, command: Command) -> Answer {
    let request = UnitRequest { generation, command: Some(command) };
    stream.write_all(&frame::encode(&request)).unwrap();
    receive(stream).expect("the unit answers")
}

/// Tells the unit in `directory` what to serve.
pub fn configure(directory: &Path, configuration: GatewayConfiguration) -> Answer {
    let command = ConfigureUnit { configuration: Some(configuration) };
    call(&mut connect_in(directory), 3, Command::Configure(command))
}

pub fn metrics(unit: &Running) -> UnitMetrics {
    let answer = call(&mut connect(unit), 3, Command::ReadMetrics(ReadMetrics {}));
    let Answer::Metrics(metrics) = answer else { panic!("{answer:?}") };
    metrics
}

pub fn identity(unit: &Running) -> UnitIdentity {
    let answer = call(&mut connect(unit), 3, Command::Describe(DescribeUnit {}));
    let Answer::Identity(identity) = answer else { panic!("{answer:?}") };
    identity
}

fn refusal(answer: Answer) -> UnitRefusal {
    let Answer::Refusal(refusal) = answer else { panic!("{answer:?} is no refusal") };
    refusal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_says_who_it_is() {
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
    // The system takes the connection, which another unit would accept.
    let mut caller = Caller::connect(unit.address).unwrap();
    caller.send("GET /status-0123456789abcdef HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert!(caller.stays_silent(Duration::from_millis(200)));
    unit.configure(configuration(1, Vec::new()));
    assert_eq!(caller.receive().unwrap().status(), 200);
    assert_eq!(identity(&unit).state(), UnitState::Serving);
    unit.shut_down().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_unit_can_be_stopped() {
    let unit = Running::waiting();
    assert!(matches!(
        call(&mut connect(&unit), 3, Command::Drain(DrainUnit {})),
        Answer::Draining(_)
    ));
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_configuration_never_replaces_a_newer_one() {
    let unit = Running::start();
    let revision = |answer| match answer {
        Answer::Configured(Configured { revision }) => revision,
        other => panic!("{other:?}"),
    };
    let give = |revision| configure(unit.directory.path(), configuration(revision, Vec::new()));
    assert_eq!(revision(give(8)), 9);
    assert_eq!(identity(&unit).configuration_revision, 9);
    assert_eq!(revision(give(10)), 10);
    assert_eq!(identity(&unit).configuration_revision, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_breaks_a_rule_leaves_the_one_before_in_force() {
    let unit = Running::start();
    let broken = configuration(10, vec![api("orders", "http://127.0.0.1:1".to_owned())]);
    let refused = refusal(configure(unit.directory.path(), broken));
    assert_eq!(refused.reason(), UnitRefusalReason::InvalidConfiguration);
    assert!(refused.message.contains("must start with \"/\""), "{}", refused.message);
    let nothing = Command::Configure(ConfigureUnit { configuration: None });
    let refused = refusal(call(&mut connect(&unit), 3, nothing));
    assert_eq!(refused.reason(), UnitRefusalReason::InvalidConfiguration);
    assert_eq!(identity(&unit).configuration_revision, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_life_of_the_agent_asks_is_refused() {
    let unit = Running::start();
    let mut old = connect(&unit);
    let mut new = connect(&unit);
    assert!(matches!(call(&mut old, 3, Command::Describe(DescribeUnit {})), Answer::Identity(_)));
    assert!(matches!(call(&mut new, 4, Command::Describe(DescribeUnit {})), Answer::Identity(_)));
    for command in [
        Command::Describe(DescribeUnit {}),
        Command::Drain(DrainUnit {}),
        Command::HandOverListener(HandOverListener {}),
    ] {
        let refused = refusal(call(&mut old, 3, command));
        assert_eq!(refused.reason(), UnitRefusalReason::StaleGeneration);
        assert_eq!(
            (refused.newest_generation, refused.message.as_str()),
            (4, "generation 3 is older than 4")
        );
    }
    assert!(!unit.ended.is_finished());
    assert!(matches!(call(&mut new, 4, Command::Drain(DrainUnit {})), Answer::Draining(_)));
    unit.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_from_the_future_is_refused_and_the_connection_stays() {
    let unit = Running::start();
    let mut stream = connect(&unit);
    // Generation 3 and a command number 15, empty.
    stream.write_all(&[4, 0x08, 3, 0x7a, 0]).unwrap();
    let refused = refusal(receive(&mut stream).unwrap());
    assert_eq!(refused.reason(), UnitRefusalReason::UnknownCommand);
    assert!(matches!(
        call(&mut stream, 3, Command::Describe(DescribeUnit {})),
        Answer::Identity(_)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_frame_is_answered_by_a_refusal_and_the_end() {
    let unit = Running::start();
    let corrupt: [&[u8]; 6] = [
        // Two gigabytes are announced.
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        // A length that never ends.
        &[0xff; 64],
        // The right length, and a field whose wire type does not exist.
        &[2, 0x0f, 0x01],
        // A command whose inner length leads out of the frame.
        &[3, 0x12, 0x7f, 0x00],
        // HTTP on the wrong socket: 71 bytes are announced, and do not come.
        b"GET / HTTP/1.1\r\n\r\n",
        // Half a frame.
        &[9, 0x08],
    ];
    for bytes in corrupt {
        let mut stream = connect(&unit);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let refused = refusal(receive(&mut stream).unwrap());
        assert_eq!(refused.reason(), UnitRefusalReason::Malformed, "{bytes:?}: {refused:?}");
        assert!(!refused.message.is_empty());
        assert!(receive(&mut stream).is_none(), "the connection stayed open");
    }
    let answer = call(&mut connect(&unit), 3, Command::Describe(DescribeUnit {}));
    assert!(matches!(answer, Answer::Identity(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so() {
    let unit = Running::waiting();
    let mut held: Vec<UnixStream> = (0..16).map(|_| connect(&unit)).collect();
    for stream in &mut held {
        call(stream, 3, Command::Describe(DescribeUnit {}));
    }
    let mut surplus = connect(&unit);
    let refused = refusal(receive(&mut surplus).unwrap());
    assert_eq!(refused.reason(), UnitRefusalReason::Busy);
}
