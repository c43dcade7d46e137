//! Loopback addresses that are private to a test.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::bail;
use uuid::Uuid;

use super::port;

/// Host part of the address whose listener claims a range; agents use lower ones.
const CLAIM: u8 = 250;
/// Maximum number of attempts to draw a range; there are 16,384 ranges and few concurrent tests.
const DRAWS: usize = 100;

/// The range 127.x.y.1 to 127.x.y.249. A listening socket claims it, so the range is free again
/// once this is dropped or the process ends for any reason.
#[derive(Debug)]
pub struct Addresses {
    base: Ipv4Addr,
    _claim: TcpListener,
}

impl Addresses {
    /// Claims a random range that no other test holds. Never claims 127.0.1.0, the default of
    /// `meridian dev`.
    ///
    /// # Errors
    /// If no free range is found.
    pub fn draw() -> anyhow::Result<Self> {
        for _ in 0..DRAWS {
            let [high, low, ..] = Uuid::new_v4().into_bytes();
            let base = Ipv4Addr::new(127, 64 + high % 64, low, 0);
            let [a, b, c, _] = base.octets();
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::new(a, b, c, CLAIM), port::CLIENT)) {
                return Ok(Self { base, _claim: claim });
            }
        }
        bail!("no free range of loopback addresses");
    }

    /// Returns the base address of the range; agent addresses follow it.
    #[must_use]
    pub fn base(&self) -> Ipv4Addr {
        self.base
    }

    /// Returns the address with the given number, from 1.
    #[must_use]
    pub fn number(&self, number: u8) -> Ipv4Addr {
        let [a, b, c, _] = self.base.octets();
        Ipv4Addr::new(a, b, c, number)
    }
}
