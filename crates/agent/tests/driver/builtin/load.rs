//! No call is lost while units come and go.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian_agent::driver::Driver as _;
use meridian_domain::Incarnation;

use super::Machine;
use crate::support::until_ready;

/// Callers that call as fast as they can; half of them keep their connections.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: SocketAddr, callers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let callers = (0..callers).map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    match call(address, number % 2 == 0, &mut kept) {
                        Ok(()) => {
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                failures
            })
        });
        Self { callers: callers.collect(), stop, answered }
    }

    /// Waits until some more calls were answered.
    async fn flow(&self) {
        let goal = self.answered.load(Ordering::Relaxed) + 200;
        crate::support::eventually("calls are answered", || {
            self.answered.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// Ends the load: how many calls were answered, and what went wrong with the others.
    fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        (self.answered.load(Ordering::Relaxed), failures)
    }
}

type Kept = Option<BufReader<TcpStream>>;

/// One call; the connection is kept if both sides want that.
fn call(address: SocketAddr, keep: bool, kept: &mut Kept) -> std::io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(address)?),
    };
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(10)))?;
    let wish = if keep { "keep-alive" } else { "close" };
    let request = format!(
        "GET /status-0123456789abcdef HTTP/1.1\r\nHost: test\r\nConnection: {wish}\r\n\r\n"
    );
    stream.get_mut().write_all(request.as_bytes())?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or_default()];
    stream.read_exact(&mut body)?;
    if !head.starts_with("http/1.1 200 ") {
        return Err(std::io::Error::other(head));
    }
    if keep && !head.contains("connection: close\r\n") {
        *kept = Some(stream);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_lost_while_units_are_started_and_stopped() {
    let machine = Machine::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    let load = Load::start(machine.address(), 6);
    for cycle in 0..5 {
        let first = 1 + cycle * 3;
        for incarnation in first + 1..=first + 3 {
            driver.start(machine.spec(incarnation)).await.unwrap();
        }
        until_ready(&driver, 4).await;
        load.flow().await;
        for incarnation in first..first + 3 {
            driver.stop(Incarnation(incarnation)).await.unwrap();
        }
        until_ready(&driver, 1).await;
        load.flow().await;
    }
    let (answered, failures) = load.end();
    println!("{answered} calls answered, {} lost", failures.len());
    assert!(failures.is_empty(), "{} of {answered} were lost: {failures:?}", failures.len());
    machine.tidy(&driver).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_lost_while_the_agent_dies_and_comes_back() {
    let machine = Machine::new();
    let mut agent = machine.agent(2);
    crate::support::eventually("both units answer", || {
        crate::support::call(machine.address()).is_ok() && machine.processes().len() == 2
    })
    .await;
    let load = Load::start(machine.address(), 6);
    load.flow().await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    load.flow().await;
    let driver = machine.driver(2).await;
    until_ready(&driver, 2).await;
    for incarnation in [3, 4] {
        driver.start(machine.spec(incarnation)).await.unwrap();
    }
    until_ready(&driver, 4).await;
    for incarnation in [1, 2] {
        driver.stop(Incarnation(incarnation)).await.unwrap();
    }
    until_ready(&driver, 2).await;
    load.flow().await;
    let (answered, failures) = load.end();
    println!("{answered} calls answered, {} lost", failures.len());
    assert!(failures.is_empty(), "{} of {answered} were lost: {failures:?}", failures.len());
    machine.tidy(&driver).await;
}
