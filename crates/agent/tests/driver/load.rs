//! Callers that call all the time.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use meridian_agent::driver::Driver as _;
use meridian_domain::Incarnation;

use crate::support::{Kind, Machine, eventually, until_ready};

/// Who keeps connections for further calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Nobody,
    EveryOther,
}

/// Callers that call as fast as they can.
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub fn start(address: SocketAddr, callers: usize, keep: Keep) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let callers = (0..callers).map(|number| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let keeps = keep == Keep::EveryOther && number % 2 == 0;
                let mut failures = Vec::new();
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    match call(address, keeps, &mut kept) {
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
    pub async fn flow(&self) {
        let goal = self.answered.load(Ordering::Relaxed) + 200;
        eventually("calls are answered", || self.answered.load(Ordering::Relaxed) >= goal).await;
    }

    /// Ends the load, of which no call may have failed.
    pub fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            self.callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        let answered = self.answered.load(Ordering::Relaxed);
        println!("{answered} calls answered, {} lost", failures.len());
        assert!(failures.is_empty(), "{} of {answered} were lost: {failures:?}", failures.len());
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

/// One unit becomes four and one again, that many times, and no call fails.
pub async fn no_call_is_lost_over<K: Kind>(cycles: u64) {
    let machine = Machine::<K>::new();
    let driver = machine.driver(1).await;
    driver.start(machine.spec(1)).await.unwrap();
    until_ready(&driver, 1).await;
    let load = Load::start(machine.address(), 6, Keep::EveryOther);
    for cycle in 0..cycles {
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
    load.end();
    machine.tidy(&driver).await;
}
