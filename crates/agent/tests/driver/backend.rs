//! A backend that answers when the test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Answers each call with its path; one whose path ends in `/slow` only once it may.
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
                std::thread::spawn(move || answer(&stream.unwrap(), &gate));
            }
        });
        Self { address, gate: opened }
    }

    /// How many calls wait for [`release`](Self::release).
    pub fn waiting(&self) -> usize {
        self.gate.state.lock().unwrap().waiting
    }

    /// Answers the slow calls from now on.
    pub fn release(&self) {
        self.gate.state.lock().unwrap().open = true;
        self.gate.changed.notify_all();
    }
}

/// Answers one call, and ends the connection. A peer that is gone is no failure of the backend.
fn answer(mut stream: &TcpStream, gate: &Gate) {
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
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{path}");
    if let Err(error) = stream.write_all(answer.as_bytes()) {
        println!("a caller is gone: {error}");
    }
}
