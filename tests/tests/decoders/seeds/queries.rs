//! Queries to the name server: those of resolvers and diagnostic tools, and malformed ones.

use super::{Seed, seed};

const A: u16 = 1;
const NS: u16 = 2;
const SOA: u16 = 6;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const IXFR: u16 = 251;
const AXFR: u16 = 252;
const ANY: u16 = 255;

const IN: u16 = 1;
const CHAOS: u16 = 3;

/// Values of the first byte: the transport, the client and the rate limit.
const STREAM: u8 = 1;
const LIMITED: u8 = 2;
const UNKNOWN_CLIENT: u8 = 1 << 2;
const IPV6_CLIENT: u8 = 2 << 2;

/// A client subnet option for 10.2.0.0/16.
const SUBNET_IPV4: &[u8] = &[0, 8, 0, 6, 0, 1, 16, 0, 10, 2];
/// For 2001:db8:5::/48.
const SUBNET_IPV6: &[u8] = &[0, 8, 0, 10, 0, 2, 48, 0, 0x20, 1, 0x0d, 0xb8, 0, 5];
/// For no network.
const SUBNET_NONE: &[u8] = &[0, 8, 0, 4, 0, 0, 0, 0];
const COOKIE: &[u8] = &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

pub fn seeds() -> Vec<Seed> {
    let mut seeds = answered();
    seeds.extend(with_options());
    seeds.extend(refused());
    seeds.extend(streams());
    seeds
}

fn name_server(name: &str, first: u8, bytes: Vec<u8>) -> Seed {
    seed("name_server", name, first, bytes)
}

fn answered() -> Vec<Seed> {
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(40));
    let names = [
        ("service-a", "contoso", A),
        ("service-aaaa", "contoso", AAAA),
        ("large-aaaa", "fabrikam", AAAA),
        ("weighted-a", "weighted", A),
        ("without-gateway", "empty", A),
        ("service-other", "contoso", 16),
        ("service-any", "contoso", ANY),
        ("srv", "_http._tcp.contoso", SRV),
        ("non-terminal", "_tcp.contoso", SRV),
        ("region", "westeurope.contoso.regional", A),
        ("name-server", "eu-1.ns", A),
        ("apex-soa", "", SOA),
        ("apex-ns", "", NS),
        ("name-error", "missing", A),
        ("longest-name", &longest, A),
        ("mixed-case", "cOnToSo", A),
    ];
    let query = |(name, label, kind): (&str, &str, u16)| {
        name_server(name, UNKNOWN_CLIENT, query(label, kind, IN))
    };
    names.into_iter().map(query).collect()
}

fn with_options() -> Vec<Seed> {
    let aaaa = || query("fabrikam", AAAA, IN);
    let a = || query("weighted", A, IN);
    vec![
        name_server("size-512", 0, with_opt(aaaa(), 512, 0, &[])),
        name_server("size-1232", 0, with_opt(aaaa(), 1_232, 0, &[])),
        name_server("size-65535", 0, with_opt(aaaa(), 65_535, 0x8000, &[])),
        name_server("subnet-ipv4", 0, with_opt(a(), 1_232, 0, SUBNET_IPV4)),
        name_server("subnet-ipv6", 0, with_opt(a(), 1_232, 0, SUBNET_IPV6)),
        name_server("subnet-none", IPV6_CLIENT, with_opt(a(), 1_232, 0, SUBNET_NONE)),
        name_server("cookie", 0, with_opt(a(), 1_232, 0, COOKIE)),
        name_server("two-subnets", 0, with_opt(a(), 1_232, 0, &SUBNET_IPV4.repeat(2))),
        name_server("version-1", 0, with_opt(a(), 1_232, 1 << 16, SUBNET_IPV4)),
        name_server("two-opt", 0, with_opt(with_opt(a(), 1_232, 0, &[]), 512, 0, &[])),
        name_server("limited", LIMITED, with_opt(aaaa(), 1_232, 0, SUBNET_IPV4)),
    ]
}

/// Queries that have an error code as their response.
fn refused() -> Vec<Seed> {
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut message = query("contoso", A, IN);
        change(&mut message);
        message
    };
    // A record of an incremental transfer, with a compressed name; and one of a signature.
    let mut incremental = query("", IXFR, IN);
    incremental[9] = 1;
    incremental.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut signed = query("contoso", A, IN);
    signed[11] = 1;
    signed.extend([1, b'k', 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 3, 1, 2, 3]);
    vec![
        name_server("transfer", 0, query("", AXFR, IN)),
        name_server("incremental-transfer", 0, incremental),
        name_server("signed", 0, signed),
        name_server("chaos", 0, query("contoso", A, CHAOS)),
        name_server("outside", 0, [header(), vec![3, b'c', b'o', b'm', 0, 0, 1, 0, 1]].concat()),
        name_server("root", 0, [header(), vec![0, 0, 2, 0, 1]].concat()),
        name_server("notify", 0, edit(&|it| it[2] = 4 << 3)),
        name_server("update", 0, edit(&|it| it[2] = 5 << 3)),
        name_server("no-question", 0, edit(&|it| it[5] = 0)),
        name_server("two-questions", 0, edit(&|it| it[5] = 2)),
        name_server("trailing-byte", 0, edit(&|it| it.push(0))),
        name_server("pointer", 0, edit(&|it| it[12] = 0xc0)),
        name_server("limited-malformed", LIMITED, edit(&|it| it.push(0))),
    ]
}

fn streams() -> Vec<Seed> {
    let framed = |message: Vec<u8>| [&(message.len() as u16).to_be_bytes(), &message[..]].concat();
    let a = framed(query("contoso", A, IN));
    let aaaa = framed(query("fabrikam", AAAA, IN));
    let mut response = a.clone();
    response[4] |= 0x80;
    let stream = |name, parts: &[&[u8]]| name_server(name, STREAM, parts.concat());
    vec![
        stream("stream", &[&aaaa]),
        stream("pipelined", &[&a, &aaaa, &a]),
        stream("stream-with-response", &[&a, &response, &a]),
        stream("stream-with-long-message", &[&a, &[0xff, 0xff], &a]),
        stream("stream-cut", &[&a, &a[..20]]),
    ]
}

/// Returns a header for one question.
fn header() -> Vec<u8> {
    vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
}

/// Returns a query for a name below the zone of the target.
fn query(name: &str, record_type: u16, class: u16) -> Vec<u8> {
    let mut message = header();
    let labels = name.split('.').filter(|label| !label.is_empty());
    for label in labels.chain(["gateways", "example", "net"]) {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(record_type.to_be_bytes());
    message.extend(class.to_be_bytes());
    message
}

fn with_opt(mut message: Vec<u8>, size: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    message[11] += 1;
    message.extend([0, 0, 41]);
    message.extend(size.to_be_bytes());
    message.extend(ttl.to_be_bytes());
    message.extend((options.len() as u16).to_be_bytes());
    message.extend(options);
    message
}
