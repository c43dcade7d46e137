//! Loopback addresses that nobody else uses.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;
use uuid::Uuid;

use super::port;

/// The address of a range that marks it as taken; agents have those below.
const CLAIM: u8 = 250;
/// Draws before giving up: there are 16,384 ranges, and a few tests.
const DRAWS: usize = 100;

/// The addresses 127.x.y.1 to 127.x.y.249. They are another's once this is dropped, or the process
/// has ended in any way: what holds them is a listening socket.
#[derive(Debug)]
pub struct Addresses {
    base: Ipv4Addr,
    _claim: TcpListener,
}

impl Addresses {
    /// Draws a range that no other test holds. `meridian dev` by itself is in 127.0.1.0, which is
    /// never drawn.
    ///
    /// # Errors
    /// If none is found free.
    pub fn draw() -> anyhow::Result<Self> {
        for _ in 0..DRAWS {
            let [high, low, ..] = Uuid::new_v4().into_bytes();
            let base = Ipv4Addr::new(127, 64 + high % 64, low, 0);
            let [a, b, c, _] = base.octets();
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(a, b, c, CLAIM), port::CLIENT)) {
                return Ok(Self { base, _claim: claim });
            }
        }
        bail!("no range of loopback addresses is free");
    }

    /// The address before the first one.
    #[must_use]
    pub fn base(&self) -> Ipv4Addr {
        self.base
    }

    /// The address of that number, from 1.
    #[must_use]
    pub fn number(&self, number: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.base.octets();
        Ipv4Addr::new(a, b, c, number)
    }
}
