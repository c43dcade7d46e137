//! Clients that send requests continuously.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian_agent::driver::Driver as _;
use meridian_domain::Incarnation;

use crate::support::{Kind, Machine, eventually, until_ready};

/// Connection reuse of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    None,
    EveryOther,
}

/// Clients that send requests as fast as they can.
pub struct Load {
    stop: Arc<AtomicBool>,
    completed: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(address: SocketAddr, clients: usize, keep_alive: KeepAlive) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let completed = Arc::new(AtomicU64::new(0));
        let clients = (0..clients).map(|number| {
            let (stop, completed) = (Arc::clone(&stop), Arc::clone(&completed));
            std::thread::spawn(move || {
                let reuses = keep_alive == KeepAlive::EveryOther && number % 2 == 0;
                let mut failures = Vec::new();
                let mut idle = None;
                while !stop.load(Ordering::Relaxed) {
                    match request(address, reuses, &mut idle) {
                        Ok(()) => {
                            completed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                failures
            })
        });
        Self { clients: clients.collect(), stop, completed }
    }

    /// Waits until 200 more requests have completed.
    pub async fn wait_for_progress(&self) {
        let goal = self.completed.load(Ordering::Relaxed) + 200;
        eventually("requests complete", || self.completed.load(Ordering::Relaxed) >= goal).await;
    }

    /// Stops the clients. Panics if a request has failed.
    pub fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        let completed = self.completed.load(Ordering::Relaxed);
        println!("{completed} requests completed, {} lost", failures.len());
        assert!(failures.is_empty(), "{} of {completed} lost: {failures:?}", failures.len());
    }
}

type Idle = Option<BufReader<TcpStream>>;

/// Sends one request. The connection stays open for the next one if both sides agree.
fn request(address: SocketAddr, keep_alive: bool, idle: &mut Idle) -> std::io::Result<()> {
    let mut stream = match idle.take() {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(address)?),
    };
    stream.get_ref().set_read_timeout(Some(Duration::from_secs(10)))?;
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let request = format!(
        "GET /status-0123456789abcdef HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n"
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
    if keep_alive && !head.contains("connection: close\r\n") {
        *idle = Some(stream);
    }
    Ok(())
}

/// Scales from one unit to four and back `cycles` times. No request may fail.
pub async fn no_request_is_lost_over<K: Kind>(cycles: u64) {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    let load = Load::start(machine.address(), 6, KeepAlive::EveryOther);
    for cycle in 0..cycles {
        let first = 1 + cycle * 3;
        for incarnation in first + 1..=first + 3 {
            driver.start(machine.spec(incarnation)).await.unwrap();
        }
        until_ready(&driver, 4).await;
        load.wait_for_progress().await;
        for incarnation in first..first + 3 {
            driver.stop(Incarnation(incarnation)).await.unwrap();
        }
        until_ready(&driver, 1).await;
        load.wait_for_progress().await;
    }
    load.finish();
    machine.tidy(&driver).await;
}
