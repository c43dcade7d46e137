//! An Ethernet hub between TAP devices: one thread that receives every frame and forwards it
//! according to the rules.

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
use super::{Counters, Rule};

/// Maximum frame length in bytes; interfaces have an MTU of 1,500.
const FRAME: usize = 2_048;
/// Maximum number of frames read from one device before the next device is served.
const BATCH: usize = 64;
/// Offsets in a frame: the last byte of the destination [`address`], and the EtherType.
const NUMBER: usize = 5;
const TYPE: usize = 12;
/// IPv4 and ARP. Other frames, which kernels send on their own, are dropped, so that they do not
/// count as effects of a fault.
const FORWARDED: [[u8; 2]; 2] = [[0x08, 0x00], [0x08, 0x06]];

/// The hub. Its thread stops when this is dropped.
#[derive(Debug)]
pub struct Hub {
    switch: Arc<Mutex<Switch>>,
    /// Closing the pipe stops the thread.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Returns the Ethernet address of the device with the given number.
pub fn address(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

impl Hub {
    /// Starts the hub between numbered devices.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(ports: Vec<(u8, Tap)>, seed: u64) -> anyhow::Result<Self> {
        let switch = Arc::new(Mutex::new(Switch::new(seed)));
        let (stopped, stop) = std::io::pipe().context("cannot create a pipe")?;
        let shared = switch.clone();
        let thread = thread::Builder::new().name("hub".to_owned());
        let thread = thread
            .spawn(move || forward(&ports, &shared, &stopped))
            .context("cannot start the hub thread")?;
        Ok(Self { switch, stop: Some(stop), thread: Some(thread) })
    }

    pub fn set(&self, from: u8, to: u8, rule: Rule) {
        lock(&self.switch).set(from, to, rule);
    }

    pub fn heal(&self) {
        lock(&self.switch).heal();
    }

    pub fn counters(&self) -> Counters {
        lock(&self.switch).counters()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the thread was already printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn forward(ports: &[(u8, Tap)], switch: &Mutex<Switch>, stopped: &PipeReader) {
    let mut frame = [0; FRAME];
    loop {
        let next = lock(switch).next();
        let wait = next.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = wait.map(|wait| Timespec::try_from(wait).expect("delays are short"));
        let mut polled: Vec<_> =
            ports.iter().map(|(_, tap)| PollFd::new(tap, PollFlags::IN)).collect();
        polled.push(PollFd::new(stopped, PollFlags::IN));
        let polling = retry_on_intr(|| poll(&mut polled, wait.as_ref()));
        polling.expect("open descriptors can be polled");
        if polled.last().is_some_and(|stopped| !stopped.revents().is_empty()) {
            return;
        }
        let mut switch = lock(switch);
        for (from, tap) in ports {
            for _ in 0..BATCH {
                let Some(length) = tap.receive(&mut frame) else { break };
                enqueue(&mut switch, *from, &frame[..length], ports);
            }
        }
        while let Some((to, frame)) = switch.due(Instant::now()) {
            let port = ports.iter().find(|(number, _)| *number == to);
            port.expect("the switch only knows existing ports").1.send(&frame);
        }
    }
}

/// Queues a frame for its receivers: the destination, or all other devices for a broadcast.
fn enqueue(switch: &mut Switch, from: u8, frame: &[u8], ports: &[(u8, Tap)]) {
    let passes =
        frame.get(TYPE..TYPE + 2).is_some_and(|kind| FORWARDED.iter().any(|it| it == kind));
    if !passes {
        return;
    }
    let broadcast = frame[0] & 1 == 1;
    let others = ports.iter().map(|(number, _)| *number).filter(|to| *to != from);
    for to in others.filter(|to| broadcast || frame[NUMBER] == *to) {
        switch.arrive(from, to, frame, Instant::now());
    }
}

fn lock(switch: &Mutex<Switch>) -> MutexGuard<'_, Switch> {
    switch.lock().expect("no thread panics while holding the lock")
}
