//! Limits the UDP responses to a network, so that forged queries cannot direct many responses to a
//! victim. Real clients of a network above the limit receive truncated responses and retry over TCP,
//! where addresses cannot be forged.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use meridian_domain::routing::client_network;

/// Number of counters, 512 kB in all. Two networks rarely share one, and an attacker cannot choose
/// networks that do, because the hash function is keyed.
const COUNTERS: usize = 65_536;
/// Responses in a burst, as seconds of the limit.
const BURST_SECONDS: u64 = 1;
/// One in this many responses above the limit is sent truncated, as by default in other servers.
const SLIP: u64 = 2;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Verdict on a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Within the limit.
    Send,
    /// Above the limit, to be sent without records.
    Truncate,
    /// Above the limit.
    Drop,
}

/// The generic cell rate algorithm (ITU-T I.371) for each network: a counter is the time in
/// nanoseconds at which the responses so far would have been sent at the limit.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    /// Time between two responses at the limit; 0 without a limit.
    interval: u64,
    counters: Box<[AtomicU64]>,
    hasher: RandomState,
    limited: AtomicU64,
}

impl RateLimiter {
    /// Creates a limiter to this number of responses per second and network; 0 for no limit.
    pub(crate) fn new(responses_per_second: u32) -> Self {
        let counters = if responses_per_second == 0 { 0 } else { COUNTERS };
        Self {
            interval: NANOS_PER_SECOND.checked_div(responses_per_second.into()).unwrap_or(0),
            counters: (0..counters).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            limited: AtomicU64::new(0),
        }
    }

    /// Counts a response to an address at a time in nanoseconds since the start.
    pub(crate) fn admit(&self, address: IpAddr, now: u64) -> Admission {
        if self.interval == 0 {
            return Admission::Send;
        }
        let hash = self.hasher.hash_one(client_network(address));
        let counter = &self.counters[hash as usize % COUNTERS];
        let latest = now + BURST_SECONDS * NANOS_PER_SECOND;
        let counted = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |sent| {
            let sent = sent.max(now) + self.interval;
            (sent <= latest).then_some(sent)
        });
        match counted {
            Ok(_) => Admission::Send,
            Err(_) if self.limited.fetch_add(1, Ordering::Relaxed).is_multiple_of(SLIP) => {
                Admission::Truncate
            }
            Err(_) => Admission::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MILLISECOND: u64 = NANOS_PER_SECOND / 1_000;
    /// Start of the attack: a quiet time earns no further responses.
    const START: u64 = 3_600 * NANOS_PER_SECOND;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    /// Sends queries every millisecond for a minute, from all addresses of a network.
    fn attack(limiter: &RateLimiter) -> Vec<Admission> {
        let at = |number: u64| (address(number as u8), START + number * MILLISECOND);
        let admit = |(address, now)| limiter.admit(address, now);
        (0..60_000).map(at).map(admit).collect()
    }

    #[test]
    fn a_minute_of_forged_queries_causes_no_more_responses_than_the_limit() {
        let admitted = attack(&RateLimiter::new(100));
        let count = |wanted| admitted.iter().filter(|admission| **admission == wanted).count();
        // One second of burst, and the limit of each second.
        assert_eq!(count(Admission::Send), 100 + 60 * 100 - 1);
        let limited = 60_000 - count(Admission::Send);
        assert_eq!(count(Admission::Truncate), limited.div_ceil(2));
        assert_eq!(count(Admission::Drop), limited / 2);
    }

    #[test]
    fn other_networks_are_not_limited() {
        let limiter = RateLimiter::new(100);
        let _ = attack(&limiter);
        let other = IpAddr::from(Ipv4Addr::new(198, 51, 100, 1));
        assert_eq!(limiter.admit(other, START + 60_000 * MILLISECOND), Admission::Send);
    }

    #[test]
    fn a_network_is_served_again_once_the_attack_is_over() {
        let limiter = RateLimiter::new(100);
        let _ = attack(&limiter);
        assert_eq!(limiter.admit(address(1), START + 62_000 * MILLISECOND), Admission::Send);
    }

    #[test]
    fn without_a_limit_every_response_is_sent() {
        assert!(attack(&RateLimiter::new(0)).iter().all(|it| *it == Admission::Send));
    }
}
