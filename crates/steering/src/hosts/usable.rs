//! Addresses that clients can connect to.

use std::net::{IpAddr, Ipv4Addr};

/// Verdict on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Any client can use it.
    Usable,
    /// Only clients of a private network can use it.
    Private,
    /// No client on another machine can use it, for this reason.
    Unusable(&'static str),
}

/// Returns the verdict on a canonical address.
pub(super) fn check(address: IpAddr, allow_loopback: bool) -> Verdict {
    if address.is_unspecified() {
        return Verdict::Unusable("an unspecified");
    }
    if address.is_loopback() {
        return if allow_loopback { Verdict::Usable } else { Verdict::Unusable("a loopback") };
    }
    if address.is_multicast() || address == Ipv4Addr::BROADCAST {
        return Verdict::Unusable("a multicast");
    }
    match address {
        IpAddr::V4(address) if address.is_link_local() => Verdict::Unusable("a link-local"),
        IpAddr::V6(address) if address.is_unicast_link_local() => Verdict::Unusable("a link-local"),
        // The rest of 0.0.0.0/8 is a source address only (RFC 6890).
        IpAddr::V4(address) if address.octets()[0] == 0 => Verdict::Unusable("an invalid"),
        IpAddr::V4(address) if address.is_private() || is_shared(address) => Verdict::Private,
        IpAddr::V6(address) if address.is_unique_local() => Verdict::Private,
        IpAddr::V4(_) | IpAddr::V6(_) => Verdict::Usable,
    }
}

/// Returns true for 100.64.0.0/10, which carriers use behind address translation (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}
