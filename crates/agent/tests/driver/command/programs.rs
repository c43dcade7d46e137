//! Tests with a program that knows nothing about Meridian: this test program.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use meridian_agent::driver::command::{
    ConfigFileTemplate, ListenerSource, Probe, Reload, SignalName,
};
use meridian_agent::driver::{
    Builtin, BuiltinConfig, CommandTemplate, Driver as _, ExitStatus, Program, RunningUnit,
    Traffic, UnitLimits,
};
use meridian_domain::{Generation, Incarnation, Revision};

use super::{Machine, open};
use crate::support::{
    GATEWAY, Variant, arguments, configuration, get, until, until_exited, until_ready,
};

/// A program that opens its port itself, and responds with what it was given: its arguments, its
/// environment, and its configuration file.
pub fn program() -> CommandTemplate {
    let arguments = [
        "--exact",
        "program_process",
        "--nocapture",
        "--",
        "{listen}",
        "{configuration_file}",
        "{service}/{region}/{slot}; $(touch x) && \"'\\ {",
    ];
    CommandTemplate {
        program: std::env::current_exe().unwrap(),
        arguments: arguments.map(str::to_owned).to_vec(),
        environment: [("UNIT".to_owned(), "{incarnation}".to_owned())].into(),
        listener: ListenerSource::Own,
        configuration: Some(ConfigFileTemplate::Text {
            text: "revision {revision}, {enabled}: {apis}".to_owned(),
            api: "<{api_name} {api_path} {api_backend}>".to_owned(),
        }),
        check: None,
        reload: None,
        ready: Probe { http: Some("/ready".to_owned()), ..Probe::default() },
        stop_signal: SignalName::Term,
        ..CommandTemplate::nginx()
    }
}

/// Runs the program if this test program was started as one.
pub fn become_program() {
    let arguments = arguments();
    let [listen, configuration, ..] = &arguments[..] else { return };
    let address: SocketAddr = listen.parse().unwrap();
    let socket =
        socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
            .unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(16).unwrap();
    for stream in TcpListener::from(socket).incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 1024];
        let Ok(1..) = stream.read(&mut request) else { continue };
        let variables: Vec<(String, String)> = std::env::vars().collect();
        let file = std::fs::read_to_string(configuration).unwrap();
        let body = serde_json::json!([arguments, variables, file]).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
        if write!(stream, "{head}Connection: close\r\n\r\n{body}").is_err() {
            println!("the client is gone");
        }
    }
}

/// Requests what the program was given: arguments, environment, and configuration file.
fn given(address: SocketAddr) -> (Vec<String>, Vec<(String, String)>, String) {
    serde_json::from_str(&get(address, "/").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_what_its_template_defines_and_nothing_else() {
    let machine = Machine::new();
    let backend = "127.0.0.1:9".parse().unwrap();
    let driver = open(&machine.run(), 1, Variant::Usual, program()).await;
    let mut spec = machine.spec(7);
    spec.configuration = Arc::new(configuration(9, &[("/orders", backend)]));
    driver.start(spec).await.unwrap();
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].configuration, Revision(9));
    let (arguments, environment, file) = given(machine.address());
    let configuration: PathBuf = machine.run().join("u7.d").join("configuration");
    assert_eq!(arguments[0], machine.address().to_string());
    assert_eq!(arguments[1], configuration.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(arguments[2], "contoso/westeurope/7; $(touch x) && \"'\\ {");
    assert_eq!(arguments.len(), 3);
    assert_eq!(environment, [("UNIT".to_owned(), "7".to_owned())]);
    assert_eq!(file, "revision 9, true: <orders /orders http://127.0.0.1:9/backend>");

    // The program shares its port, so a second one can listen on it, too.
    driver.start(machine.spec(8)).await.unwrap();
    until_ready(&driver, 2).await;
    machine.tidy(&driver).await;
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reloads_by_a_command_or_keeps_its_configuration() {
    let machine = Machine::new();
    let mut template = program();
    let reload = ["/bin/cp", "{configuration_file}", "{directory}/reloaded"];
    template.reload = Some(Reload::Command(reload.map(str::to_owned).to_vec()));
    let driver = open(&machine.run(), 1, Variant::Usual, template).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    driver.configure(Incarnation(7), Arc::new(configuration(10, &[]))).await.unwrap();
    let configured = |units: &[RunningUnit]| units[0].configuration == Revision(10);
    until(&driver, "the configuration is served", configured).await;
    let reloaded = machine.run().join("u7.d").join("reloaded");
    assert_eq!(std::fs::read_to_string(reloaded).unwrap(), "revision 10, true: ");
    drop(driver);

    let driver = open(&machine.run(), 2, Variant::Usual, program()).await;
    let units = until_ready(&driver, 1).await;
    assert_eq!(units[0].configuration, Revision(10));
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_closed_its_lock_does_not_become_ready() {
    let machine = Machine::new();
    let mut template = program();
    let script = "exec \"$0\" \"$@\" </dev/null";
    let shell = ["-c".to_owned(), script.to_owned(), template.program.display().to_string()];
    template.arguments = shell.into_iter().chain(template.arguments).collect();
    template.program = "/bin/sh".into();
    let driver = open(&machine.run(), 1, Variant::Usual, template).await;
    driver.start(machine.spec(7)).await.unwrap();
    assert_eq!(until_exited(&driver).await.status, ExitStatus::StartTimeout);
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_matches_no_template_is_not_started() {
    let machine = Machine::new();
    let template = CommandTemplate { service: Some("fabrikam".parse().unwrap()), ..program() };
    let driver = open(&machine.run(), 1, Variant::Usual, template).await;
    let error = driver.start(machine.spec(7)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no template matches contoso/westeurope/7: add a [[template]] for its service or region, \
         or one for all"
    );
    assert_eq!(machine.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_does_not_open_while_a_unit_of_another_driver_runs() {
    let machine = Machine::new();
    let driver = open(&machine.run(), 1, Variant::Usual, program()).await;
    driver.start(machine.spec(7)).await.unwrap();
    until_ready(&driver, 1).await;
    let builtin = BuiltinConfig {
        cluster: Variant::Usual.cluster(),
        agent: Variant::agent(),
        generation: Generation(2),
        directory: machine.run(),
        gateway: GATEWAY,
        program: Program::default(),
        limits: UnitLimits::default(),
        traffic: Traffic::default(),
        user: None,
        drain_timeout: BuiltinConfig::DRAIN_TIMEOUT,
    };
    let error = Builtin::open(builtin.clone()).await.unwrap_err();
    assert!(error.source.to_string().contains("started by driver command"), "{}", error.source);
    machine.tidy(&driver).await;
    assert_eq!(Builtin::open(builtin).await.unwrap().list().await.unwrap(), []);
}
