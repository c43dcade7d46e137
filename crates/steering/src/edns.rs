//! Options of a query: maximum size of the response (RFC 6891) and network of the client (RFC 7871).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;

/// Code of the client subnet option.
pub(crate) const CLIENT_SUBNET: u16 = 8;

const DNSSEC_OK: u32 = 1 << 15;
const FAMILY_NONE: u16 = 0;
const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;

/// The OPT record of a query.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Edns {
    /// Maximum size in bytes of a UDP response that the client accepts.
    pub(crate) udp_size: u16,
    /// Repeated in the response (RFC 3225).
    pub(crate) dnssec_ok: bool,
    pub(crate) subnet: Option<ClientSubnet>,
}

/// Network of the client that a resolver queries for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientSubnet {
    pub(crate) family: u16,
    /// Length of the prefix in bits; 0 if the resolver discloses nothing.
    pub(crate) source: u8,
    address: [u8; 16],
}

impl ClientSubnet {
    /// Returns the address with zeros after the prefix, unless nothing was disclosed.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self.family {
            _ if self.source == 0 => None,
            FAMILY_IPV4 => {
                let [a, b, c, d, ..] = self.address;
                Some(Ipv4Addr::new(a, b, c, d).into())
            }
            _ => Some(Ipv6Addr::from(self.address).into()),
        }
    }

    /// Returns the bytes of the address that the option contains.
    pub(crate) fn address_bytes(&self) -> &[u8] {
        &self.address[..usize::from(self.source.div_ceil(8))]
    }
}

/// Parses an OPT record. If it is rejected, the response still has the returned options, so that
/// resolvers do not take this server for one without EDNS.
pub(crate) fn parse(class: u16, ttl: u32, data: &[u8]) -> (Edns, Result<(), ResponseCode>) {
    let mut edns = Edns { udp_size: class, dnssec_ok: ttl & DNSSEC_OK != 0, subnet: None };
    let version = (ttl >> 16) as u8;
    if version != 0 {
        return (edns, Err(ResponseCode::BADVERS));
    }
    let parsed = parse_options(data, &mut edns).ok_or(ResponseCode::FormErr);
    (edns, parsed)
}

fn parse_options(mut data: &[u8], edns: &mut Edns) -> Option<()> {
    while !data.is_empty() {
        let (header, rest) = data.split_first_chunk::<4>()?;
        let code = u16::from_be_bytes([header[0], header[1]]);
        let length = u16::from_be_bytes([header[2], header[3]]);
        let (option, rest) = rest.split_at_checked(length.into())?;
        if code == CLIENT_SUBNET {
            let is_first = edns.subnet.is_none();
            edns.subnet = Some(parse_subnet(option).filter(|_| is_first)?);
        }
        data = rest;
    }
    Some(())
}

/// Parses a client subnet. Returns `None` for one with another length than its prefix, with bits
/// after the prefix, or with a scope, which only responses have (RFC 7871, section 7.1.2).
fn parse_subnet(option: &[u8]) -> Option<ClientSubnet> {
    let ([family_high, family_low, source, scope], prefix) = option.split_first_chunk()?;
    let family = u16::from_be_bytes([*family_high, *family_low]);
    let longest = match family {
        // As some clients disclose nothing.
        FAMILY_NONE => 0,
        FAMILY_IPV4 => 32,
        FAMILY_IPV6 => 128,
        _ => return None,
    };
    if *source > longest || *scope != 0 || prefix.len() != usize::from(source.div_ceil(8)) {
        return None;
    }
    let trailing_bits = prefix.len() * 8 - usize::from(*source);
    if prefix.last().is_some_and(|last| u32::from(*last) & ((1 << trailing_bits) - 1) != 0) {
        return None;
    }
    let mut address = [0; 16];
    address[..prefix.len()].copy_from_slice(prefix);
    Some(ClientSubnet { family, source: *source, address })
}
