//! A backend that delays responses until the test releases them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Responds to each request with its path. A path that ends in `/slow` waits for the release.
pub struct Backend {
    pub address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    open: bool,
}

impl Backend {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate::default());
        let opened = Arc::clone(&gate);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || respond(&stream.unwrap(), &gate));
            }
        });
        Self { address, gate: opened }
    }

    /// Number of requests that wait for [`release`](Self::release).
    pub fn waiting(&self) -> usize {
        self.gate.state.lock().unwrap().waiting
    }

    /// Responds to slow requests from now on.
    pub fn release(&self) {
        self.gate.state.lock().unwrap().open = true;
        self.gate.changed.notify_all();
    }
}

/// Responds to one request and closes the connection. A client that is gone is not an error.
fn respond(mut stream: &TcpStream, gate: &Gate) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap();
    if path.ends_with("/slow") {
        let mut state = gate.state.lock().unwrap();
        state.waiting += 1;
        drop(gate.changed.wait_while(state, |state| !state.open).unwrap());
    }
    let length = path.len();
    let response =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{path}");
    if let Err(error) = stream.write_all(response.as_bytes()) {
        println!("the client is gone: {error}");
    }
}
