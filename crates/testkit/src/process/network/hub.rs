//! An Ethernet hub between TAP devices: one thread that takes every frame and passes it on as the
//! rules say.

use std::io::PipeReader;
use std::io::PipeWriter;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::switch::Switch;
use super::tap::Tap;
use super::{Felt, Rule};

/// Bytes of the longest frame: interfaces have an MTU of 1,500.
const FRAME: usize = 2_048;
/// Frames taken from one device before it is the next one's turn.
const TURN: usize = 64;
/// Where the numbers of [`address`] stand in a frame, and what else there is before the payload.
const NUMBER: usize = 5;
const TYPE: usize = 12;
/// IPv4 and ARP. Nothing else passes: what kernels say by themselves is nothing that a fault may boast of.
const PASSES: [[u8; 2]; 2] = [[0x08, 0x00], [0x08, 0x06]];

/// The hub. It ends when it is dropped.
#[derive(Debug)]
pub struct Hub {
    switch: Arc<Mutex<Switch>>,
    /// Closed, it ends the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// The Ethernet address that the device of that number has to have.
pub fn address(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

impl Hub {
    /// Starts it between devices, each with its number.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start(ports: Vec<(u8, Tap)>, seed: u64) -> anyhow::Result<Self> {
        let switch = Arc::new(Mutex::new(Switch::new(seed)));
        let (stopped, stop) = std::io::pipe().context("a pipe")?;
        let shared = switch.clone();
        let thread = thread::Builder::new().name("hub".to_owned());
        let thread = thread.spawn(move || pass(&ports, &shared, &stopped)).context("a thread")?;
        Ok(Self { switch, stop: Some(stop), thread: Some(thread) })
    }

    pub fn set(&self, from: u8, to: u8, rule: Rule) {
        lock(&self.switch).set(from, to, rule);
    }

    pub fn heal(&self) {
        lock(&self.switch).heal();
    }

    pub fn felt(&self) -> Felt {
        lock(&self.switch).felt()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A thread that panicked has said so.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn pass(ports: &[(u8, Tap)], switch: &Mutex<Switch>, stopped: &PipeReader) {
    let mut frame = [0; FRAME];
    loop {
        let next = lock(switch).next();
        let wait = next.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = wait.map(|wait| Timespec::try_from(wait).expect("is short"));
        let mut polled: Vec<_> =
            ports.iter().map(|(_, tap)| PollFd::new(tap, PollFlags::IN)).collect();
        polled.push(PollFd::new(stopped, PollFlags::IN));
        let polling = retry_on_intr(|| poll(&mut polled, wait.as_ref()));
        polling.expect("descriptors that are open can be polled");
        if polled.last().is_some_and(|stopped| !stopped.revents().is_empty()) {
            return;
        }
        let mut switch = lock(switch);
        for (from, tap) in ports {
            for _ in 0..TURN {
                let Some(length) = tap.receive(&mut frame) else { break };
                take(&mut switch, *from, &frame[..length], ports);
            }
        }
        while let Some((to, frame)) = switch.due(Instant::now()) {
            let port = ports.iter().find(|(number, _)| *number == to);
            port.expect("the switch knows ports only").1.send(&frame);
        }
    }
}

/// Takes a frame for whom it is: by its number, or for all others.
fn take(switch: &mut Switch, from: u8, frame: &[u8], ports: &[(u8, Tap)]) {
    let passes = frame.get(TYPE..TYPE + 2).is_some_and(|kind| PASSES.iter().any(|it| it == kind));
    if !passes {
        return;
    }
    let for_all = frame[0] & 1 == 1;
    let others = ports.iter().map(|(number, _)| *number).filter(|to| *to != from);
    for to in others.filter(|to| for_all || frame[NUMBER] == *to) {
        switch.arrive(from, to, frame, Instant::now());
    }
}

fn lock(switch: &Mutex<Switch>) -> MutexGuard<'_, Switch> {
    switch.lock().expect("nobody panics with this lock")
}
